import sys

import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.gradient_calls import (
    GradientCalls,
)
from keras_perceptual.gradients.tracers.torch.recording import Recording


@pytest.fixture
def recording():
    return Recording(sys._getframe())


@pytest.fixture
def calls(recording):
    return GradientCalls(recording)


def follow(recording, *names):
    tensors = [torch.full((2,), 3.0, requires_grad=True) for _ in names]
    for tensor, name in zip(tensors, names, strict=True):
        recording.follow(tensor, name)
    return tensors


def test_backward(recording, calls):
    x, y = follow(recording, "x", "y")
    loss = recording.record("dot", torch.dot, (x, y), {})
    calls.answer(torch.autograd.backward, {"tensors": loss})
    (asked,) = calls.asked
    assert asked.targets == (recording.key(loss),)
    assert asked.variables == {"x", "y"}
    assert asked.gradients[recording.key(x)].size == 3
    assert x.grad.tolist() == y.grad.tolist() == [3.0, 3.0]


def test_gradients_that_are_read_where_there_are_none(recording, calls):
    """Those that were deleted, not those that never were."""
    x, y = follow(recording, "x", "y")
    loss = recording.record("sum", torch.sum, (x,), {})
    calls.answer(torch.autograd.backward, {"tensors": loss})
    read = "calls.note_reading(tensor, found)"
    # It is about what the user reads.
    code = compile(read, "user.py", "exec")
    for tensor, found in ((x, x.grad), (y, None)):
        exec(code, {"calls": calls, "tensor": tensor, "found": found})
    assert recording.calls[-1].kind != "grad"
    exec(code, {"calls": calls, "tensor": x, "found": None})
    assert recording.calls[-1].kind == "grad"


def test_some_sources(recording, calls):
    x, y = follow(recording, "x", "y")
    loss = recording.record("dot", torch.dot, (x, y), {})
    given = {"outputs": loss, "inputs": [y]}
    (gradient,) = calls.answer(torch.autograd.grad, given)
    assert calls.asked[0].variables == {"y"}
    assert gradient.tolist() == [3.0, 3.0]
    assert x.grad is None and y.grad is None
    # It is what the step may go on computing with.
    assert recording.calls[-1].kind == "autograd.grad"
    assert recording.calls[-1].outputs == [recording.key(gradient)]


def test_gradients_to_be_differentiated_are_taken_apart(recording, calls):
    (x,) = follow(recording, "x")
    loss = recording.record("sum", torch.sum, (torch.sin(x),), {})
    given = {"outputs": loss, "inputs": [x], "create_graph": True}
    (gradient,) = calls.answer(torch.autograd.grad, given)
    kinds = [call.kind for call in recording.calls]
    assert "cos" in kinds and "autograd.grad" not in kinds
    assert recording.key(gradient) in recording.reached


def test_nothing_to_differentiate(recording, calls):
    (x,) = follow(recording, "x")
    loss = torch.ones(())
    assert calls.answer(torch.autograd.backward, {"tensors": loss}) is None
    given = {"outputs": loss, "inputs": [x]}
    (zeros,) = calls.answer(torch.autograd.grad, given)
    given["allow_unused"] = True
    (nothing,) = calls.answer(torch.autograd.grad, given)
    assert zeros.tolist() == [0.0, 0.0] and nothing is None
    for asked in calls.asked:
        assert asked.gradients.keys() == {recording.key(loss)}


def test_edges_as_targets_are_left_to_autograd(recording, calls):
    (x,) = follow(recording, "x")
    edge = torch.autograd.graph.get_gradient_edge((x * 2).sum())
    calls.answer(torch.autograd.backward, {"tensors": edge})
    assert x.grad.tolist() == [2.0, 2.0]


def test_contributions(recording, calls):
    (x,) = follow(recording, "x")
    product = recording.record("mul", torch.mul, (x, 5.0), {})
    loss = recording.record("sum", torch.sum, (product,), {})
    calls.answer(torch.autograd.backward, {"tensors": loss})
    assert calls.asked[0].contributions == {(recording.calls[0], 0): 5.0}


def test_reading_before_and_after(recording, calls):
    x, y = follow(recording, "x", "y")
    calls.note_reading(x, None)
    (reading,) = recording.calls
    assert (reading.kind, reading.inputs) == ("grad", [recording.key(x)])
    assert reading.outputs == [] and not reading.differentiable
    loss = recording.record("dot", torch.dot, (x, y), {})
    calls.answer(torch.autograd.backward, {"tensors": loss})
    calls.note_reading(y, y.grad)
    calls.note_reading(torch.ones(1), None)
    assert [call.kind for call in recording.calls] == ["grad", "dot"]
