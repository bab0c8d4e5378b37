import contextlib

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


@contextlib.contextmanager
def heard():
    """Gives a list of what is asked for inside, and has JAX answer it."""
    asked = []

    def answer(question):
        asked.append(question)
        return question.answer()

    module = tracers.load("differentiation")
    with module.differentiation_answered(answer):
        yield asked


@pytest.mark.parametrize("name", ["grad", "value_and_grad"])
@pytest.mark.parametrize("argnums", [0, 1, (0, 1), (-1,)])
@pytest.mark.parametrize("has_aux", [False, True])
def test_results_are_those_of_jax(jax, name, argnums, has_aux):
    def loss(first, second, *, factor):
        value = factor * (first["a"] * first["b"]).sum() * second.sum()
        return (value, {"twice": 2 * value}) if has_aux else value

    def step(first, second):
        function = getattr(jax, name)(loss, argnums=argnums, has_aux=has_aux)
        return function(first, second, factor=2.0)

    inputs = {"a": np.ones(3), "b": np.ones(3)}, np.ones((2, 2))
    expected = step(*inputs)
    with heard() as asked:
        found = step(*inputs)
    assert len(asked) == 1
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


def test_what_is_asked_for_within_a_loss_is_left_to_jax(jax):
    def loss(x):
        return (jax.grad(lambda v: (v**3).sum())(x) ** 2).sum()

    with heard() as asked:
        found = jax.grad(loss)(np.float32([1, 2]))
    assert len(asked) == 1
    # The square of 3 x^2, differentiated: 36 x^3.
    np.testing.assert_allclose(found, [36, 288], rtol=1e-6)


def test_a_name_that_was_imported_is_heard_too(jax):
    from jax import value_and_grad

    with heard() as asked:
        value_and_grad(lambda x: x**2)(3.0)
    assert len(asked) == 1


def test_functions_are_put_back(jax):
    originals = jax.grad, jax.value_and_grad, jax.vjp
    with pytest.raises(RuntimeError, match="no"), heard():
        assert (jax.grad, jax.value_and_grad, jax.vjp) != originals
        raise RuntimeError("no")
    assert (jax.grad, jax.value_and_grad, jax.vjp) == originals


def answered(module, answer, ask):
    with module.differentiation_answered(answer):
        return ask()


@pytest.mark.parametrize("has_aux", [False, True])
def test_what_is_asked_can_be_run_and_answered(jax, has_aux):
    """With gradients of one's own, or those of JAX where there are none."""
    module = tracers.load("differentiation")
    questions = []

    def answer(given):
        def answer(question):
            questions.append(question)
            targets, finish = question.run(question.leaves)
            assert [float(target) for target in targets] == [5.0]
            return finish(targets, lambda cotangents: given)

        return answer

    def loss(pair, count):
        value = pair["a"] * pair["a"] + pair["b"] * count
        return (value, "aux") if has_aux else value

    def ask():
        inputs = {"a": np.float32(2), "b": np.float32(1)}, 1
        return jax.value_and_grad(
            loss, argnums=(0, 1), has_aux=has_aux, allow_int=True
        )(*inputs)

    own = [np.float32(7), np.float32(8), np.int32(9)]
    for given, expected in ((own, [7, 8]), (None, [4, 1])):
        value, ((found), of_count) = answered(module, answer(given), ask)
        assert value == ((5.0, "aux") if has_aux else 5.0)
        assert [float(found[name]) for name in "ab"] == expected
        # There is no gradient by an integer.
        assert of_count.dtype == jax.dtypes.float0
    for question in questions:
        assert [float(leaf) for leaf in question.leaves] == [2, 1, 1]
        assert all(isinstance(x, jax.Array) for x in question.leaves)
