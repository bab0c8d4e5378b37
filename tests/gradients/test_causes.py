import dataclasses

import pytest

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.causes import Cause


def test_a_cause_is_told_apart_by_all_it_says():
    cause = Cause(diagnoses.CUT)
    assert (cause.places, cause.note) == ((), "")
    assert cause == Cause(diagnoses.CUT)
    assert cause != Cause(diagnoses.CUT, note="'y' holds NaN.")
    with pytest.raises(dataclasses.FrozenInstanceError):
        cause.note = "else"
