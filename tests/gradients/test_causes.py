import types

import pytest

from keras_perceptual.gradients import causes, reasons
from keras_perceptual.gradients.dataflow import (
    Dataflow,
    Derivative,
    Operation,
)

BLOCKED = ("ArgMax", "Equal", "Shape")


def frame(name="call", filename="user.py", lineno=1):
    return types.SimpleNamespace(
        filename=filename, lineno=lineno, name=name, line=""
    )


def operation(kind, inputs, outputs, **arguments):
    return Operation(kind, tuple(inputs), tuple(outputs), **arguments)


def step(*operations, asked=(1,), targets=("loss",)):
    return Dataflow(
        operations=operations,
        holders={"w": 1, "v": 2},
        derivatives=(Derivative(targets, frozenset(asked)),),
        passes=lambda operation, *places: operation.kind not in BLOCKED,
    )


def reason_of(flow, variable=1):
    return causes.find_causes(flow, [variable], {})[variable].reason


def test_each_way_of_being_missing():
    read = operation("Read", "w", "a")
    loss = operation("Square", "a", ["loss"])
    choice = operation("ArgMax", "a", "b")
    assert reason_of(step(read, loss)) == reasons.NOT_APPLIED
    assert reason_of(step(read, loss), 2) == reasons.NOT_ASKED
    assert reason_of(step(read, loss, asked=(2,)), 2) == reasons.UNUSED
    unused = operation("Mean", ["data"], ["loss"])
    assert reason_of(step(read, unused)) == reasons.IGNORES_MODEL
    other = operation("Square", "v", ["loss"])
    assert reason_of(step(read, other)) == reasons.NO_LOSS
    cut = operation("Mean", "b", ["loss"])
    assert reason_of(step(read, choice, cut)) == reasons.CUT


def test_what_is_to_blame_comes_first():
    flow = step(
        operation("Shape", "w", "s"),
        operation("Equal", "w", "e"),
        operation("ArgMax", "w", "c"),
        operation("Mix", "sec", ["loss"]),
    )
    cause = causes.find_causes(flow, [1], {})[1]
    assert [p.operation for p in cause.places] == ["ArgMax", "Equal"]


def test_shape_is_named_where_there_is_nothing_else():
    flow = step(operation("Shape", "w", "s"), operation("Cast", "s", ["loss"]))
    cause = causes.find_causes(flow, [1], {})[1]
    assert [p.operation for p in cause.places] == ["Shape"]


def test_penalties_are_left_out():
    penalty = operation(
        "Sum", "w", ["loss"], frames=(frame(causes.PENALTIES), frame())
    )
    flow = step(penalty)
    assert reason_of(flow) == reasons.NOT_APPLIED
    assert causes.without_penalties(flow).operations == ()


@pytest.mark.parametrize(
    ("maker", "found"), [("Sub", ["Log"]), ("AddV2", []), ("Maximum", [])]
)
def test_suspects_are_what_nothing_guards(maker, found):
    flow = step(
        operation(maker, "w", "a", frames=(frame(),)),
        operation("Log", "a", ["loss"], frames=(frame(),)),
    )
    places = causes.find_suspects(flow, [1], {})
    assert [place.operation for place in places] == found


def test_uses_of_what_nobody_trains():
    flow = step(
        operation("Read", "v", "a"),
        operation("Mul", "aw", ["loss"]),
    )
    assert set(causes.find_uses(flow, [1, 2], {})) == {2}
    cut = step(operation("ArgMax", "v", "a"), operation("Mul", "aw", ["loss"]))
    assert causes.find_uses(cut, [2], {}) == {}


def test_python_whose_gradient_fails():
    flow = step(
        operation("EagerPyFunc", "w", "a"), operation("Mean", "a", ["loss"])
    )
    found = causes.find_failing_gradients(flow, [1, 2], {})
    assert set(found) == {1}
    assert found[1].reason == reasons.FAILS
