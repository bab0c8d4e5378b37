import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import sys

import torch

from keras_perceptual.gradients.tracers.torch.leaving import Leaving


def find(leaving, *arguments, depends=False):
    return leaving.find_used(arguments, depends)


def elsewhere(leaving, number, depends):
    return leaving.find_used((number,), depends)


def test_what_a_number_may_be_made_of():
    leaving = Leaving(sys._getframe())
    number = sum([0.25, 0.5])
    assert not leaving and find(leaving, number) == []
    leaving.note("key")
    assert leaving and leaving.keys == ["key"]
    # What depends on no variable is made of it wherever that is.
    assert elsewhere(leaving, number, False) == ["key"]
    assert elsewhere(leaving, number, True) == []
    assert leaving.find_used((number,), True) == ["key"]


def test_numbers_that_are_written_in_the_code_are_made_of_nothing():
    leaving = Leaving(sys._getframe())
    leaving.note("key")

    def look():
        return (
            leaving.find_used((0.125,), False),
            leaving.find_used(([1.5, 2.5], 3.5), False),
            leaving.find_used((torch.ones(2), 3), False),
        )

    assert look() == ([], [], [])
