import keras
import numpy as np
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.listening import Listening


class Recording:
    """Writes down what it is asked to record."""

    def __init__(self):
        self.kinds = []
        self.originals = self
        self.generators = []

    def record(self, kind, function, args, kwargs):
        self.kinds.append(kind)
        return function(*args, **kwargs)

    def record_custom(self, kind, function, args, kwargs):
        torch.sin(torch.ones(1))  # The recording computes something.
        return self.record(f"custom {kind}", function, args, kwargs)

    def keep_generator(self, generator):
        self.generators.append(generator)


class GradientCalls:
    def __init__(self):
        self.asked = []
        self.read = []

    def answer(self, function, given):
        self.asked.append(sorted(given))
        torch.cos(torch.ones(1))  # Computing gradients takes more calls.
        return function(**given)

    def note_reading(self, tensor, found):
        self.read.append(found)


def hear(step):
    recording, gradient_calls = Recording(), GradientCalls()
    with Listening(recording, gradient_calls).listening():
        result = step()
    return recording, gradient_calls, result


class Double(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x * 2

    @staticmethod
    def backward(context, gradient):
        return gradient * 2


def test_kinds_of_calls():
    x = torch.ones(2, 2)
    variable = keras.Variable(np.ones((2, 2), "float32"))

    def step():
        x + 1
        torch.matmul(x, variable)
        x.mT  # noqa: B018
        x.shape  # noqa: B018
        x.data = torch.zeros(2)
        torch.from_numpy(np.ones(2))
        torch.ops.aten.sin.default(x)

    recording, _, _ = hear(step)
    assert [k for k in recording.kinds if k != "device"] == [
        *("add", "matmul", "mT", "zeros", "data", "from_numpy", "sin"),
    ]


def test_custom_functions_are_heard_as_well_as_what_they_call():
    recording, _, result = hear(lambda: Double.apply(torch.ones(2)))
    assert recording.kinds == ["ones", "custom Double", "mul"]
    assert result.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    "ask, given",
    [
        (lambda x: x.sum().backward(), "self"),
        (lambda x: torch.autograd.backward(x.sum()), "tensors"),
        (lambda x: torch.autograd.grad(x.sum(), x), "outputs"),
    ],
)
def test_calls_for_gradients(ask, given):
    """Each is heard once, with nothing that computes the gradients."""
    x = torch.ones(2, requires_grad=True)
    recording, gradient_calls, _ = hear(lambda: ask(x))
    assert len(gradient_calls.asked) == 1
    assert given in gradient_calls.asked[0]
    assert recording.kinds == ["sum"]


def test_reading_of_gradients():
    x = torch.ones(2, requires_grad=True)
    x.grad = gradient = torch.ones(2)
    recording, gradient_calls, result = hear(lambda: x.grad)
    assert result is gradient
    assert (len(gradient_calls.read), recording.kinds) == (1, [])


def test_generators_are_kept():
    generator = torch.Generator()
    recording, _, _ = hear(lambda: torch.rand(2, generator=generator))
    assert recording.generators == [generator]


def test_attention_is_taken_apart():
    x = torch.rand(1, 2, 3)
    recording, _, _ = hear(
        lambda: torch.nn.functional.scaled_dot_product_attention(x, x, x)
    )
    assert "softmax" in recording.kinds
    assert recording.kinds.count("matmul") == 2


def test_compiled_functions_run_as_they_are_written():
    function = torch.compile(lambda x: torch.sin(x), backend="eager")
    recording, _, _ = hear(lambda: function(torch.ones(2)))
    assert "sin" in recording.kinds


def test_nothing_is_heard_afterwards():
    names = [
        (torch.autograd, "backward"),
        (torch, "cond"),
        (torch, "from_numpy"),
    ]
    former = [getattr(owner, name) for owner, name in names]
    recording, _, _ = hear(lambda: None)
    assert [getattr(owner, name) for owner, name in names] == former
    Double.apply(torch.ones(2))
    assert recording.kinds == []
