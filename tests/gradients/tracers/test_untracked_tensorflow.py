"""Variables of a step that nobody knows of, on TensorFlow."""

import keras
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("is about TensorFlow alone", allow_module_level=True)

import tensorflow as tf

from keras_perceptual.gradients.tracers.tensorflow.untracked import (
    find_untracked,
)


def find(used, known, strategy=None):
    used = {id(variable): variable for variable in used}
    strategy = strategy or tf.distribute.get_strategy()
    return list(map(id, find_untracked(used, known, strategy)))


def test_variables_of_keras_and_of_tensorflow():
    known, hidden = keras.Variable(1.0), keras.Variable(1.0)
    native = tf.Variable(1.0)
    used = [known.value, hidden.value, native]
    assert find(used, [known]) == [id(hidden), id(native)]
    assert find(used[:1], [known]) == []


def test_what_is_frozen_is_no_stranger():
    frozen = keras.Variable(1.0, trainable=False)
    native = tf.Variable(1.0, trainable=False)
    assert find([frozen.value, native], []) == []


def test_copies_on_devices_are_one_variable():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        known, hidden = keras.Variable(1.0), keras.Variable(1.0)
    copies = [
        copy
        for variable in (known, hidden)
        for copy in strategy.experimental_local_results(variable.value)
    ]
    assert find(copies, [known], strategy) == [id(hidden)]
