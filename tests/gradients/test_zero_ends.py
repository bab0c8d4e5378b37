import dataclasses
import types

import keras
import numpy as np
import pytest
from toy_steps import Step

from keras_perceptual.gradients import diagnoses, zero_steps
from keras_perceptual.gradients.cuts import Locator
from keras_perceptual.gradients.places import Place
from keras_perceptual.gradients.replay import (
    Derivative,
    Numbers,
    Operation,
    Replay,
)
from keras_perceptual.gradients.zero_ends import End, Judge

ONE_ROW = np.ones((1, 3))
GRADIENTS = {2: Numbers(1.0)}


def step_of(step, *variables):
    return zero_steps.Step(step.replay(), list(variables))


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
    pack, getitem, _ = step.replay().operations
    aside = End(getitem, diagnoses.ZERO, aside=True)
    assert judge_of(step, "v").judge(pack, 0) == (aside if fixed else End(pack))


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


def judged(step, of, *variables, place=0, layers=None, **changes):
    """Returns the end at an operation of a kind, as a name and its kind."""
    replay = step.replay()
    operation = next(o for o in replay.operations if o.kind == of)
    if changes:
        changed = dataclasses.replace(operation, **changes)
        replay = dataclasses.replace(
            replay,
            operations=tuple(
                changed if o is operation else o for o in replay.operations
            ),
        )
        operation = changed
    known = zero_steps.Step(replay, list(variables))
    judge = Judge(known, replay.derivatives[0], Locator(layers or {}))
    end = judge.judge(operation, place)
    return end.diagnosis, end.operation.kind


LAYERS = {"dense": keras.layers.Layer(name="dense")}


