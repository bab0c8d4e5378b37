import pytest

import keras_perceptual as kp
from keras_perceptual import docstrings
from keras_perceptual.docstrings import fill, fill_from, fill_text


@pytest.mark.parametrize("group", docstrings.GROUPS)
def test_a_group_is_all_of_its_arguments(group):
    text = fill_text(f"Does.\n\n    Args:\n        {{{group}}}\n    ")
    for name in docstrings.GROUPS[group]:
        entry = docstrings.ARGUMENTS[name].split()
        assert " ".join(entry) in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert "{" not in text


def test_a_long_entry_is_indented_below_its_name():
    first, second, *_ = fill_text("    {check_range}").splitlines()
    assert first.startswith("    check_range: ")
    assert second.startswith("        once, ")


def test_code_stays_in_one_line():
    text = fill_text("            {pair_of_images}")
    assert all(line.count("`") % 2 == 0 for line in text.splitlines())
    assert "`(batch, channels, height, width)`" in text


def test_an_unknown_name_is_not_left_standing():
    with pytest.raises(KeyError):
        fill_text("    {no_such}")


def test_braces_within_a_line_stay():
    assert fill_text("A set {x} of one.") == "A set {x} of one."


def test_without_a_docstring_there_is_nothing_to_fill():
    def bare(x):
        pass

    assert fill(bare) is fill_from(kp.LPIPS)(bare) is bare
    assert bare.__doc__ is None


def test_a_function_says_what_a_class_says_of_its_arguments():
    """But for those that it describes itself, and in its own order."""

    @fill_from(kp.SSIMLoss)
    def near(x, *, k2=0.03, name=None, k1=0.01):
        """Does.

        Args:
            x: A number.
            name: Its own.
            {settings}
        """

    lines = near.__doc__.splitlines()
    names = [x.split(":")[0].strip() for x in lines if ": " in x]
    assert names == ["x", "name", "k2", "k1"]
    assert "steadies the ratio of the means" in near.__doc__
    assert "Optional name" not in near.__doc__


def test_help_shows_it():
    for public in (kp.LPIPS, kp.SobelGradientLoss, kp.functional.lpips):
        assert docstrings.PLACE.search(public.__doc__) is None
        assert "(0, 1)" in public.__doc__.split("value_range:")[1]
