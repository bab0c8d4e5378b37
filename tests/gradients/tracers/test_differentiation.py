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
def mark_gradients():
    return tracers.load("differentiation").mark_gradients


def names(jaxpr):
    return [equation.primitive.name for equation in jaxpr.eqns]


def test_a_mark_takes_the_place_of_the_gradients(jax, mark_gradients):
    def step(x):
        return jax.grad(lambda v: (v**2).sum())(x)

    with mark_gradients():
        # A function that is known already is not traced again.
        jaxpr = jax.make_jaxpr(lambda x: step(x))(np.ones(3)).jaxpr
    assert names(jaxpr) == ["integer_pow", "reduce_sum", "differentiate"]
    target, variable = jaxpr.eqns[-1].invars
    assert target is jaxpr.eqns[1].outvars[0]
    assert variable is jaxpr.invars[0]
    assert jaxpr.eqns[-1].outvars == jaxpr.outvars
    assert "differentiate" not in names(jax.make_jaxpr(step)(np.ones(3)).jaxpr)


@pytest.mark.parametrize("name", ["grad", "value_and_grad"])
@pytest.mark.parametrize("argnums", [0, 1, (0, 1), (-1,)])
@pytest.mark.parametrize("has_aux", [False, True])
def test_results_have_the_same_form(
    jax, mark_gradients, name, argnums, has_aux
):
    def loss(first, second, *, factor):
        value = factor * (first["a"] * first["b"]).sum() * second.sum()
        return (value, {"twice": 2 * value}) if has_aux else value

    def step(first, second):
        function = getattr(jax, name)(loss, argnums=argnums, has_aux=has_aux)
        return function(first, second, factor=2.0)

    inputs = {"a": np.ones(3), "b": np.ones(3)}, np.ones((2, 2))
    expected = jax.eval_shape(step, *inputs)
    with mark_gradients():
        found = jax.eval_shape(lambda *args: step(*args), *inputs)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    shapes = [[x.shape for x in jax.tree.leaves(t)] for t in (found, expected)]
    assert shapes[0] == shapes[1]


def test_gradients_within_a_loss_are_computed(jax, mark_gradients):
    def loss(x):
        return (jax.grad(lambda v: (v**3).sum())(x) ** 2).sum()

    with mark_gradients():
        jaxpr = jax.make_jaxpr(jax.grad(loss))(np.ones(3)).jaxpr
    assert names(jaxpr).count("differentiate") == 1
    assert names(jaxpr)[-1] == "differentiate"


def test_functions_are_put_back(jax, mark_gradients):
    originals = jax.grad, jax.value_and_grad

    def fail(x):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"), mark_gradients():
        assert jax.grad is not originals[0]
        jax.make_jaxpr(jax.grad(fail))(1.0)
    assert (jax.grad, jax.value_and_grad) == originals
