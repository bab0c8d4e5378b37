import checks
import keras
import numpy as np

from keras_perceptual.ops.color_difference import cie76


def test_is_the_distance_in_cielab(rng):
    x, y = rng.uniform(-80, 80, size=(2, 20, 3)).astype("float32")
    found = cie76(*(keras.ops.convert_to_tensor(z) for z in (x, y)))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found),
        np.linalg.norm(np.float64(x) - y, axis=-1),
        rtol=1e-5,
    )


def test_equal_colors_have_no_distance_and_no_slope(rng):
    """Nor those that are equal but for rounding."""
    x = rng.uniform(0, 80, size=(5, 3)).astype("float32")
    assert not np.any(keras.ops.convert_to_numpy(cie76(x, x)))
    for y in (x, np.nextafter(x, np.float32(100))):
        (slope,) = checks.gradients(
            lambda y: keras.ops.sum(cie76(keras.ops.convert_to_tensor(x), y)), y
        )
        np.testing.assert_array_equal(slope, 0)
    far = x + np.float32([0.3, 0, 0.4])
    (slope,) = checks.gradients(
        lambda y: keras.ops.sum(cie76(keras.ops.convert_to_tensor(x), y)), far
    )
    np.testing.assert_allclose(slope, [[0.6, 0, 0.8]] * 5, atol=1e-3)
