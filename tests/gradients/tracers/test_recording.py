import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import sys

import torch

from keras_perceptual.gradients.tracers.torch.recording import Recording


@pytest.fixture
def recording():
    return Recording(sys._getframe())


def record(recording, function, *args, **kwargs):
    result = recording.record(function.__name__, function, args, kwargs)
    return result, recording.calls[-1]


def test_inputs_and_outputs(recording):
    x, y = torch.ones(2), torch.ones(2)
    z, call = record(recording, torch.add, x, y)
    assert call.kind == "add"
    assert call.inputs == [recording.key(x), recording.key(y)]
    assert call.outputs == [recording.key(z)]


def test_writing_gives_new_keys(recording):
    x = torch.ones(2)
    view = x[:1]
    former = recording.key(x), recording.key(view)
    _, call = record(recording, torch.Tensor.mul_, x, 2)
    assert call.outputs == [recording.key(x)]
    assert recording.key(x) not in former
    # The view is noticed once it is looked at.
    assert recording.key(view) not in former
    assert call.outputs == [recording.key(x), recording.key(view)]


def test_what_depends_on_what_is_followed(recording):
    x, other = torch.ones(2, requires_grad=True), torch.ones(2)
    recording.follow(x, "variable")
    y, _ = record(recording, torch.sin, x)
    z, _ = record(recording, torch.sin, other)
    assert recording.holders == {recording.key(x): "variable"}
    assert recording.reached == {recording.key(x), recording.key(y)}
    assert list(recording.strangers) == [recording.key(other)]
    assert recording.key(z) not in recording.strangers


def test_what_only_autograd_knows_of(recording):
    x = torch.ones(2, requires_grad=True)
    recording.follow(x, "variable")
    y = torch.sin(torch.cos(x)) * torch.ones(2)
    key = recording.key(y)
    assert [call.kind for call in recording.calls] == ["cos", "sin", "mul"]
    assert key in recording.calls[-1].outputs and key in recording.reached


def test_what_a_custom_function_uses(recording):
    x, closed, written = torch.ones(2), torch.ones(2), torch.ones(2)
    key = recording.key(written)

    def custom(x):
        y = recording.record("mul", torch.mul, (x, closed), {})
        recording.record("add_", torch.Tensor.add_, (written, y), {})
        return recording.record("sin", torch.sin, (y,), {})

    result = recording.record_custom("Custom", custom, (x,), {})
    (call,) = recording.calls
    assert call.inputs == [recording.key(x), recording.key(closed), key]
    assert call.outputs[0] == recording.key(result)
    assert recording.key(written) != key
    assert call.outputs[1:] == [recording.key(written)]


def test_calls_under_no_grad(recording):
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        _, call = record(recording, torch.sin, x)
        assert (call.kind, call.differentiable) == ("sin under no_grad", False)
