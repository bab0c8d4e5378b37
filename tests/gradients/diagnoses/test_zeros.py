import pytest
from diagnosis_rows import names_with, rows_of

from keras_perceptual.gradients.diagnoses import zeros


def test_rows_are_of_the_status():
    assert {row.status for row in rows_of(zeros)} == {"zero"}


@pytest.mark.parametrize(
    "name, title",
    [
        ("SATURATED", "it ends where an operation is level"),
        (
            "STUCK",
            "it ends at a product whose other factor is zero and stays so",
        ),
        ("NO_STEP", "it ends at a loop that no step of counts"),
        ("CANCELS", "it cancels out at an operation"),
    ],
)
def test_titles_that_users_compare_stay(name, title):
    """They are in `GradientRecord.reason`."""
    assert getattr(zeros, name).title == title


# What a training is stopped for, and when, is decided row by row.
@pytest.mark.parametrize(
    "flag, names",
    [
        ("mends", "CUT_IN_BRANCH"),
        ("uncertain", ""),
        ("later", "ZERO_UNDER_PENALTY"),
        (
            "permanent",
            "SATURATED SOFTMAX_OF_ONE STUCK NO_STEP CANCELS TIMES_ZERO "
            "SECOND_DERIVATIVE ZERO_UNDER_PENALTY",
        ),
        ("general", "ZERO"),
        ("ordinary", "DERIVATIVE_ONLY"),
    ],
)
def test_how_each_row_is_judged(flag, names):
    assert names_with(zeros, flag) == names
