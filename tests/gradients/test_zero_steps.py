import numpy as np
from toy_steps import Step

from keras_perceptual.gradients import zero_steps
from keras_perceptual.gradients.ways import Origin


def step_of(step, *variables):
    return zero_steps.Step(step.replay(), list(variables))


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


def test_a_variable_moves_with_a_gradient_alone():
    step = Step()
    w, v = step.variable("w", 1.0), step.variable("v", 1.0)
    closed = step.do("Mul", v, step.constant(0.0))
    step.differentiate(step.do("AddV2", w, closed), ["w", "v"])
    known = step_of(step, "v")
    assert known.moves(w.key) and not known.moves(v.key)
    assert not step_of(step, "w").moves(v.key)


def test_where_values_come_from():
    step = Step()
    x, w = step.data("x", np.ones(3)), step.variable("w", np.ones(3))
    fixed = step.constant(np.ones(3))
    product = step.do("Mul", x, w)
    low = step.do("Maximum", product, fixed)
    relu = step.do("Relu", low)
    step.differentiate(step.do("Mean", relu), ["w"])
    known = step_of(step, "w")
    multiply, maximum, closed, _ = known.replay.operations
    assert known.origin_of(fixed.key) is Origin.CONSTANT
    assert known.origin_of(product.key) == Origin.DATA | Origin.HOLDER
    assert known.makers[product.key] is multiply
    assert known.users[product.key] == [(maximum, 0)]
    assert known.bounds == {frozenset((product.key, fixed.key)): maximum}
    assert known.relus[relu.key] is closed
    assert known.beginnings == [[w.key]]
    assert relu.key in known.reach.any