@pytest.mark.parametrize(
    ("shape", "add", "kind", "diagnosis"),
    [
        ((2, 1), 0.0, "Softmax", diagnoses.SOFTMAX_OF_ONE),
        ((2, 1), 39.0, "Softmax", diagnoses.SOFTMAX_OF_ONE),
        ((2, 1), 0.0, "LogSoftmax", diagnoses.SOFTMAX_OF_ONE),
        # One of several is far above the others: as level as a ReLU.
        ((2, 3), [50.0, 0.0, 0.0], "Softmax", diagnoses.SATURATED),
        ((2, 3), 0.0, "Softmax", diagnoses.CANCELS),
        ((2, 3), 0.0, "LogSoftmax", None),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_ends_at_a_softmax(shape, add, kind, diagnosis, masked):
    step = Step()
    x = step.data("x", np.ones(shape))
    w = step.variable("w", np.zeros(shape))
    value = step.do("AddV2", step.do("Mul", x, w), step.data("x", np.zeros(1)))
    shift = np.broadcast_to(add, shape)
    with step.at("dense"):
        if masked:
            value = step.do("AddV2", value, step.constant(shift))
        else:
            # What is learned is no mask, however large.
            value = step.do("AddV2", value, step.variable("b", shift))
        found = step.do(kind, value)
    step.differentiate(step.do("Mean", found), ["w"])
    if masked and diagnosis is diagnoses.SATURATED:
        diagnosis = None
    assert judged(step, kind, "w", layers=LAYERS) == (diagnosis, kind)


@pytest.mark.parametrize("layer", [None, "dense"])
def test_what_is_level_is_saturated_in_a_layer_alone(layer):
    """A loss may have enough, as a hinge loss of far apart classes."""
    step = Step()
    x, w = step.data("x", np.ones((2, 3))), step.variable("w", np.ones((2, 3)))
    with step.at(*filter(None, [layer])):
        low = step.do("Sub", step.do("Mul", x, w), step.constant(9))
        step.differentiate(step.do("Mean", step.do("Relu", low)), ["w"])
    diagnosis = diagnoses.SATURATED if layer else diagnoses.ZERO
    assert judged(step, "Relu", "w", layers=LAYERS) == (diagnosis, "Relu")


def test_what_is_given_nothing_but_zeros():
    """The data, or the operation above that lets nothing through."""
    step = Step()
    x, w = step.data("x", np.zeros(3)), step.variable("w", np.ones(3))
    blank = step.do("Maximum", step.do("Mul", x, w), step.constant(0))
    step.differentiate(step.do("Mean", blank), ["w"])
    assert judged(step, "Maximum", "w") == (diagnoses.BLANK_INPUT, "Mul")
    step = Step()
    x, w = step.data("x", np.ones(3)), step.variable("w", np.ones(3))
    closed = step.do("Relu", step.do("Sub", x, step.constant(9)))
    above = step.do("Maximum", step.do("Identity", closed), step.constant(0))
    step.differentiate(step.do("Mean", step.do("Mul", above, w)), ["w"])
    assert judged(step, "Maximum", "w") == (diagnoses.ZERO, "Relu")


def test_the_larger_of_two_learned_values_is_a_choice():
    step = Step()
    w, v = step.variable("w", np.zeros(3)), step.variable("v", np.ones(3))
    step.differentiate(step.do("Mean", step.do("Maximum", w, v)), ["w", "v"])
    assert judged(step, "Maximum", "w") == (None, "Maximum")


@pytest.mark.parametrize("place", [0, 1])
def test_the_derivative_of_a_relu(place):
    step = Step()
    x, w = step.data("x", -np.ones(3)), step.variable("w", np.ones(3))
    features = step.do("Mul", x, w)
    step.do("Relu", features)
    upper = step.do("Square", w)
    slope = step.do("ReluGrad", upper, features)
    step.differentiate(step.do("Mean", slope), ["w"])
    diagnosis = diagnoses.SECOND_DERIVATIVE if place else diagnoses.ZERO
    assert judged(step, "ReluGrad", "w", place=place) == (diagnosis, "Relu")


@pytest.mark.parametrize(
    ("chooser", "diagnosis", "chosen"),
    [
        ("data", diagnoses.MASKED, True),
        ("constant", diagnoses.TIMES_ZERO, False),
        ("changeable", diagnoses.ZERO, False),
        ("learned", None, False),
        ("drawn", None, False),
    ],
)
def test_who_chose_something_else(chooser, diagnosis, chosen):
    step = Step()
    w, other = step.variable("w", np.ones((2, 3))), step.constant(1)
    condition = {
        "data": lambda: step.data("x", np.zeros((2, 3))),
        "constant": lambda: step.constant(np.zeros((2, 3))),
        "changeable": lambda: step.changeable(np.zeros((2, 3))),
        "learned": lambda: step.variable("c", np.zeros((2, 3))),
        "drawn": lambda: step.do(
            "Greater", step.do("RandomUniform"), step.constant(1)
        ),
    }[chooser]()
    step.differentiate(
        step.do("Mean", step.do("SelectV2", condition, w, other)), ["w"]
    )
    judge = judge_of(step, "w")
    choice = step.replay().operations[-2]
    assert judge.judge(choice, 1) == End(choice, diagnosis, chosen=chosen)


def product(factor, *, kind="Mul", moving=()):
    """A step in which a weight is multiplied by something."""
    step = Step()
    w = step.variable("w", np.ones((3, 3)))
    other = factor(step)
    step.differentiate(step.do("Mean", step.do(kind, w, other)), ["w", *moving])
    return step


def closed(step):
    x = step.data("x", np.ones((3, 3)))
    return step.do("Relu", step.do("Sub", x, step.constant(9)))


def gate(step):
    x = step.data("x", np.ones((3, 3)))
    return step.do("Cast", step.do("Greater", x, step.constant(9)))


def times_nothing(step):
    x = step.data("x", np.ones((3, 3)))
    return step.do("Relu", step.do("Mul", x, step.constant(0)))


def zeros(name):
    """Returns a function that makes zeros of a kind."""

    def make(step):
        array = np.zeros((3, 3))
        if name in ("data", "variable"):
            return getattr(step, name)("v", array)
        return getattr(step, name)(array)

    return make


@pytest.mark.parametrize(
    ("factor", "kind", "diagnosis", "at"),
    [
        (zeros("constant"), "Mul", diagnoses.TIMES_ZERO, "Mul"),
        # As the first state of a recurrent layer.
        (zeros("constant"), "MatMul", diagnoses.ZERO, "MatMul"),
        (times_nothing, "Mul", diagnoses.TIMES_ZERO, "Mul"),
        (zeros("changeable"), "Mul", diagnoses.ZERO, "Mul"),
        (zeros("data"), "Mul", diagnoses.MASKED, "Mul"),
        (zeros("data"), "MatMul", diagnoses.BLANK_INPUT, "MatMul"),
        (closed, "Mul", diagnoses.ZERO, "Relu"),
        (closed, "MatMul", diagnoses.ZERO, "Relu"),
        (gate, "Mul", diagnoses.MASKED, "Mul"),
        (gate, "MatMul", None, "MatMul"),
        (lambda step: step.do("Identity", gate(step)), "MatMul", None, None),
        (lambda step: step.constant(np.ones((3, 3))), "Mul", None, "Mul"),
    ],
)
def test_what_another_factor_is_zero_for(factor, kind, diagnosis, at):
    found = judged(product(factor, kind=kind), kind, "w")
    assert found == (diagnosis, at or kind)


def test_factors_that_wait_for_each_other():
    step = product(zeros("variable"), moving=["v"])
    multiplication = step.replay().operations[0]
    # Both stay as they are.
    end = judge_of(step, "w", "v").judge(multiplication, 0)
    assert end == End(multiplication, diagnoses.STUCK, partners=2)
    # The other one moves, and will not stay zero.
    assert judge_of(step, "w").judge(multiplication, 0) == End(multiplication)


def test_a_closed_relu_above_what_moves_may_open():
    def factor(step):
        v = step.variable("v", -np.ones((3, 3)))
        step.do("Square", v)
        return step.do("Relu", v)

    step = product(factor, moving=["v"])
    relu, multiplication = step.replay().operations[1:3]
    end = judge_of(step, "w").judge(multiplication, 0)
    # No gradient comes to the other one, which therefore does not move.
    assert end == End(relu, diagnoses.ZERO, partners=0)
    assert judge_of(step, "w", "v").judge(multiplication, 0).partners == 2


@pytest.mark.parametrize("place", [1, 2])
def test_what_is_added_to_a_product_is_no_factor(place):
    """PyTorch adds the first input to the product of the two others."""
    step = Step()
    bias, w = step.variable("b", np.ones(3)), step.variable("w", np.ones(3))
    nothing = step.constant(np.zeros(3))
    step.differentiate(
        step.do("Mean", step.do("AddV2", bias, step.do("Mul", w, nothing))),
        ["w"],
    )
    factors = (w.key, nothing.key)[:: 1 if place == 1 else -1]
    changes = {"kind": "addmm", "inputs": (bias.key, *factors)}
    found = judged(step, "AddV2", "w", place=place, **changes)
    assert found == (diagnoses.ZERO, "addmm")
    found = judged(step, "AddV2", "b", place=0, **changes)
    assert found == (None, "addmm")


def test_a_number_of_python_that_is_zero():
    step = product(lambda step: step.constant(0))
    (w,) = step.replay().holders
    for kind, diagnosis in (("Mul", diagnoses.TIMES_ZERO), ("matmul", None)):
        for inputs in ((w,), (w, None)):
            found = judged(step, "Mul", "w", kind=kind, inputs=inputs)
            assert found == (diagnosis, kind)


@pytest.mark.parametrize("own", [False, True])
def test_what_somebody_wrote_may_be_wrong(own):
    step = Step()
    w = step.variable("w", np.zeros(3))
    step.differentiate(step.do("Mean", step.do("Square", w)), ["w"])
    found = judged(step, "Square", "w", own_gradient=own)
    assert found == (diagnoses.ZERO if own else None, "Square")


@pytest.mark.parametrize("divisor", [1.0, 2.0])
@pytest.mark.parametrize("name", ["keras.activations.softmax", ""])
def test_a_softmax_that_is_written_out(name, divisor):
    """Numbers divided by their sum, which is the number itself."""
    step = Step()
    x = step.data("x", np.full((2, 1), divisor))
    value = step.do("Mul", x, step.variable("w", np.ones((2, 1))))
    share = step.do("RealDiv", value, step.do("RowMean", value))
    step.differentiate(step.do("Mean", share), ["w"])
    known = step_of(step, "w")
    locator = types.SimpleNamespace(locate=lambda o: Place(o.kind, name))
    judge = Judge(known, known.replay.derivatives[0], locator)
    division = known.makers[share.key]
    alone = name and divisor == 1
    diagnosis = diagnoses.SOFTMAX_OF_ONE if alone else diagnoses.CANCELS
    assert judge.judge(division, 0) == End(division, diagnosis)


@pytest.mark.parametrize("share", [0.5, 1 - 1e-3, 1 - 1e-9])
def test_what_is_left_of_a_difference_is_rounding_or_is_not(share):
    step = Step()
    x, w = step.data("x", np.ones(3)), step.variable("w", np.ones(3))
    value = step.do("Mul", x, w)
    most = step.do("Mul", value, step.constant(share))
    step.differentiate(step.do("Mean", step.do("Sub", value, most)), ["w"])
    judge = judge_of(step, "w")
    difference = step.replay().operations[2]
    cancels = diagnoses.CANCELS if 1 - share < 1e-6 else None
    assert judge.judge(difference, 0) == End(difference, cancels)
    assert (value.key in judge.find_arriving()) == (cancels is None)


@pytest.mark.parametrize("same", [True, False])
def test_what_is_divided_by_itself_cancels_out_without_any_data(same):
    """Of two variables that happen to be equal, it may be a coincidence."""
    step = Step()
    w, v = step.variable("w", np.ones((2, 3))), step.variable("v", ONE_ROW)
    a = step.do("Mul", w, v)
    other = a if same else step.do("Mul", w, v)
    step.differentiate(step.do("Mean", step.do("RealDiv", a, other)), ["w"])
    judge = judge_of(step, "w")
    assert (a.key in judge.find_arriving()) is not same


@pytest.mark.parametrize(("share", "cancels"), [(5e-6, True), (5e-5, False)])
def test_what_a_normalization_rounds_is_larger(share, cancels):
    """It divides by a deviation of zero, where there is one feature."""
    normalize = Operation("layer_norm", (1,), (2,))
    known = Replay(
        (normalize,),
        {0: "w"},
        (Derivative((2,), frozenset("w"), GRADIENTS | {1: Numbers(share)}),),
        {key: Numbers(1.0) for key in range(3)},
        data={1: "x"},
    )
    known = zero_steps.Step(known, ["w"])
    judge = Judge(known, known.replay.derivatives[0], Locator({}))
    assert (1 not in judge.find_arriving()) is cancels
