import dataclasses

import pytest

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.causes import Cause, title_of


def test_a_cause_is_told_apart_by_all_it_says():
    cause = Cause(diagnoses.CUT)
    assert (cause.places, cause.note) == ((), "")
    assert cause == Cause(diagnoses.CUT)
    assert cause != Cause(diagnoses.CUT, note="'y' holds NaN.")
    with pytest.raises(dataclasses.FrozenInstanceError):
        cause.note = "else"


@pytest.mark.parametrize(
    ("diagnosis", "title"),
    [
        (diagnoses.CUT, "cut off from the loss"),
        # Said of nothing else, so that it is worth saying.
        (diagnoses.NONE, "no path from the loss"),
        (diagnoses.ZERO, ""),
        (diagnoses.NONFINITE, ""),
        (diagnoses.SATURATED, "it ends where an operation is level"),
        (None, ""),
    ],
)
def test_a_status_is_no_reason(diagnosis, title):
    assert title_of(diagnosis) == title
