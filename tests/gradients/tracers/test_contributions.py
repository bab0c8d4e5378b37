import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.contributions import (
    contributions_to,
    is_elementwise,
)


@pytest.mark.parametrize(
    "kind, function",
    [
        ("mul", torch.mul),
        ("add", torch.add),
        ("__rsub__", lambda x, y: y - x),
        ("div", torch.div),
    ],
)
def test_they_are_what_is_added_to_a_gradient(kind, function):
    """Where an argument was broadcast, it is the sum."""
    x = torch.full((3, 2), 3.0, requires_grad=True)
    y = torch.full((2,), 5.0, requires_grad=True)
    result = function(x, y)
    above = torch.arange(6.0).reshape(3, 2)
    expected = torch.autograd.grad(result, [x, y], above)
    found = dict(contributions_to(kind, above, (x, y)))
    assert found.keys() == ({0} if kind == "div" else {0, 1})
    for place, part in found.items():
        assert torch.equal(part.abs(), expected[place].abs())


def test_only_what_has_a_gradient():
    gradient = torch.ones(2)
    x = torch.full((2,), 3.0, requires_grad=True)
    for other in (5.0, torch.full((2,), 5.0)):
        ((place, part),) = contributions_to("mul", gradient, (x, other))
        assert (place, part.tolist()) == (0, [5.0, 5.0])
    assert not part.requires_grad


def test_arithmetic():
    assert is_elementwise("__rsub__", (1, 2))
    assert not is_elementwise("mul", (1,))
    assert not is_elementwise("matmul", (1, 2))
