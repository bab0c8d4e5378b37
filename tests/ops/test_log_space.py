import checks
import keras
import numpy as np

from keras_perceptual.ops.log_space import log_with_tangent


def test_is_the_logarithm_above_epsilon():
    x = np.float32([0.1, 0.5, 1.0, 80.0])
    found = keras.ops.convert_to_numpy(log_with_tangent(x, 0.1))
    np.testing.assert_allclose(found, np.log(x), atol=1e-6)


def test_goes_on_as_the_tangent():
    x = np.float32([0.1, 0.0, -3.0])
    found = keras.ops.convert_to_numpy(log_with_tangent(x, 0.1))
    np.testing.assert_allclose(found, np.log(0.1) + (x - 0.1) / 0.1, rtol=1e-6)


def test_has_a_gradient_everywhere():
    x = np.float32([0.2, 0.1, 0.0, -3.0, -np.float32(1e30)])
    (found,) = checks.gradients(
        lambda x: keras.ops.sum(log_with_tangent(x, 0.1)), x
    )
    np.testing.assert_allclose(found, [5, 10, 10, 10, 10], rtol=1e-5)
