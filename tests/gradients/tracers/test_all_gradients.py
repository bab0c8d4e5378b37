import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.replay import Numbers
from keras_perceptual.gradients.tracers.torch.all_gradients import (
    read_gradients,
    spread,
)
from keras_perceptual.gradients.tracers.torch.autograd_graph import edges_of
from keras_perceptual.gradients.tracers.torch.calls import Call


def read(target, *tensors, seed=None, listeners=None):
    edges = [edge for tensor in tensors for edge in edges_of(tensor)]
    found = read_gradients([target], [seed], edges, listeners or {})
    return [found.get(edge) for edge in edges]


def test_of_leaves_and_of_what_is_between():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    heard = []
    (edge,) = edges_of(y)
    found = read(torch.sum(y * y), x, y, listeners={edge: heard.append})
    assert found == [Numbers(36.0), Numbers(12.0)]
    assert [gradient.tolist() for gradient in heard] == [[6.0, 12.0]]
    assert x.grad is None


def test_it_can_be_differentiated_again():
    x = torch.ones(2, requires_grad=True)
    loss = torch.sum(x * x)
    assert read(loss, x, seed=torch.tensor(5.0)) == [Numbers(10.0)]
    loss.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_none_comes_through_a_staircase():
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    rounded = torch.round(y)
    assert read(torch.sum(rounded), rounded, y, x) == [Numbers(1.0), None, None]
    assert read(torch.sum(rounded + y), y, x) == [Numbers(1.0), Numbers(2.0)]


def test_zeros_made_of_no_gradient_are_none():
    """A custom function is given zeros where nothing comes back to it."""

    class Through(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return x * 2

        @staticmethod
        def backward(context, gradient):
            return gradient

    class Blind(Through):
        @staticmethod
        def backward(context, gradient):
            return None

    x = torch.ones(2, requires_grad=True)
    y = Through.apply(x)
    assert read(torch.sum(Blind.apply(y)), y, x) == [None, None]


def test_of_what_has_none():
    assert read(torch.ones(()), torch.ones(2, requires_grad=True)) == [None]


def test_no_hook_stays():
    x, heard = torch.ones(2, requires_grad=True), []
    y = x * 2
    (edge,) = edges_of(y)
    read(torch.sum(y), x, listeners={edge: heard.append})
    torch.sum(y).backward()
    assert len(heard) == 1


def test_what_autograd_leaves_out():
    calls = [
        Call("detach", ["x"], ["d"], False),
        Call("sin", ["d"], ["s"], True),
        Call("mul", ["s", "w"], ["y"], True),
        Call("cos", ["d"], ["unused"], True),
    ]
    gradients = {"y": Numbers(1.0), "w": Numbers(2.0)}
    spread(calls, gradients, {"x", "d", "s", "w"})
    assert gradients == {
        **{"y": Numbers(1.0), "w": Numbers(2.0)},
        **{"s": Numbers(), "d": Numbers()},
    }
