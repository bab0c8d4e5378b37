"""The two programs that are made of one trace of a step on JAX."""

import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.statistics import GradientStatistics

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def jax():
    import jax

    return jax


@pytest.fixture
def programs():
    return tracers.load("programs")


class Run:
    """A step that hands its gradients to nobody but the `Call`s."""

    def __init__(self, jax, programs, scale=None, regularizer=None):
        self.jax, self.programs, self.scale = jax, programs, scale
        self.variable = keras.Variable([1.0, 2.0], name="weight")
        self.variable.regularizer = regularizer
        self.runs = 0

    def __call__(self, state, data):
        self.runs += 1
        (weight,) = state

        def loss(weight):
            return self.jax.numpy.sum(weight**2 * data["x"])

        value, gradient = self.jax.value_and_grad(loss)(weight)
        scale = self.scale
        if scale is not None:
            gradient = gradient * scale
        call = self.programs.Call(
            [self.variable], [weight], [gradient], scale, False
        )
        return ({"loss": value}, [weight - 0.1 * gradient]), [call], []


def prepared(jax, programs, **arguments):
    run = Run(jax, programs, **arguments)
    state = [np.array([1.0, 2.0], "float32")]
    data = {"x": np.array([3.0, 4.0], "float32")}
    return run, programs.Program(run, state, data), state, data


def statistics_of(program, state, data):
    ((keys, rows),), _ = program.statistics(state, data)
    return keys, GradientStatistics.from_row(np.asarray(rows)[0])


def test_both_programs_are_made_of_one_trace(jax, programs):
    run, program, state, data = prepared(jax, programs)
    assert run.runs == 1
    logs, (weight,) = program.step(state, data)
    # The gradient is 2 w x = (6, 16).
    assert float(logs["loss"]) == 19.0
    np.testing.assert_allclose(weight, [0.4, 0.4], atol=1e-6)
    keys, found = statistics_of(program, state, data)
    assert keys == (id(run.variable),)
    assert found.norm == pytest.approx(np.hypot(6, 16))
    # Of other numbers, without the Python code.
    _, found = statistics_of(program, [2 * state[0]], data)
    assert found.norm == pytest.approx(2 * np.hypot(6, 16))
    assert run.runs == 1


def test_step_has_nothing_added(jax, programs):
    """Something else in it could make XLA round in another way."""
    run, program, state, data = prepared(jax, programs)
    plain = jax.make_jaxpr(lambda *args: run(*args)[0])(state, data)
    ours = jax.make_jaxpr(program.step)(state, data)

    def instructions(closed):
        function = jax.jit(jax.extend.core.jaxpr_as_fun(closed))
        leaves = jax.tree.leaves((state, data))
        text = function.lower(*leaves).compile().as_text()
        return [
            line.split(" = ")[1].split(", metadata")[0]
            for line in text.splitlines()
            if " = " in line
        ]

    assert len(instructions(ours)) > 5
    assert instructions(ours) == instructions(plain)


def test_nothing_of_the_trace_is_kept(jax, programs):
    """A tensor of a trace that has ended can be used by nobody."""
    _, program, _, _ = prepared(jax, programs)
    assert [call.tensors for call in program._calls] == [None]


@pytest.mark.parametrize("traced", [False, True])
def test_loss_scale_that_is_a_number_or_computed(jax, programs, traced):
    scale = jax.numpy.asarray(8.0) if traced else 8.0
    _, program, state, data = prepared(jax, programs, scale=scale)
    _, found = statistics_of(program, state, data)
    assert found.norm == pytest.approx(np.hypot(6, 16))


def test_penalties_are_those_of_the_values_in_the_step(jax, programs):
    _, program, state, data = prepared(
        jax, programs, regularizer=keras.regularizers.L2(1.0)
    )
    _, found = statistics_of(program, [3 * state[0]], data)
    # Without 2 w = (6, 12).
    assert found.norm == pytest.approx(3 * np.hypot(6, 16))
    assert found.data_norm == pytest.approx(np.hypot(12, 36))


def test_calls_of_a_step_that_is_not_compiled(jax, programs):
    run = Run(jax, programs)
    _, (call,), _ = run(
        [jax.numpy.array([1.0, 2.0])], {"x": jax.numpy.array([3.0, 4.0])}
    )
    found = GradientStatistics.from_row(np.asarray(call.rows())[0])
    assert found.norm == pytest.approx(np.hypot(6, 16))
