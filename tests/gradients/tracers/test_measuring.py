import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import sys

import torch

from keras_perceptual.gradients.replay import Numbers
from keras_perceptual.gradients.tracers.torch import measuring
from keras_perceptual.gradients.tracers.torch.measuring import (
    innermost,
    layers_of,
    measure,
)

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "numbers, expected",
    [
        ([1.0, -3.0], Numbers(3.0)),
        ([], Numbers(0.0)),
        ([1.0, INF], Numbers(1.0, infinite=True)),
        ([NAN, -2.0], Numbers(2.0, nan=True)),
        ([NAN, -INF], Numbers(0.0, nan=True, infinite=True)),
        ([2, -5], Numbers(5.0)),
        ([False, True], Numbers(1.0)),
        ([3 + 4j], Numbers(5.0)),
    ],
)
def test_numbers(numbers, expected):
    assert measure(torch.tensor(numbers)) == expected


def test_without_what_transforms_are_seen_by(monkeypatch):
    """What runs in one is then one operation, and nothing is inside."""
    monkeypatch.setitem(sys.modules, "torch._C._functorch", None)
    measuring._transforms.cache_clear()
    try:
        tensor = torch.ones(2)
        assert list(layers_of(tensor)) == [tensor]
        assert innermost(tensor) is tensor
    finally:
        measuring._transforms.cache_clear()


def test_of_other_kinds_of_tensors():
    assert measure(torch.eye(2).to_sparse() * 3) == Numbers(3.0)
    assert measure(torch.ones(2, dtype=torch.float16)) == Numbers(1.0)
    assert measure(torch.ones(2, device="meta")) == Numbers()


def test_in_transforms_it_is_that_of_all():
    x, seen = torch.tensor([[1.0], [7.0]]), []

    def look(row):
        seen.append(
            (innermost(row) is x, measure(row), len(list(layers_of(row))))
        )
        return row.sum()

    torch.vmap(torch.func.grad(look))(x)
    assert seen == [(True, Numbers(7.0), 3)]
    assert innermost(x) is x
