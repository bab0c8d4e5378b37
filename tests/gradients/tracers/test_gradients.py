import keras
import numpy as np
import pytest
from gradient_models import healthy_model

from keras_perceptual.gradients import tracers


def recorder_of(model):
    return tracers.load("gradients").GradientRecorder(model, sums=2, width=3)


def test_rows_are_added_up_and_the_last_numbers_compared():
    model = healthy_model()
    recorder = recorder_of(model)
    a, b, *_ = [id(v) for v in model.trainable_variables]
    recorder.add([a, b], keras.ops.array([[1.0, 2, 7], [1, 0, 3]]), [])
    recorder.add([b], keras.ops.array([[1.0, 5, 1]]), [])
    found = recorder.read()
    np.testing.assert_array_equal(found[a], [1, 2, 7])
    np.testing.assert_array_equal(found[b], [2, 5, 3])
    np.testing.assert_array_equal(recorder.read()[b], [2, 5, 3])


def test_variables_that_the_model_did_not_have_at_first():
    recorder = recorder_of(keras.Sequential([keras.layers.Dense(1)]))
    late = keras.Variable([1.0])
    recorder.add([id(late)], keras.ops.array([[1.0, 2, 3]]), [])
    np.testing.assert_array_equal(recorder.read()[id(late)], [1, 2, 3])


def test_what_is_read_does_not_change_what_is_kept():
    model = healthy_model()
    recorder = recorder_of(model)
    key = id(model.trainable_variables[0])
    recorder.add([key], keras.ops.array([[1.0, 2, 3]]), [])
    recorder.read()[key][:] = 9
    np.testing.assert_array_equal(recorder.read()[key], [1, 2, 3])


def test_stored_values_of_a_dense_gradient():
    gradient = keras.ops.ones((2, 3))
    assert tracers.load("gradients").stored_values(gradient) is gradient


@pytest.mark.tensorflow_only
def test_stored_values_of_rows():
    import tensorflow as tf

    rows = tf.IndexedSlices(tf.ones((2, 3)), tf.constant([4, 9]))
    values = tracers.load("gradients").stored_values(rows)
    assert values.shape == (2, 3)


def test_only_torch_refuses_a_loss_that_is_connected_to_nothing():
    says_so = tracers.load("gradients").says_nothing_is_connected
    assert not says_so(RuntimeError("something else"))
    if keras.backend.backend() == "torch":
        import torch

        with pytest.raises(RuntimeError) as caught:
            torch.zeros(()).backward()
        assert says_so(caught.value)


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)
class TestDisconnected:
    """Zeros that are constants are told from zeros that are computed."""

    def find(self, function):
        """Returns the names of gradients that depend on nothing."""
        import jax

        recorder = recorder_of(healthy_model())
        weights = {"a": jax.numpy.ones(3), "b": jax.numpy.ones(3)}

        def step(state, data):
            gradients = jax.grad(function)(state, data)
            recorder.add(list(gradients), None, list(gradients.values()))

        recorder.remember_step(step, weights, jax.numpy.ones(3))
        return recorder.find_disconnected(["b", "a"])

    def test_unused(self):
        assert self.find(lambda w, x: (w["a"] * x).sum()) == {"b"}

    def test_stopped(self):
        import jax

        def loss(w, x):
            return (w["a"] * x * jax.lax.stop_gradient(w["b"])).sum()

        assert self.find(loss) == {"b"}

    def test_inside_a_compiled_function(self):
        import jax
        from jax import numpy as jnp

        @jax.jit
        def inner(a, b, x):
            return jnp.tanh(a * x) + jnp.round(b)

        assert self.find(lambda w, x: inner(w["a"], w["b"], x).sum()) == {"b"}

    def test_zero_by_value_is_connected(self):
        from jax import numpy as jnp

        def loss(w, x):
            return (jnp.maximum(w["a"] - 50.0, 0.0) * w["b"] * x).sum()

        assert self.find(loss) == set()

    def test_step_that_cannot_be_traced(self):
        def loss(w, x):
            return (w["a"] * x).sum() if float(x[0]) > 0 else w["b"].sum()

        assert self.find(loss) == set()
