import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.replay import Numbers, Operation

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def jax():
    import jax

    return jax


@pytest.fixture
def tape():
    return tracers.load("tape").Tape()


def call(jax, tape, function, taken, made):
    """Has a function of one equation computed."""
    inputs = [tape.read(key) for key in taken]
    (equation,) = jax.make_jaxpr(function)(*inputs).jaxpr.eqns
    operation = Operation(equation.primitive.name, (*taken,), (made,))
    tape.call(operation, equation)
    return operation


def test_values(jax, tape):
    tape.put("x", np.float32([1, -2]))
    call(jax, tape, jax.lax.exp, "x", "y")
    assert "y" not in tape.arrays
    np.testing.assert_allclose(tape.read("y"), np.exp([1, -2]), rtol=1e-6)
    assert tape.numbers["x"] == Numbers(2.0)
    assert tape.numbers["y"].size == pytest.approx(np.e)


def test_gradients_across_blocks_and_routes(jax, tape):
    tape.put("x", np.float32([1, 2]))
    call(jax, tape, jax.lax.sin, "x", "s")
    split = Operation("split", ("s",), ("a", "b"))
    tape.position()
    tape.route(
        split,
        lambda arrays: list(arrays[0]),
        lambda above: [np.float32([0 if g is None else g for g in above])],
    )
    product = call(jax, tape, jax.lax.mul, "ba", "p")
    end = tape.position()
    found = tape.gradients(0, end, {"p": np.float32(1)})
    sine = np.sin([1, 2])
    expected = np.cos([1, 2]) * sine[::-1]
    np.testing.assert_allclose(found.arrays["x"], expected, rtol=1e-6)
    assert set(found.numbers) == {"x", "s", "a", "b", "p"}
    assert found.numbers["a"].size == pytest.approx(sine[1])
    assert found.contributions[product, 1] == pytest.approx(sine[1])
    assert found.contributions[split, 0] == pytest.approx(sine.max())


def test_a_part_of_the_tape(jax, tape):
    """No gradient comes back to what was computed before it."""
    tape.put("x", np.float32(1))
    call(jax, tape, jax.lax.sin, "x", "y")
    start = tape.position()
    call(jax, tape, jax.lax.cos, "y", "z")
    end = tape.position()
    call(jax, tape, jax.lax.cos, "z", "w")
    found = tape.gradients(start, end, {"z": np.float32(1)})
    assert set(found.numbers) == {"y", "z"}
    assert set(found.arrays) == {"y"}


def test_routes_that_nothing_comes_back_through(tape):
    tape.put("x", np.float32(1))
    cut = Operation("cut", ("x",), ("y",))
    tape.route(cut, list, lambda above: [None])
    found = tape.gradients(0, tape.position(), {"y": np.float32(1)})
    assert set(found.numbers) == {"y"}
    assert found.contributions == {}


def test_gradients_that_are_added_keep_their_type(tape):
    add_to = tracers.load("tape").add_to
    total = {}
    for _ in range(2):
        add_to(total, "x", keras.ops.ones((2,), "bfloat16"))
    assert total["x"].dtype == "bfloat16"
    assert total["x"].tolist() == [2, 2]
