"""Batches are kept in the graph, for TensorFlow."""

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize("graph", [True, False])
def test_batches_come_back_in_their_order(graph):
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow.batches import Batches

    batches = Batches()

    def step(x):
        batches.note(({"x": x, "none": None}, x + 1))
        return x

    if graph:
        step = tf.function(step, reduce_retracing=True)
    step(tf.constant([0.0]))
    assert batches.taken() == []
    batches.start()
    for size in (1, 2, 3):
        step(tf.fill([size], float(size)))
    found = batches.taken()
    assert [len(y) for _, y in found] == [1, 2, 3]
    np.testing.assert_array_equal(found[2][0]["x"], [3.0] * 3)
    assert found[2][0]["none"] is None
    assert batches.taken() == []
    step(tf.constant([5.0]))
    batches.start()
    step(tf.constant([6.0]))
    batches.stop()
    step(tf.constant([7.0]))
    assert batches.taken() == []


def test_another_kind_of_batch():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow.batches import Batches

    batches = Batches()
    step = tf.function(lambda *x: batches.note(x))
    batches.start()
    step(tf.constant([1.0]))
    batches.start()
    step(tf.constant([2]), tf.constant([True]))
    ((number, truth),) = batches.taken()
    assert number.numpy() == [2] and truth.numpy() == [True]
