import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import numpy as np
import torch
from keras import ops

from keras_perceptual.gradients.tracers.torch.untracked import (
    find_untracked,
    leaves_noted,
    name_of,
)


def variable(name):
    return keras.Variable(np.ones(2, "float32"), name=name)


class Holder:
    """Not a layer, so that Keras does not look into it."""

    def __init__(self):
        self.modules = [torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)]
        self.frozen = torch.nn.Linear(2, 3).requires_grad_(False)
        self.loose = torch.nn.Parameter(torch.ones(2))
        self.variable = variable("hidden")

    def __call__(self, x):
        x = x * self.variable * self.loose
        first, second = self.modules
        return second(torch.tanh(first(x) + self.frozen(x)))


def find(function, known):
    leaves = []
    with leaves_noted(leaves.extend):
        function()
    return find_untracked(leaves, known)


def test_variables_and_parameters_that_nobody_knows():
    known, holder = variable("known"), Holder()

    def step():
        x = torch.ones(4, 2, requires_grad=True)
        ops.sum(holder(x * known)).backward()

    found = find(step, [known])
    assert [name_of(v) for v in found] == [
        *("Linear.bias", "Linear.bias", "Linear.weight", "Linear.weight"),
        *("Parameter", "hidden"),
    ]
    first, second = holder.modules
    for parameter in (first.weight, second.bias, holder.loose):
        assert any(v is parameter for v in found)
    assert found[-1] is holder.variable


def test_parameters_of_an_optimizer_of_pytorch_are_trained():
    known, module = variable("known"), torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters())

    def step():
        optimizer.zero_grad()
        ops.sum(module(known.value)).backward()

    assert find(step, [known]) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda loss, x: loss.backward(),
        lambda loss, x: torch.autograd.backward(tensors=loss),
        lambda loss, x: torch.autograd.grad(outputs=loss, inputs=x.value),
    ],
)
def test_all_ways_to_ask_for_gradients(ask):
    known, hidden = variable("known"), variable("hidden")
    found = find(lambda: ask(ops.sum(known * hidden), known), [known])
    assert found == [hidden]


def test_the_functions_come_back():
    former = torch.autograd.backward, torch.autograd.grad
    with leaves_noted(lambda leaves: None):
        pass
    assert (torch.autograd.backward, torch.autograd.grad) == former


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_compiled_step():
    known, leaves = variable("known"), []

    @torch.compile(backend="eager")
    def step():
        loss = torch.sum(known.value * 2.0)
        loss.backward()

    with leaves_noted(leaves.extend):
        step()
    assert any(leaf is known.value for leaf in leaves)
