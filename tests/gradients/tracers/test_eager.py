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
def run(jax):
    """Returns a function that runs a step with a variable and data."""
    eager, flattening, record = map(
        tracers.load, ("eager", "flattening", "record")
    )

    def run(step, *arrays):
        written = record.Record()
        arrays = [jax.numpy.asarray(array) for array in arrays]
        keys = [written.add_value(array) for array in arrays]
        written.hold(keys[0], "w")
        written.state.append(keys[0])
        for array, key in zip(arrays, keys, strict=True):
            written.know(array, key)
        reader = flattening.Flattening(written)
        eager.run_step(step, arrays, written, reader)
        return keys, written.finish()

    return run


def test_steps_that_make_numbers_of_python(jax, run):
    results = {}

    def step(w, x):
        (value, extra), gradient = jax.value_and_grad(
            lambda w: ((w * x).sum(), {"twice": w * 2}), has_aux=True
        )(w)
        if float(value) > 0:
            results.update(value=float(value), gradient=gradient, **extra)
        jax.grad(lambda w: (w * gradient).sum())(w)

    (_, data), replay = run(step, np.float32([1, 2]), np.float32([3, 4]))
    assert results["value"] == 11
    assert results["gradient"].tolist() == [3, 4]
    assert results["twice"].tolist() == [2, 4]
    first, second = replay.derivatives
    assert first.variables == second.variables == {"w"}
    holders = [key for key in first.gradients if key in replay.holders]
    assert [first.gradients[key].size for key in holders] == [4]
    assert any(data in operation.inputs for operation in replay.operations)
    # What the first one has found goes into the second one.
    (made,) = [o for o in replay.operations if o.kind == "gradient"][:1]
    assert any(
        set(made.outputs) & set(operation.inputs)
        for operation in replay.operations
    )


def test_frames_lead_to_the_step(jax, run):
    def loss(w):
        return (w * 2).sum()

    def step(w, x):
        jax.grad(loss)(w)

    _, replay = run(step, np.float32([1, 2]), np.float32([3, 4]))
    (product,) = [o for o in replay.operations if o.kind == "mul"]
    (derivative,) = replay.derivatives
    for found, expected in (
        (product, ["step", "loss"]),
        (derivative, ["step"]),
    ):
        own = [f.name for f in found.frames if f.filename == __file__]
        assert own == expected


def test_what_is_used_past_the_arguments_is_a_constant(jax, run):
    def step(w, x):
        factor = float(x[0])
        jax.grad(lambda v: (v * w * factor).sum())(w)

    _, replay = run(step, np.float32([1, 2]), np.float32([3, 4]))
    assert "closed_over" in [o.kind for o in replay.operations]
    (derivative,) = replay.derivatives
    found = [key for key in derivative.gradients if key in replay.holders]
    assert [derivative.gradients[key].size for key in found] == [6]
