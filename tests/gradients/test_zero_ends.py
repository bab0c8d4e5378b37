import numpy as np
import pytest
from toy_steps import Step

from keras_perceptual.gradients import diagnoses, zero_ends
from keras_perceptual.gradients.cuts import Locator
from keras_perceptual.gradients.zero_ends import End, Judge


def step_of(step, *variables):
    return zero_ends.Step(step.replay(), list(variables))


def test_what_moves_and_what_waits():
    step = Step()
    w, v = step.variable("w", 1.0), step.variable("v", 1.0)
    a = step.do("Mul", w, v)
    b = step.do("Identity", w)
    c = step.do("ZerosLike", a)
    step.differentiate(step.do("AddV2", a, b), ["w", "v"])
    known = step_of(step, "w")
    assert known.moves(a.key) and not known.moves(b.key)
    assert known.partners_in(a.key) == known.partners_in(b.key) == 1
    # What only has the shape of something does not wait for it.
    assert not known.moves(c.key) and not known.partners_in(c.key)


def judge_of(step, *variables):
    known = step_of(step, *variables)
    return Judge(known, known.replay.derivatives[0], Locator({}))


def test_what_arrives():
    step = Step()
    x, w = step.data("x", np.ones((2, 3))), step.variable("w", np.ones((2, 3)))
    a = step.do("Mul", x, w)
    b = step.do("Relu", step.do("Sub", a, step.constant(9)))
    loss = step.do("Mean", b)
    step.differentiate(loss, ["w"])
    assert judge_of(step, "w").find_arriving() == {loss.key, b.key}


def test_rounding_errors_do_not_arrive():
    step = Step()
    x, w = step.data("x", np.ones((2, 3))), step.variable("w", np.ones((3, 3)))
    a = step.do("MatMul", x, w)
    b = step.do("Softmax", a)
    loss = step.do("Mean", step.do("RowMean", b))
    step.differentiate(loss, ["w"])
    judge = judge_of(step, "w")
    assert a.key not in judge.find_arriving()
    assert b.key in judge.find_arriving()
    softmax = step.replay().operations[1]
    assert judge.judge(softmax, 0) == End(softmax, diagnoses.CANCELS)


def test_what_another_operation_explains():
    # The mean of a single number cancels out the number.
    step = Step()
    x, w = step.data("x", np.ones((2, 1))), step.variable("w", np.ones((1, 1)))
    a = step.do("MatMul", x, w)
    mean = step.do("RowMean", a)
    step.differentiate(step.do("Mean", step.do("Sub", a, mean)), ["w"])
    judge = judge_of(step, "w")
    _, average, difference, _ = step.replay().operations
    assert judge.judge(average, 0) is None
    assert judge.judge(difference, 0) == End(difference, diagnoses.CANCELS)


@pytest.mark.parametrize("fixed", [True, False])
def test_a_part_of_what_is_put_together(fixed):
    # As of the results of all turns of a loop, of which the last is taken.
    step = Step()
    v, w = step.variable("v", np.ones(3)), step.variable("w", np.ones(3))
    together = step.do("Pack", v, w)
    place = step.constant(1) if fixed else step.data("x", 1)
    part = step.do("GetItem", together, place)
    step.differentiate(step.do("Mean", part), ["v", "w"])
    pack, *_ = step.replay().operations
    assert judge_of(step, "v").judge(pack, 0) == (None if fixed else End(pack))


@pytest.mark.parametrize("fixed", [True, False])
def test_a_part_of_a_sum_of_what_is_put_together(fixed):
    # As of the derivatives by two columns, of which one is asked for.
    step = Step()
    v, w = step.variable("v", np.ones(3)), step.variable("w", np.ones(3))
    zeros = step.constant(np.zeros(3))
    total = step.do(
        "AddV2", step.do("Pack", v, zeros), step.do("Pack", zeros, w)
    )
    place = step.constant(1) if fixed else step.data("x", 1)
    part = step.do("GetItem", total, place)
    step.differentiate(step.do("Mean", part), ["v", "w"])
    pack, *_ = step.replay().operations
    assert judge_of(step, "v").judge(pack, 0) == (None if fixed else End(pack))


@pytest.mark.parametrize("learned", [False, True])
def test_a_choice_that_is_the_derivative_of_a_bound(learned):
    # In a derivative by the data, which is differentiated by the weights.
    step = Step()
    x, w = step.data("x", np.ones(3)), step.variable("w", np.ones(3))
    a = step.do("Mul", x, w)
    bound = step.variable("b", np.full(3, 9.0))
    bound = bound if learned else step.constant(np.full(3, 9.0))
    step.do("Maximum", a, bound)
    above = step.do("Greater", a, bound)
    chosen = step.do("SelectV2", above, a, step.do("ZerosLike", a))
    step.differentiate(step.do("Mean", chosen), ["w"])
    _, maximum, _, _, choice, _ = step.replay().operations
    end = End(choice) if learned else End(maximum, diagnoses.ZERO)
    assert judge_of(step, "w").judge(choice, 1) == end


def test_all_of_what_is_put_together():
    step = Step()
    v, w = step.variable("v", np.ones(3)), step.variable("w", np.ones(3))
    together = step.do("Pack", v, w)
    weighed = step.do("Mul", together, step.constant([[0.0], [1.0]]))
    step.differentiate(step.do("Mean", weighed), ["v", "w"])
    pack, *_ = step.replay().operations
    assert judge_of(step, "v").judge(pack, 0) == End(pack)


def test_what_is_not_known_is_left_open():
    step = Step()
    w = step.variable("w", np.zeros(3))
    step.differentiate(step.do("Mean", step.do("Square", w)), ["w"])
    square, _ = step.replay().operations
    assert judge_of(step, "w").judge(square, 0) == End(square)


@pytest.mark.parametrize("drawn", ["anew", "of a seed", "never"])
def test_what_a_dropout_left_nothing_of(drawn):
    # Another batch keeps other numbers, so that a ReLU above is not dead.
    step = Step()
    x, w = step.data("x", np.ones((2, 3))), step.variable("w", np.ones((2, 3)))
    numbers = {
        "anew": step.do("RandomUniform"),
        "of a seed": step.do("Square", step.changeable(np.ones((2, 3)))),
        "never": x,
    }[drawn]
    mask = step.do("Cast", step.do("Greater", numbers, step.constant(1)))
    relu = step.do("Relu", step.do("Mul", step.do("Mul", x, w), mask))
    step.differentiate(step.do("Mean", relu), ["w"])
    operation = step.replay().operations[-2]
    assert operation.outputs == (relu.key,)
    assert judge_of(step, "w").judge(operation, 0) == End(
        operation, diagnoses.ZERO if drawn == "never" else None
    )
