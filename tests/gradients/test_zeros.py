import keras
import pytest

from keras_perceptual.gradients import reasons
from keras_perceptual.gradients.dataflow import (
    Dataflow,
    Derivative,
    Operation,
)
from keras_perceptual.gradients.zeros import (
    Reading,
    choose_operations,
    find_causes,
)


def flow(*operations):
    """A step with the variables v and w, and w only known not to be zero."""
    return Dataflow(
        operations=operations,
        holders={"v": 1, "u": 2, "w": 3},
        derivatives=(Derivative(("loss",), frozenset([1, 2, 3])),),
        passes=lambda operation, place, output: True,
    )


LAYERS = {"layer": keras.layers.Layer(name="layer")}


def operation(kind, *inputs, output="loss", scope=("layer",)):
    return Operation(kind, inputs, (output,), scope=scope)


def reason(
    kind, inputs, below, sizes, zeros=(1,), above=1.0, through=(0.0, 0.0), **kw
):
    step = operation(kind, *inputs, **kw)
    reading = Reading(above, below, sizes, through)
    found = find_causes(flow(step), list(zeros), {step: reading}, LAYERS)
    return found[1].reason if 1 in found else None


@pytest.mark.parametrize("kind", ["Relu", "Relu6", "Sigmoid", "Softmax"])
def test_level_operations(kind):
    assert reason(kind, "v", (0.0,), (5.0,)) == reasons.SATURATED
    assert reason(kind, "v", (0.1,), (5.0,)) is None
    # A loss may have enough.
    assert reason(kind, "v", (0.0,), (5.0,), scope=("loss",)) is None
    # The gradient is lost further up.
    assert reason(kind, "v", (0.0,), (5.0,), above=0.0) is None


def test_bounds_that_are_learned_are_a_choice():
    bounds = ("v", "constant")
    assert (
        reason("Maximum", bounds, (0.0, 1.0), (1.0, 1.0)) == reasons.SATURATED
    )
    assert reason("Maximum", ("v", "w"), (0.0, 1.0), (1.0, 1.0)) is None


def test_two_factors_of_zero_are_stuck():
    product = operation("MatMul", "v", "u")
    readings = {product: Reading(1.0, (0.0, 0.0), (0.0, 0.0))}
    found = find_causes(flow(product), [1, 2], readings, LAYERS)
    assert [cause.reason for cause in found.values()] == [reasons.STUCK] * 2
    # The other factor will move; or it is data, and the next batch another.
    assert find_causes(flow(product), [1], readings, LAYERS) == {}
    assert reason("Mul", ("v", "mask"), (0.0, 0.0), (1.0, 0.0)) is None


def test_what_waits_for_something_that_may_change_may_change():
    masked = operation("Mul", "v", "mask", output="a")
    product = operation("MatMul", "a", "u", output="loss")
    readings = {
        masked: Reading(1.0, (0.0, 0.0), (1.0, 0.0)),
        product: Reading(1.0, (1.0, 0.0), (0.0, 1.0)),
    }
    assert find_causes(flow(masked, product), [1, 2], readings, LAYERS) == {}
    dead = operation("Relu", "v", output="a")
    closed = readings.pop(masked)
    readings[dead] = Reading(1.0, (0.0,), (1.0,))
    found = find_causes(flow(dead, product), [1, 2], readings, LAYERS)
    assert found[1].reason == reasons.SATURATED
    assert found[2].reason == reasons.STUCK
    # One way that the next batch may open is enough.
    readings[masked] = closed
    assert (
        find_causes(flow(dead, masked, product), [1, 2], readings, LAYERS) == {}
    )


def test_loops():
    assert reason("While", "v", (0.0,), (0.0,)) == reasons.NO_STEP
    # The state passes through, and what comes out is a list.
    below = (0.0, 0.1)
    for above, expected in ((0.0, reasons.NO_STEP), (0.1, reasons.NO_STEP)):
        found = reason("While", ("v", "state"), below, (0.0,) * 2, above=above)
        assert found == expected
    assert reason("While", "v", (0.0,), (0.0,), above=0.0) is None


def test_only_what_lies_on_the_way_is_read():
    relu = operation("Relu", "v", output="a")
    other = operation("Relu", "data", output="b")
    add = operation("AddV2", "a", "b", output="loss")
    metric = operation("Relu", "a", output="metric")
    assert choose_operations(flow(relu, other, add, metric), [1]) == [relu, add]


def test_what_the_other_ways_cancel_out():
    inputs, sizes = ("v", "data"), (1.0, 1.0)
    for kind in ("Mul", "AddV2", "Sub"):
        for below, through, expected in (
            (0.0, 1.0, reasons.CANCELS),
            (1e-8, 1.0, reasons.CANCELS),
            (1e-3, 1.0, None),
            (0.0, 0.0, None),
        ):
            found = reason(
                kind, inputs, (below, 1.0), sizes, through=(through, 0.0)
            )
            assert found == expected


def test_sum_of_a_softmax():
    assert reason("Softmax", "v", (1e-8,), (5.0,)) == reasons.CANCELS
    assert reason("Softmax", "v", (1e-3,), (5.0,)) is None
