import pytest
from diagnosis_rows import names_with, rows_of

from keras_perceptual.gradients.diagnoses import nonfinite


def test_rows_are_of_the_status():
    assert {row.status for row in rows_of(nonfinite)} == {"nonfinite"}


# What a training is stopped for, and when, is decided row by row.
@pytest.mark.parametrize(
    "flag, names",
    [
        ("mends", "NONFINITE MADE_FORWARD MADE_BACKWARD"),
        ("uncertain", ""),
        ("later", ""),
        ("permanent", ""),
        ("general", "NONFINITE"),
        ("ordinary", ""),
    ],
)
def test_how_each_row_is_judged(flag, names):
    assert names_with(nonfinite, flag) == names
