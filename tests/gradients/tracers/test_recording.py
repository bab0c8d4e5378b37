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


def test_numbers_of_python_are_values_of_arithmetic(recording):
    x = torch.ones(2)
    _, call = record(recording, torch.mul, x, 3.0)
    first, number = call.inputs
    assert first == recording.key(x)
    assert recording.values.numbers[number].size == 3
    _, call = record(recording, torch.mul, x, x)
    assert call.inputs == [first, first]
    _, call = record(recording, torch.sum, x, 0)
    assert call.inputs == [first]


def test_numbers_that_leave_are_met_again(recording):
    x, y = torch.full((), 2.5, requires_grad=True), torch.ones(2)
    recording.follow(x, "variable")
    # That of something else is a constant.
    recording.record("item", torch.Tensor.item, (y[0],), {})
    number = recording.record("item", torch.Tensor.item, (x,), {})
    z, call = record(recording, torch.mul, y, number)
    (left,) = (c for c in recording.calls if c.kind == "item")
    assert not left.differentiable
    assert call.inputs[-1] == left.outputs[0]
    assert recording.values.numbers[left.outputs[0]].size == 2.5
    assert recording.key(z) in recording.reached


def test_what_may_be_another_in_the_next_step():
    buffer, parameter = torch.ones(2), torch.nn.Parameter(torch.ones(2))
    other = torch.ones(2)
    recording = Recording(sys._getframe(), [buffer])
    keys = [recording.key(x) for x in (buffer, parameter, other)]
    assert recording.changeable == set(keys[:2])
    assert recording.strangers.keys() == set(keys[2:])
    # What is asked about twice is the same.
    assert [recording.key(x) for x in (buffer, parameter, other)] == keys


def test_branches_that_were_not_taken_are_tried(recording):
    x, y = (torch.ones(2, requires_grad=True) for _ in range(2))
    recording.follow(x, "x")
    recording.follow(y, "y")
    for tensor in (x, y):
        record(recording, torch.sin, tensor)
    keras.ops.cond(
        torch.tensor(True),
        lambda: recording.record("sin", torch.sin, (x,), {}),
        lambda: torch.cos(y),
    )
    count = len(recording.calls)
    ((choice, found),) = recording.find_alternatives().items()
    assert recording.calls[-1].choices == (choice,)
    assert found == {recording.key(y)}
    assert len(recording.calls) == count


def test_a_branch_that_fails_lets_nothing_through(recording):
    x = torch.ones(2, requires_grad=True)
    recording.follow(x, "x")

    def fail():
        raise RuntimeError

    keras.ops.cond(
        torch.tensor(True),
        lambda: recording.record("sin", torch.sin, (x,), {}),
        fail,
    )
    assert list(recording.find_alternatives().values()) == [set()]


def test_own_gradients_are_said_to_be_so(recording):
    x = torch.ones(2, requires_grad=True)
    recording.follow(x, "x")
    made = []

    def custom(x):
        inner = recording.record("sin", torch.sin, (x,), {})
        made.append(recording.record("cos", torch.cos, (inner,), {}))
        return made[0]

    recording.record_custom("Custom", custom, (x,), {})
    record(recording, torch.sin, x)
    own, plain = recording.calls
    assert own.own_gradient and not plain.own_gradient
    # What is made inside goes into nothing.
    assert own.inputs == [recording.key(x)]


def test_what_is_written_under_no_grad_is_a_write(recording):
    x = torch.ones(2, requires_grad=True)
    recording.follow(x, "x")
    with torch.no_grad():
        _, call = record(recording, torch.Tensor.mul_, x, 2.0)
    assert call.kind == "mul_"
    assert call.outputs == [recording.key(x)]
    assert recording.holders[recording.key(x)] == "x"
