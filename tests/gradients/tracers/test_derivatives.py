import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.replay import Numbers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def derivatives():
    return tracers.load("derivatives")


@pytest.fixture
def where():
    return tracers.load("record").Where(frames=("frame",))


@pytest.fixture
def record():
    """A record of a step with two variables, which it is given to train."""
    record = tracers.load("record").Record()
    for variable, value in (("v", [1.0, 2.0]), ("w", 3.0)):
        key = record.add_value(np.float32(value))
        record.hold(key, variable)
        record.state.append(key)
    return record


def scaled(record, key, factor, where):
    """Writes down an operation that multiplies a value."""
    operation = record.add("scale", [key], 1, where)
    record.tape.route(
        operation,
        lambda arrays: [np.float32(factor * arrays[0])],
        lambda above: [np.float32(factor * above[0])],
    )
    return operation.outputs[0]


def test_a_derivative(derivatives, record, where):
    region = derivatives.enter(record, record.state)
    v, w = region.inputs
    assert [record.holders[key] for key in (v, w)] == ["v", "w"]
    (target,) = derivatives.leave(record, [scaled(record, v, 5, where)], where)
    keys = derivatives.pull(record, region, [np.float32([1, 2])], where)
    (derivative,) = record.finish().derivatives
    assert derivative.targets == (target,)
    assert derivative.variables == {"v", "w"}
    assert derivative.gradients == {target: Numbers(2.0), v: Numbers(10.0)}
    assert derivative.frames == ("frame",)
    found = [record.tape.read(key).tolist() for key in keys]
    assert found == [[5, 10], 0]


def test_gradients_are_a_result_like_others(derivatives, record, where):
    region = derivatives.enter(record, record.state[1:])
    derivatives.leave(record, region.inputs, where)
    (key,) = derivatives.pull(record, region, [np.float32(1)], where)
    (operation,) = record.finish().operations
    assert operation.kind == "gradient"
    assert operation.outputs == (key,)
    assert not operation.differentiable
    assert record.variables(record.roots(key)) == ["w"]


def test_what_is_computed_before_is_a_constant(derivatives, record, where):
    """The loss is not made of what it is differentiated by."""
    before = scaled(record, record.state[1], 2, where)
    region = derivatives.enter(record, record.state)
    (target,) = derivatives.leave(record, [before], where)
    derivatives.pull(record, region, [np.float32(1)], where)
    replay = record.finish()
    _, cut, _ = replay.operations
    assert (cut.kind, cut.inputs) == ("closed_over", (before,))
    assert set(replay.derivatives[0].gradients) == {target}


def test_variables_after_a_step_of_their_own(derivatives, record, where):
    """Each stands for the variable in its place, or the only one in it."""
    mixed = [
        record.add("mix", record.state, 1, where).outputs[0]
        for _ in record.state
    ]
    values = [record.tape.read(key) for key in record.state]
    for key, value in zip(mixed, values, strict=True):
        record.tape.put(key, value)
    cast = scaled(record, record.state[1], 1, where)
    for keys, expected in [
        (mixed, {"v", "w"}),
        (mixed[:1], set()),
        ([cast, mixed[0]], {"w"}),
    ]:
        region = derivatives.enter(record, keys)
        derivatives.leave(record, region.inputs[:1], where)
        derivatives.pull(record, region, [np.float32(1)], where)
        assert record.derivatives[-1].variables == expected


def test_what_is_differentiated_by_and_no_variable(derivatives, record):
    data, other = (record.add_value(np.float32(1)) for _ in range(2))
    record.data[data] = "x"
    region = derivatives.enter(record, [data, other])
    assert record.data[region.inputs[0]] == "x"
    assert record.changeable == {region.inputs[1]}


def test_many_gradients_at_once(derivatives, record, where):
    """Each example has a loss; each is given the sum of all gradients."""
    region = derivatives.enter(record, record.state[1:])
    operation = record.add("repeat", region.inputs, 1, where)
    record.tape.route(
        operation,
        lambda arrays: [np.repeat(arrays[0], 4)],
        lambda above: [np.sum(above[0])],
    )
    derivatives.leave(record, operation.outputs, where)
    (key,) = derivatives.pull(record, region, [np.float32(2)], where, [(4,)])
    assert record.tape.read(key).tolist() == [8, 8, 8, 8]
