import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)

ENTER, LEAVE, PULL = "enter_derivative", "leave_derivative", "pull_gradients"


@pytest.fixture
def jax():
    import jax

    return jax


@pytest.fixture
def marked(jax):
    """Returns a function that traces another one with marks."""
    marks = tracers.load("marks")
    assert (marks.ENTER, marks.LEAVE, marks.PULL) == (ENTER, LEAVE, PULL)

    def trace(function, *inputs):
        with marks.marked_gradients():
            return jax.make_jaxpr(lambda *x: function(*x))(*inputs).jaxpr

    return trace


def names(jaxpr):
    return [equation.primitive.name for equation in jaxpr.eqns]


def test_what_is_differentiated_stands_between_marks(jax, marked):
    def step(x):
        before = x + 1
        gradient = jax.grad(lambda v: (v**2).sum())(before)
        return gradient * 2

    jaxpr = marked(step, np.ones(3))
    assert names(jaxpr) == [
        "add",
        ENTER,
        "integer_pow",
        "reduce_sum",
        LEAVE,
        PULL,
        "mul",
    ]
    enter, leave, pull = (e for e in jaxpr.eqns if "region" in e.params)
    assert enter.params["region"] == leave.params["region"]
    assert pull.params == {"region": enter.params["region"], "targets": 1}
    assert pull.invars[1:] == enter.outvars


def test_each_part_has_its_own_number(jax, marked):
    def step(x):
        return jax.grad(jax.numpy.sin)(x) + jax.grad(jax.numpy.cos)(x)

    jaxpr = marked(step, 1.0)
    numbers = [e.params["region"] for e in jaxpr.eqns if "region" in e.params]
    assert len(numbers) == 6
    assert len(set(numbers)) == 2


def test_gradients_within_what_is_differentiated_are_computed(jax, marked):
    def loss(x):
        return (jax.grad(lambda v: (v**3).sum())(x) ** 2).sum()

    assert names(marked(jax.grad(loss), np.ones(3))).count(PULL) == 1


def test_several_results_with_gradients_of_the_step(jax, marked):
    def step(x):
        value, pull = jax.vjp(lambda v: (v * 2, v * 3), x)
        return pull((value[0], x))

    jaxpr = marked(step, np.ones(3))
    assert names(jaxpr) == [ENTER, "mul", "mul", LEAVE, PULL]
    pull = jaxpr.eqns[-1]
    assert pull.params["targets"] == 2
    assert pull.invars[0] is jaxpr.eqns[3].outvars[0]
    assert pull.invars[1] is jaxpr.invars[0]


@pytest.mark.parametrize("axes", [(None, 0), (0, 0), (0, None)])
def test_a_gradient_for_each_example(jax, marked, axes):
    def step(w, x):
        return jax.vmap(jax.grad(lambda w, x: (w * x).sum()), axes)(w, x)

    inputs = np.ones((4, 3)), np.ones((4, 3))
    jaxpr = marked(step, *inputs)
    assert names(jaxpr).count(PULL) == 1
    assert jaxpr.outvars[0].aval.shape == (jax.eval_shape(step, *inputs).shape)


@pytest.mark.parametrize("name", ["jacrev", "jvp"])
def test_what_is_left_to_jax(jax, marked, name):
    """Gradients by several results at once, or of gradients from outside."""

    def loss(x):
        return (x**3).sum()

    def step(x):
        if name == "jacrev":
            return jax.jacrev(lambda v: v**3)(x)
        return jax.jvp(jax.grad(loss), (x,), (x,))[1]

    found = jax.eval_shape(step, np.ones(3))
    jaxpr = marked(step, np.ones(3))
    assert PULL not in names(jaxpr)
    assert [atom.aval.shape for atom in jaxpr.outvars] == [found.shape]
