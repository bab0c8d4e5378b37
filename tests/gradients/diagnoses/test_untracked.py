import pytest
from diagnosis_rows import names_with, rows_of

from keras_perceptual.gradients.diagnoses import untracked


def test_rows_are_of_the_status():
    assert {row.status for row in rows_of(untracked)} == {"untracked"}


@pytest.mark.parametrize(
    "name, title",
    [
        ("UNTRACKED", "not among the variables of the model"),
        ("UNTRAINED", "used by the training step, trained by nobody"),
    ],
)
def test_titles_that_users_compare_stay(name, title):
    """They are in `GradientRecord.reason`."""
    assert getattr(untracked, name).title == title


# What a training is stopped for, and when, is decided row by row.
@pytest.mark.parametrize(
    "flag, names",
    [
        ("mends", ""),
        ("uncertain", "UNTRAINED"),
        ("later", ""),
        ("permanent", ""),
        ("general", ""),
        ("ordinary", ""),
    ],
)
def test_how_each_row_is_judged(flag, names):
    assert names_with(untracked, flag) == names
