import keras
import numpy as np

from keras_perceptual.gradients import tracers


def test_values_are_copies():
    variable = keras.Variable([1.0, 2.0])
    value = tracers.load("variable_values").read_value(variable)
    variable.assign([3.0, 4.0])
    np.testing.assert_array_equal(value, [1.0, 2.0])
    half = keras.Variable([1.0, 2.0], dtype="bfloat16")
    value = tracers.load("variable_values").read_value(half)
    np.testing.assert_array_equal(value.astype("float32"), [1.0, 2.0])
    half.assign(value)
