import keras
import numpy as np
import pytest

from keras_perceptual.gradients import zeros
from keras_perceptual.gradients.dataflow import Operation


@pytest.mark.tensorflow_only
def test_reads_gradients_and_sizes():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow import probes

    found = []

    @tf.function
    def step(x):
        y = tf.nn.relu(x * 2.0)
        loss = tf.reduce_sum(y * 3.0)
        operations = [
            Operation(o.type, ("in",) * len(o.inputs), ("out",), native=o)
            for o in tf.compat.v1.get_default_graph().get_operations()
            if o.type in ("Relu", "Mul")
        ]
        found.extend(operations)
        return probes.read_operations(operations, [loss])

    numbers = step(tf.constant([-1.0, -5.0])).numpy()
    readings = zeros.unpack_readings(found, numbers)
    first, relu, last = readings.values()
    assert relu.above == 3.0
    assert relu.below == (0.0,)
    assert relu.sizes == (10.0,)
    assert first.below == (0.0, 0.0)
    assert first.sizes == (5.0, 2.0)
    np.testing.assert_allclose(last.above, 1.0)
    assert last.below == (3.0, 0.0)
    # What comes back to an input of the same shape.
    assert last.through == (3.0, 0.0)
    assert relu.through == (0.0,)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="needs PyTorch")
def test_reads_a_step_that_is_taken_once_more():
    import torch

    from keras_perceptual.gradients.tracers.torch import probes

    weight = keras.Variable([-1.0, -5.0])
    calls = []

    def step(data):
        calls.append(weight.value.grad)
        y = torch.relu(weight.value * data)
        torch.sum(y * torch.tensor([3.0, 1.0])).backward()

    data = torch.tensor([2.0, 2.0])
    flow, readings = probes.read_step(
        step, data, [weight], [weight], [id(weight)]
    )
    assert flow.holders and len(calls) == 1
    assert weight.value.grad is None
    first, relu, last = readings.values()
    assert (relu.above, relu.below, relu.sizes) == (3.0, (0.0,), (10.0,))
    assert first.below == (0.0, 0.0)
    assert sorted(first.sizes) == [2.0, 5.0]
    assert last.below[0] == last.through[0] == 3.0


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="needs JAX")
def test_reads_where_gradients_are_asked_for():
    import jax
    import jax.numpy as jnp

    from keras_perceptual.gradients.tracers.jax import probes
    from keras_perceptual.gradients.tracers.jax.differentiation import (
        heed_gradients,
    )

    found = []

    def heed(target, leaves):
        found.append(probes.read_gradients(target, leaves, ["w"], ["w"]))

    def loss(weight, data):
        y = jax.nn.relu(weight * data)
        return jnp.sum(y * jnp.asarray([3.0, 1.0])), "more"

    weight, data = jnp.asarray([-1.0, -5.0]), jnp.asarray([2.0, 2.0])
    with heed_gradients(heed):
        (value, rest), gradient = jax.value_and_grad(loss, has_aux=True)(
            weight, data
        )
    assert (float(value), rest) == (0.0, "more")
    np.testing.assert_array_equal(gradient, 0)
    ((_, operations, numbers),) = found
    readings = zeros.unpack_readings(operations, numbers)
    first, relu, last = readings.values()
    assert [o.kind for o in operations] == ["mul", "relu", "mul"]
    assert (relu.above, relu.below, relu.sizes) == (3.0, (0.0,), (10.0,))
    assert first.below == (0.0, 0.0)
    assert first.sizes == (5.0, 2.0)
    assert last.below[0] == last.through[0] == 3.0
