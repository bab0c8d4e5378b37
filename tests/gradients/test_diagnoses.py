import string

import pytest

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.report import STATUSES


def test_titles_are_there_once():
    titles = [row.title for row in diagnoses.ALL]
    assert len(set(titles)) == len(titles) > 30
    assert all(diagnoses.find(title).title == title for title in titles)


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
        ("UNTRACKED", "not among the variables of the model"),
        ("UNTRAINED", "used by the training step, trained by nobody"),
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
    assert getattr(diagnoses, name).title == title


def test_unknown_titles_are_those_of_the_status():
    assert diagnoses.find("") is diagnoses.NONE
    assert diagnoses.find("", "zero") is diagnoses.ZERO
    assert diagnoses.find("something new", "nonfinite") is diagnoses.NONFINITE
    assert diagnoses.find("", "untracked") is diagnoses.UNTRACKED
    assert diagnoses.find("cut off from the loss", "zero") is diagnoses.CUT


@pytest.mark.parametrize("row", diagnoses.ALL, ids=lambda row: row.title)
def test_rows_are_complete(row):
    assert row.status in set(STATUSES) - {"ok", "ignored"}
    sentences = [row.advice, *row.on_backend.values()]
    sentences += [row.in_function] if row.in_function else []
    for text in sentences:
        assert text[0].isupper() or text[0] == "`"
        assert text.endswith(".")
        assert "  " not in text
    assert row.title[0].islower() or row.title.startswith("NaN")
    fields = {field for _, field, _, _ in string.Formatter().parse(row.heading)}
    assert fields <= {"found", "batches", None}
    assert row.on_backend.keys() <= {"tensorflow", "jax", "torch"}


def test_only_zeros_are_there_for_good():
    for row in diagnoses.ALL:
        assert row.status == "zero" or not row.permanent


def test_a_function_has_no_training_step():
    for row in (
        diagnoses.NONE,
        diagnoses.UNUSED,
        diagnoses.NO_LOSS,
        diagnoses.IGNORES_MODEL,
    ):
        assert "step" not in row.in_function
        assert "layer" not in row.in_function


# What a training is stopped for, and when, is decided row by row.
@pytest.mark.parametrize(
    "flag, names",
    [
        (
            "mends",
            "CUT PENALTY FAILS CUT_LOSS CUT_IN_BRANCH NONFINITE MADE_FORWARD "
            "MADE_BACKWARD",
        ),
        ("uncertain", "SKIPPED LEFT_ALONE NOT_RUN WRITTEN UNTRAINED"),
        (
            "later",
            "SKIPPED NOT_ASKED LEFT_ALONE NOT_APPLIED NOT_HANDED NOT_RUN "
            "FROZEN_IN_STEP ZERO_UNDER_PENALTY",
        ),
        (
            "permanent",
            "SATURATED SOFTMAX_OF_ONE STUCK NO_STEP CANCELS TIMES_ZERO "
            "SECOND_DERIVATIVE ZERO_UNDER_PENALTY",
        ),
        ("general", "NONE NOT_HANDED CUT_LOSS ZERO NONFINITE"),
        ("ordinary", "UNUSED NO_LOSS DERIVATIVE_ONLY"),
    ],
)
def test_how_each_row_is_judged(flag, names):
    def has_it(row):
        return not row.certain if flag == "uncertain" else getattr(row, flag)

    expected = [getattr(diagnoses, name) for name in names.split()]
    assert list(filter(has_it, diagnoses.ALL)) == expected
