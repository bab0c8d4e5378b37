import functools

import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def jax():
    import jax

    return jax


@pytest.fixture
def jaxprs():
    return tracers.load("jaxprs")


def traced(jax, function, *shapes):
    return jax.make_jaxpr(function)(*map(np.ones, shapes)).jaxpr


@pytest.mark.parametrize("wrapper", ["jit", "checkpoint"])
def test_outputs_that_depend_on_an_input(jax, jaxprs, wrapper):
    def function(x, y):
        return x + 1, x * y, y**2, 3.0

    wrapped = getattr(jax, wrapper)(function)
    jaxpr = traced(jax, wrapped, 2, 2)
    assert jaxprs.dependent_outputs(jaxpr, [True, False]) == (
        [True, True, False, False]
    )
    assert jaxprs.dependent_outputs(jaxpr, [False, True]) == (
        [False, True, True, False]
    )


def test_turns_of_loops(jax, jaxprs):
    """What goes on from turn to turn depends on it after some of them."""

    def function(x, y):
        def turn(carry, v):
            first, second, third = carry
            return (first, second + third, third + first), v + second

        return jax.lax.scan(turn, (x, 1.0, 2.0), y)

    jaxpr = traced(jax, function, (), 2)
    depends = functools.partial(jaxprs.dependent_outputs, jaxpr)
    assert depends([True, False]) == [True, True, True, True]
    assert depends([False, True]) == [False, False, False, True]
    assert jaxprs.called_jaxpr(jaxpr.eqns[-1]) == (None, ())


def test_loops_that_end_some_time(jax, jaxprs):
    def function(x, y, end):
        return jax.lax.while_loop(
            lambda carry: carry[0] < end,
            lambda carry: (carry[0] + 1.0, carry[1] * y, carry[2] * 2),
            (0.0, x, x),
        )

    depends = functools.partial(
        jaxprs.dependent_outputs, traced(jax, function, (), (), ())
    )
    assert depends([True, False, False]) == [False, True, True]
    assert depends([False, True, False]) == [False, True, False]
    assert depends([False, False, True]) == [True, True, True]


def test_all_branches(jax, jaxprs):
    def function(x, y, chosen):
        return jax.lax.cond(
            chosen > 0,
            lambda x, y: (x, 1.0),
            lambda x, y: (y, 2.0),
            x,
            y,
        )

    depends = functools.partial(
        jaxprs.dependent_outputs, traced(jax, function, (), (), ())
    )
    assert depends([True, False, False]) == [True, False]
    assert depends([False, True, False]) == [True, False]
    assert depends([False, False, True]) == [True, True]


def test_operations_in_turns_and_branches_are_counted(jax, jaxprs):
    def function(x):
        def turn(carry, v):
            return jax.lax.cond(
                v > 0, lambda c: c + 1, lambda c: jax.numpy.sin(c) * 2, carry
            ), None

        return jax.lax.scan(turn, 0.0, x)[0]

    (scan,) = [
        equation
        for equation in traced(jax, function, 5).eqns
        if equation.primitive.name == "scan"
    ]
    # A comparison, a conversion, and the longer branch.
    assert jaxprs.count_calls(scan) == 5 * 4


def test_what_an_equation_calls(jax, jaxprs):
    constant = jax.numpy.arange(3.0)
    jaxpr = traced(jax, jax.jit(lambda x: x * constant + x), 3)
    inner, constants = jaxprs.called_jaxpr(jaxpr.eqns[0])
    assert [e.primitive.name for e in inner.eqns] == ["mul", "add"]
    assert len(constants) == len(inner.constvars)
    assert jaxprs.called_jaxpr(inner.eqns[0]) == (None, ())


def test_equations_that_hold_others(jax, jaxprs):
    def function(x):
        (x,) = jax.lax.scan(lambda c, v: (c, v), 0.0, x)[1:]
        x = jax.lax.cond(x.sum() > 0, jax.numpy.sin, jax.numpy.cos, x)
        return jax.nn.relu(x)

    holding = [
        equation.primitive.name
        for equation in traced(jax, function, 2).eqns
        if jaxprs.holds_jaxpr(equation)
    ]
    assert holding == ["scan", "cond", "custom_jvp_call"]


def test_an_equation_as_a_function(jax, jaxprs):
    """Inputs that were one and the same can then be different."""
    (equation,) = traced(jax, lambda x: x * x, 2).eqns
    function = jaxprs.function_of(equation, [0])
    (found,) = function(np.float32([2, 3]), np.float32([5, 7]))
    np.testing.assert_array_equal(found, [10, 21])


def test_one_of_several_outputs(jax, jaxprs):
    (equation,) = traced(jax, lambda x: jax.lax.top_k(x, 1)[1], 3).eqns
    x = np.float32([2, 9, 3])
    first, second = jaxprs.function_of(equation, [0, 1])(x)
    np.testing.assert_array_equal(first, [9])
    np.testing.assert_array_equal(second, [1])


def test_literals(jax, jaxprs):
    (equation,) = traced(jax, lambda x: x + 1.0, 2).eqns
    flags = [jaxprs.is_literal(atom) for atom in equation.invars]
    assert flags == [False, True]
    x, one = jaxprs.shapes_of(equation.invars)
    assert (x.shape, one.shape, one.dtype) == ((2,), (), "float32")
