import checks
import keras
import numpy as np

from keras_perceptual.ops.roots import fourth_root, square_root


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def slopes(function, x):
    return checks.gradients(lambda x: keras.ops.sum(function(x)), x)[0]


def test_square_root_is_zero_without_a_slope_below_the_least():
    x = np.float32([0, 0.9e-6, 1.1e-6, 4])
    np.testing.assert_allclose(
        numpy(square_root(keras.ops.convert_to_tensor(x), 1e-3)),
        [0, 0, np.sqrt(x[2]), 2],
    )
    found = slopes(lambda x: square_root(x, 1e-3), x)
    np.testing.assert_allclose(found, [0, 0, 0.5 / np.sqrt(x[2]), 0.25])


def test_fourth_root_has_no_step_and_no_corner():
    least = 1e-2
    x = least * np.float32([0, 0.5, 0.999, 1.001, 100])
    found = numpy(fourth_root(keras.ops.convert_to_tensor(x), least))
    np.testing.assert_allclose(found[2:], x[2:] ** 0.25, rtol=1e-5)
    assert found[0] == 0 < found[1] < x[1] ** 0.25
    slope = slopes(lambda x: fourth_root(x, least), x)
    np.testing.assert_allclose(slope[0], 1.75 * least**-0.75, rtol=1e-5)
    np.testing.assert_allclose(slope[2:], x[2:] ** -0.75 / 4, rtol=6e-3)
    assert np.all(np.diff(slope) < 0)
