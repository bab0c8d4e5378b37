import dataclasses

import pytest

from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis


def test_a_row_is_certain_and_no_more_unless_it_says_so():
    row = Diagnosis("it ends", "zero", "Look at it.")
    assert row.certain
    assert not (row.mends or row.later or row.permanent)
    assert not (row.general or row.ordinary)
    assert (row.heading, row.in_function, row.on_backend) == ("", "", {})


def test_a_row_can_be_a_key_and_stays_as_it_is():
    row = Diagnosis("it ends", "zero", "Look.", on_backend={"jax": "There."})
    assert {row: 1}[dataclasses.replace(row)] == 1
    assert row != dataclasses.replace(row, on_backend={})
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.title = "else"
