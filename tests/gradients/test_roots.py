import dataclasses

import numpy as np
import pytest
from toy_steps import Step

from keras_perceptual.gradients import ways
from keras_perceptual.gradients.replay import Numbers
from keras_perceptual.gradients.roots import Roots, Source

ZEROS = np.zeros((2, 3))
ONES = np.ones((2, 3))


def root_of(step, value):
    replay = step.replay()
    roots = Roots(
        replay.values,
        ways.makers_of(replay.operations),
        ways.origins_of(replay),
    )
    assert roots.is_zero(value.key)
    root = roots.find(value.key)
    return root.source, root.operation and root.operation.kind


@pytest.mark.parametrize(
    ("begin", "source"),
    [
        (lambda step: step.data("x", ZEROS), Source.DATA),
        (lambda step: step.variable("w", ZEROS), Source.VARIABLE),
        (lambda step: step.changeable(ZEROS), Source.CHANGEABLE),
        (lambda step: step.constant(ZEROS), Source.CONSTANT),
    ],
)
def test_what_was_there_before(begin, source):
    step = Step()
    value = begin(step)
    assert root_of(step, value) == (source, None)
    # On the way, the first operation is told.
    read = step.do("ReadVariableOp", value)
    more = step.do("MatMul", read, step.constant(ONES.T))
    assert root_of(step, more) == (source, "ReadVariableOp")


def test_a_level_operation_that_is_given_something():
    step = Step()
    x = step.data("x", ONES)
    closed = step.do("Relu", step.do("Sub", x, step.constant(9)))
    below = step.do(
        "Maximum", step.do("Sub", x, step.constant(9)), step.constant(0)
    )
    for value, kind in ((closed, "Relu"), (below, "Maximum")):
        more = step.do("Relu", step.do("MatMul", value, step.constant(ONES.T)))
        assert root_of(step, more) == (Source.LEVEL, kind)


def test_a_constant_makes_a_product_zero_and_adds_nothing():
    step = Step()
    x, none = step.data("x", ONES), step.constant(0)
    product = step.do("Relu", step.do("Mul", x, none))
    assert root_of(step, product) == (Source.FACTOR, "Mul")
    blank = step.data("x", ZEROS)
    total = step.do("Identity", step.do("AddV2", blank, none))
    assert root_of(step, total) == (Source.DATA, "AddV2")


def test_a_number_of_python_is_no_value():
    step = Step()
    x = step.data("x", ONES)
    value = step.do("Mul", x, step.constant(0))
    for inputs in ((x.key,), (x.key, None)):
        replay = step.replay()
        (operation,) = replay.operations
        changed = dataclasses.replace(operation, inputs=inputs)
        roots = Roots(replay.values, {value.key: changed}, {x.key: 2})
        assert roots.find(value.key).source is Source.FACTOR


def test_what_is_computed_tells_more_than_what_is_read():
    step = Step()
    x, w = step.data("x", ZEROS), step.variable("b", ZEROS)
    scaled = step.do("Relu", x)
    for pair in ((scaled, w), (w, scaled)):
        total = step.do("AddV2", *pair)
        assert root_of(step, total) == (Source.DATA, "Relu")


def test_gates():
    step = Step()
    x = step.data("x", ONES)
    is_open = step.do("Greater", x, step.constant(9))
    gate = step.do("Cast", is_open)
    assert root_of(step, gate) == (Source.CHOICE, "Greater")
    assert (
        root_of(step, step.do("Round", step.do("Mul", x, step.constant(0.1))))[
            0
        ]
        is Source.CHOICE
    )
    branch = step.do("If", is_open, step.data("x", ZEROS))
    assert root_of(step, branch) == (Source.CHOICE, "If")
    former = step.variable("state", ZEROS)
    chosen = step.do("SelectV2", is_open, x, former)
    assert root_of(step, chosen) == (Source.CHOICE, "SelectV2")
    # Where both are zero, it is not because of the choice.
    chosen = step.do("SelectV2", is_open, step.constant(0), former)
    assert root_of(step, chosen) == (Source.VARIABLE, "SelectV2")


def test_what_is_held_still_is_no_choice():
    step = Step()
    x = step.data("x", ONES)
    product = step.do("Mul", x, step.constant(0))
    held = step.do("StopGradient", product)
    assert root_of(step, held) == (Source.FACTOR, "Mul")
    held = step.do("StopGradient", step.variable("w", ZEROS))
    assert root_of(step, held) == (Source.VARIABLE, "StopGradient")


def test_what_is_true_or_false_is_not_read():
    step = Step()
    is_open = step.do("Greater", step.data("x", ONES), step.constant(9))
    gate = step.do("Cast", step.do("Identity", is_open))
    replay = step.replay()
    for unread in ({}, {"size": None}):
        values = dict(replay.values)
        del values[is_open.key]
        _, copy, cast = replay.operations
        del values[copy.outputs[0]]
        if unread:
            values[copy.outputs[0]] = Numbers(**unread)
        roots = Roots(
            values,
            ways.makers_of(replay.operations),
            ways.origins_of(replay),
        )
        assert roots.find(gate.key).source is Source.CHOICE
        assert roots.find(gate.key).operation is cast


def test_zeros_in_the_shape_of_something():
    step = Step()
    zeros = step.do("ZerosLike", step.variable("w", ONES))
    more = step.do("MatMul", zeros, step.constant(ONES.T))
    assert root_of(step, more) == (Source.CONSTANT, "ZerosLike")


def test_other_zeros():
    step = Step()
    x, same = step.data("x", ONES), step.data("same", ONES)
    nothing = step.do("Sub", x, same)
    assert root_of(step, nothing) == (Source.OTHER, "Sub")
    # What is left of a value less itself does not hang on the batch.
    assert root_of(step, step.do("Sub", x, x)) == (Source.FACTOR, "Sub")
    drawn = step.do("Mul", step.do("RandomUniform"), step.data("x", ZEROS))
    assert root_of(step, drawn) == (Source.DATA, "Mul")


def test_of_two_computed_values_the_data_tell_more():
    step = Step()
    x, w = step.data("x", ZEROS), step.variable("w", ZEROS)
    for values in ((x, w), (w, x)):
        total = step.do("AddV2", *(step.do("Identity", v) for v in values))
        assert root_of(step, total)[0] is Source.DATA
    # Of two that are no data, the one that the step computes.
    b = step.variable("b", ZEROS)
    for values in ((step.do("Square", w), b), (b, step.do("Square", w))):
        assert root_of(step, step.do("AddV2", *values))[1] == "Square"


def test_no_value_is_zero_of_which_nothing_is_known():
    roots = Roots({1: Numbers(0.0), 2: Numbers(1.0), 3: Numbers()}, {}, {})
    assert [roots.is_zero(value) for value in range(1, 5)] == [
        True,
        False,
        False,
        False,
    ]


def test_numbers_of_nothing_are_a_constant():
    step = Step()
    made = step.do("OnesLike", step.constant(ZEROS))
    replay = step.replay()
    (operation,) = replay.operations
    for varies, source in ((False, Source.CONSTANT), (True, Source.OTHER)):
        alone = dataclasses.replace(
            operation,
            kind="Fill",
            inputs=(),
            varies=varies,
            differentiable=True,
        )
        roots = Roots(replay.values, {made.key: alone}, {})
        assert roots.find(made.key).source is source
