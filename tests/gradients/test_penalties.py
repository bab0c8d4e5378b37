import dataclasses

import keras
import numpy as np
import pytest
from toy_steps import Step, frame

from keras_perceptual.gradients import diagnoses, penalties
from keras_perceptual.gradients.replay import Numbers, Operation

LAYERS = {
    name: keras.layers.Layer(name=name) for name in ("one", "gate", "three")
}


def minus(step, value, number):
    return step.do("Sub", value, step.constant(number))


def found_in(between, *, x=None, penalized=("one", "three"), read=False):
    """Two kernels with penalties, and something between their layers."""
    step = Step()
    rng = np.random.default_rng(0)
    x = step.data("x", rng.normal(size=(4, 3)) if x is None else x)
    kernels = {
        name: step.variable(name, rng.normal(size=(3, 3)))
        for name in ("one", "three")
    }

    def kernel(name):
        values = kernels[name]
        return step.do("ReadVariableOp", values) if read else values

    with step.at("one", line=1):
        value = step.do("MatMul", x, kernel("one"))
    with step.at("gate", line=5):
        value = between(step, value)
    with step.at("three", line=7):
        value = step.do("MatMul", value, kernel("three"))
    y = step.data("y", rng.normal(size=(4, 3)))
    loss = step.do("Mean", step.do("Square", step.do("Sub", y, value)))
    for name in penalized:
        with step.at(function=penalties.PENALTIES):
            penalty = step.do("Mean", step.do("Square", kernel(name)))
        loss = step.do("AddV2", loss, penalty)
    step.differentiate(loss, kernels)
    causes = penalties.find_penalized(step.replay(), list(kernels), LAYERS)
    return {
        name: (
            cause.diagnosis,
            *((p.operation, p.line) for p in cause.places),
        )
        for name, cause in causes.items()
    }


def test_which_operations_are_a_penalty():
    inside = (frame(1), frame(2, penalties.PENALTIES), frame(3, "l2"))
    assert penalties.is_penalty(Operation("Mul", (), (), frames=inside))
    assert not penalties.is_penalty(Operation("Mul", (), (), frames=inside[:1]))


@pytest.mark.parametrize("read", [False, True])
class TestPenalized:
    def test_a_penalty_beside_a_loss_is_well(self, read):
        assert found_in(lambda step, v: step.do("Tanh", v), read=read) == {}

    def test_nothing_else_reaches_it(self, read):
        found = found_in(lambda step, v: step.do("Round", v), read=read)
        assert found == {"one": (diagnoses.PENALTY, ("Round", 5))}

    def test_zeros_under_the_penalty(self, read):
        def dead(step, value):
            return step.do("Relu", minus(step, value, 1e6))

        found = found_in(dead, read=read)
        zero = diagnoses.ZERO_UNDER_PENALTY, ("Relu", 5)
        assert found == {"one": zero, "three": zero}

    def test_zeros_that_another_batch_may_end(self, read):
        def closed(step, value):
            is_open = step.do("Greater", value, step.constant(1e9))
            return step.do("Mul", value, step.do("Cast", is_open))

        assert found_in(closed, read=read) == {}

    def test_zeros_that_stand_for_no_gradient(self, read):
        def rounded(step, value):
            return step.do("round", value, differentiable=False)

        found = found_in(rounded, read=read)
        assert found == {"one": (diagnoses.PENALTY, ("round", 5))}


def test_without_a_penalty_nothing_is_said():
    assert found_in(lambda step, v: step.do("Round", v), penalized=()) == {}
    found = found_in(lambda step, v: step.do("Round", v), penalized=("three",))
    assert found == {}


def test_a_branch_is_a_doubt():
    def in_a_branch(kind):
        def rounded(step, value):
            with step.at(conditional=True):
                return step.do(kind, value)

        return found_in(rounded)

    cut = {"one": (diagnoses.CUT_IN_BRANCH, ("Round", 5))}
    assert in_a_branch("Round") == cut
    assert in_a_branch("Tanh") == {}


def test_an_output_without_a_loss():
    def aside(conditional):
        def compute(step, value):
            with step.at(conditional=conditional):
                step.do("Tanh", value)
            return step.constant(np.ones((4, 3)))

        return found_in(compute, penalized=("one",))

    assert aside(False) == {"one": (diagnoses.PENALTY, ("Tanh", 5))}
    # Another branch may use it.
    assert aside(True) == {}


def test_a_branch_that_was_looked_into_is_no_doubt():
    def with_choice(alternatives):
        def compute(step, value):
            step.do("Tanh", value)
            ones = step.constant(np.ones((4, 3)))
            reached = frozenset(alternatives(value))
            return step.do("If", step.constant(1), ones, alternatives=reached)

        return found_in(compute, penalized=("one",))

    penalty = {"one": (diagnoses.PENALTY, ("Tanh", 5))}
    assert with_choice(lambda value: []) == penalty
    assert with_choice(lambda value: [value.key]) == {}


def test_a_gradient_that_something_hands_on_is_none_of_the_penalty():
    # Nothing is known of what a function of its own makes of a gradient.
    assert found_in(lambda step, v: step.do("IdentityN", v)) == {}


def test_a_layer_between_that_adds_something_else():
    # Where the sum of the data is zero and its parts are not.
    step = Step()
    w = step.variable("one", np.ones((1, 1)))
    up = step.do("Mul", w, step.data("x", np.ones((1, 1))))
    down = step.do("Mul", w, step.data("x", -np.ones((1, 1))))
    loss = step.do("Mean", step.do("AddV2", up, down))
    with step.at(function=penalties.PENALTIES):
        penalty = step.do("Mean", step.do("Square", w))
    step.differentiate(step.do("AddV2", loss, penalty), ["one"])
    assert penalties.find_penalized(step.replay(), ["one"], LAYERS) == {}


def test_what_an_operation_adds_is_known_by_its_factors():
    # Where nobody wrote down what it adds.
    step = Step()
    kernel = step.variable("one", np.ones((3, 3)))
    blank = step.do("Mul", step.data("x", np.ones((4, 3))), step.constant(0))
    with step.at("one", line=1):
        value = step.do("MatMul", blank, kernel)
    loss = step.do("Mean", minus(step, value, 1.0))
    with step.at(function=penalties.PENALTIES):
        penalty = step.do("Mean", step.do("Square", kernel))
    step.differentiate(step.do("AddV2", loss, penalty), ["one"])
    replay = step.replay()
    replay = dataclasses.replace(
        replay,
        derivatives=(
            dataclasses.replace(replay.derivatives[0], contributions={}),
        ),
    )
    found = penalties.find_penalized(replay, ["one"], LAYERS)
    assert found["one"].diagnosis is diagnoses.ZERO_UNDER_PENALTY


def test_an_operation_that_nothing_comes_back_to_adds_nothing():
    """Where nobody wrote down what it adds, and no factor is zero."""
    step = Step()
    kernel = step.variable("one", np.ones((2, 2)))
    value = step.do("Tanh", step.do("Square", kernel))
    step.differentiate(step.do("Mean", step.do("Relu", value)), ["one"])
    replay = step.replay()
    (derivative,), square = replay.derivatives, replay.operations[0]
    for gradients, is_idle in (
        (derivative.gradients, False),
        ({key: Numbers(0.0) for key in derivative.gradients}, True),
        ({}, True),
    ):
        other = dataclasses.replace(
            derivative, gradients=gradients, contributions={}
        )
        assert penalties._is_idle(replay, other, square, 0) is is_idle
