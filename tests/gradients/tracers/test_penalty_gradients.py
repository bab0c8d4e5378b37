"""What penalties add to gradients on TensorFlow."""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("is about TensorFlow alone", allow_module_level=True)

import tensorflow as tf

from keras_perceptual.gradients.tracers.tensorflow.penalty_gradients import (
    compute_penalties,
    find_penalized,
)


class Constant(keras.regularizers.Regularizer):
    def __call__(self, value):
        return tf.constant(1.0)


def variable(penalty):
    found = keras.Variable(np.array([1.0, -2.0], "float32"))
    found.regularizer = penalty
    return found


def test_penalties_by_place():
    variables = [variable(None), variable(keras.regularizers.L2(0.5))]
    values = [tf.ones(2), tf.constant([3.0, 4.0])]
    penalized = find_penalized(variables, values, [tf.ones(2)] * 2)
    assert list(penalized) == [1]
    # Of what they hold in the step, which may be a copy on a device.
    ((place, found),) = compute_penalties(penalized).items()
    assert place == 1
    np.testing.assert_allclose(found, [3.0, 4.0])


def test_gradients_of_single_rows_have_no_share_of_a_penalty():
    penalized = variable(keras.regularizers.L2(0.5))
    rows = tf.IndexedSlices(tf.ones((1,)), tf.constant([0]))
    assert find_penalized([penalized], [tf.ones(2)], [rows]) == {}


def test_a_penalty_that_is_a_constant_adds_nothing():
    constant = variable(Constant())
    penalized = find_penalized([constant], [tf.ones(2)], [tf.ones(2)])
    np.testing.assert_array_equal(compute_penalties(penalized)[0], [0, 0])
