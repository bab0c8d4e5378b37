import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.nesting import (
    name_data,
    numbers_in,
    tensors_in,
)


def test_what_is_in_a_structure():
    x, y = torch.ones(1), torch.ones(2)
    structure = {"a": [x, 2.0, "name"], "b": ({1.5}, (y, None), 3)}
    assert [id(t) for t in tensors_in(structure)] == [id(x), id(y)]
    assert numbers_in(structure) == [2.0, 1.5]


def names(step, *arguments):
    return [name for name, _ in name_data(step, arguments)]


def test_names_of_data():
    def step(data):
        pass

    def other(images, noise):
        pass

    assert names(step, (1, 2)) == ["x", "y", "sample_weight"]
    assert names(step, ({"a": 1}, [2, 3], 4)) == [
        *("x['a']", "y[0]", "y[1]", "sample_weight"),
    ]
    assert names(step, 1)[0] == "x"
    assert names(step, (1, 2, 3, 4)) == [f"data[{i}]" for i in range(4)]
    assert names(other, 1, 2) == ["images", "noise"]
    assert names(lambda *args: None, 1, 2) == ["arguments[0]", "arguments[1]"]
    assert names(step) == []
