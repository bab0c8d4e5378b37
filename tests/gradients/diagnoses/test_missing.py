import pytest
from diagnosis_rows import names_with, rows_of

from keras_perceptual.gradients.diagnoses import missing


def test_rows_are_of_the_status():
    assert {row.status for row in rows_of(missing)} == {"missing"}


@pytest.mark.parametrize(
    "name, title",
    [
        ("NONE", "no path from the loss"),
        ("CUT", "cut off from the loss"),
        ("UNUSED", "never used in the training step"),
        ("NO_LOSS", "nothing computed from it enters the loss"),
        ("IGNORES_MODEL", "the loss does not depend on the model"),
        ("LEFT", "the computation leaves the backend"),
        ("FAILS", "the gradient of Python code fails"),
        ("PENALTY", "only the penalty on the weights reaches it"),
        ("NOT_ASKED", "the training step asks for no gradient of it"),
        ("NOT_HANDED", "never given to an optimizer"),
        ("NOT_APPLIED", "its gradient is computed but never applied"),
        ("NOT_RUN", "its optimizer did not run"),
        ("STRANGER", "unknown to the optimizer"),
        ("CUT_LOSS", "the loss has no gradient"),
    ],
)
def test_titles_that_users_compare_stay(name, title):
    """They are in `GradientRecord.reason`."""
    assert getattr(missing, name).title == title


# What a training is stopped for, and when, is decided row by row.
@pytest.mark.parametrize(
    "flag, names",
    [
        ("mends", "CUT PENALTY FAILS CUT_LOSS"),
        ("uncertain", "SKIPPED LEFT_ALONE NOT_RUN WRITTEN"),
        (
            "later",
            "SKIPPED NOT_ASKED LEFT_ALONE NOT_APPLIED NOT_HANDED NOT_RUN "
            "FROZEN_IN_STEP",
        ),
        ("permanent", ""),
        ("general", "NONE NOT_HANDED CUT_LOSS"),
        ("ordinary", "UNUSED NO_LOSS"),
    ],
)
def test_how_each_row_is_judged(flag, names):
    assert names_with(missing, flag) == names


def test_a_function_has_no_training_step():
    for row in (
        missing.NONE,
        missing.UNUSED,
        missing.NO_LOSS,
        missing.IGNORES_MODEL,
    ):
        assert "step" not in row.in_function
        assert "layer" not in row.in_function
