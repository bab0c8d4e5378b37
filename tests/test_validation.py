import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual import validation
from keras_perceptual.validation import Checker


def test_check_choice_names_near_ones_and_all():
    assert Checker("Loss").choice("norm", "l1", ("l1", "l2")) == "l1"
    with pytest.raises(
        ValueError,
        match=r"Loss does not know this `norm`. Did you mean 'charbonnier'\? "
        r"Use one of \['l1', 'charbonnier'\]. Received: norm='charbonier'",
    ):
        Checker("Loss").choice("norm", "charbonier", ("l1", "charbonnier"))


@pytest.mark.parametrize("value_range", [(0, 1), [-1, 1], (0.0, 255)])
def test_check_value_range_returns_floats(value_range):
    low, high = Checker("Loss").value_range(value_range)
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert [low, high] == list(value_range)


@pytest.mark.parametrize(
    "value_range",
    [(1, 0), (0, 0), (0, 1, 2), 1, "ab", None, (0, np.nan), (0, np.inf)],
)
def test_check_value_range_refuses(value_range):
    with pytest.raises(ValueError, match=r"two finite numbers.*Received: val"):
        Checker("Loss").value_range(value_range)


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, "1", None, True])
def test_check_number_refuses(value):
    with pytest.raises(ValueError, match=r"of at least 0. Received: weight="):
        Checker("Loss").number("weight", value, minimum=0)


def test_check_number_takes_numpy_numbers_and_bounds():
    assert Checker("L").number("w", np.float32(2), minimum=2) == 2.0
    with pytest.raises(ValueError, match="above 0"):
        Checker("L").number("w", 0, above=0)


@pytest.mark.parametrize("value", [1, 2.0, "3", None, True])
def test_check_integer_refuses(value):
    with pytest.raises(ValueError, match="whole number of at least 2"):
        Checker("Layer").integer("size", value, minimum=2)


def test_check_integer_takes_numpy_integers():
    assert Checker("L").integer("n", np.int64(3), minimum=2) == 3


def test_the_owner_is_an_object_or_its_name():
    for owner in (np.random.default_rng(0), "Generator"):
        with pytest.raises(ValueError, match=r"^Generator needs `w` to be"):
            Checker(owner).number("w", None)


def test_check_folder(tmp_path):
    assert Checker("Callback").folder(tmp_path) == str(tmp_path)
    assert Checker("Callback").folder("logs") == "logs"
    for value in (None, "", 3):
        message = rf"^Callback .* Received: log_dir={value!r}$"
        with pytest.raises(ValueError, match=message):
            Checker("Callback").folder(value)


@pytest.mark.parametrize("value", [10**400, "7", True, float("nan"), [1], None])
def test_what_is_no_number_is_refused_whatever_it_is(value):
    with pytest.raises(ValueError, match=r"finite number.*Received: x="):
        Checker("Owner").number("x", value)


@pytest.mark.parametrize("value", ["yes", 2, 0.5, None, [], {}])
def test_what_is_no_truth_value_is_refused(value):
    with pytest.raises(ValueError, match=r"True or False.*Received: x="):
        Checker("Owner").boolean("x", value)


@pytest.mark.parametrize("value", [True, 1, np.True_])
def test_truth_values_are_accepted(value):
    assert Checker("Owner").boolean("x", value) is True


def test_a_largest_number_is_told():
    with pytest.raises(ValueError, match=r"at least 2 and at most 9.*x=10$"):
        Checker("Owner").integer("x", 10, minimum=2, maximum=9)


@pytest.mark.parametrize("value", ["01", ["0", "1"], [False, True], {}, 7])
def test_a_range_of_anything_but_numbers_is_refused(value):
    with pytest.raises(ValueError, match=r"Received: value_range="):
        Checker("Owner").value_range(value)


def test_messages_show_little_of_much():
    for value in (
        "x" * 10**6,
        [1] * 10**6,
        10**4000,
        {i: i for i in range(99)},
    ):
        assert len(validation.show(value)) < 300
    images = [[[0.1] * 30] * 30] * 30
    assert len(validation.show(images)) <= validation.MOST_SHOWN + 3


def test_a_long_path_is_shown_by_its_end():
    path = "a" * 10_000 + ".npz"
    with pytest.raises((FileNotFoundError, OSError)) as caught:
        kp.PerceptualLoss("alexnet", weights=path)
    assert len(str(caught.value)) < 600
    assert "aaa.npz'" in str(caught.value)
