import checks
import keras
import numpy as np
import pytest
from reference import perceived_distance as reference

from keras_perceptual.ops.color_spaces import (
    luma,
    rgb_to_lhm,
    rgb_to_yiq,
    srgb_to_lab,
    srgb_to_linear,
    srgb_to_oklab,
    to_rgb,
)


def lab(rgb):
    return keras.ops.convert_to_numpy(
        srgb_to_lab(keras.ops.convert_to_tensor(rgb))
    )


def test_agrees_with_the_twin(rng):
    """In all three channels, on the line and on the curve of both spaces."""
    rgb = rng.uniform(size=(500, 3)).astype("float32")
    rgb[:100] *= 0.05
    np.testing.assert_allclose(lab(rgb), reference.lab(rgb), atol=2e-4)


def test_agrees_with_scikit_image(rng):
    """Whose matrix has more digits, which is all that differs."""
    color = pytest.importorskip("skimage.color")
    rgb = rng.uniform(size=(500, 3)).astype("float32")
    np.testing.assert_allclose(lab(rgb), color.rgb2lab(rgb), atol=0.03)


def test_slopes_agree_with_differences_and_are_finite_everywhere(rng):
    """Also at black, at the ends of the lines, and outside of (0, 1)."""
    rgb = rng.uniform(0.02, 1, size=(8, 3)).astype("float32")
    checks.check_finite_differences(
        lambda x: keras.ops.mean(keras.ops.square(srgb_to_lab(x))), rgb
    )
    special = np.float32([-1, 0, 1e-8, 0.04045, 1, 3])
    rgb = np.stack(np.meshgrid(*[special] * 3), -1).reshape(-1, 3)
    (slope,) = checks.gradients(lambda x: keras.ops.sum(srgb_to_lab(x)), rgb)
    assert np.all(np.isfinite(slope))


def test_light_of_a_screen():
    linear = srgb_to_linear(keras.ops.convert_to_tensor([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(linear), [0, 0.21404, 1], atol=1e-5
    )


def test_gray_images_are_repeated_and_ranges_are_left():
    rgb = to_rgb(keras.ops.convert_to_tensor([[0.0], [255.0]]), (0, 255))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(rgb), [[0, 0, 0], [1, 1, 1]]
    )


def test_oklab_has_the_numbers_of_colour_science():
    rgb = [[0.2, 0.4, 0.6], [1, 0, 0], [0.02, 0.01, 0], [0.9, 0.8, 0.1]]
    expected = [
        [0.49932, -0.03303, -0.09304],
        [0.62793, 0.22489, 0.1258],
        [0.09644, 0.00265, 0.01967],
        [0.8411, -0.02932, 0.16809],
    ]
    found = srgb_to_oklab(keras.ops.convert_to_tensor(np.float32(rgb)))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), expected, atol=2e-4
    )
    special = np.float32([-1, 0, 1e-8, 0.04045, 1, 3])
    rgb = np.stack(np.meshgrid(*[special] * 3), -1).reshape(-1, 3)
    (slope,) = checks.gradients(lambda x: keras.ops.sum(srgb_to_oklab(x)), rgb)
    assert np.all(np.isfinite(slope))


def test_mixes_channels_as_piq_does(rng):
    """A luma, and what a color has beside it: nothing where it is gray."""
    rgb = rng.uniform(size=(20, 3)).astype("float32")
    rgb[:5] = rgb[:5, :1]
    x = keras.ops.convert_to_tensor(rgb)
    yiq, lhm, gray = (
        keras.ops.convert_to_numpy(mix(x))
        for mix in (rgb_to_yiq, rgb_to_lhm, luma)
    )
    weights = [0.299, 0.587, 0.114]
    for found in (yiq[:, 0], lhm[:, 0], gray[:, 0]):
        np.testing.assert_allclose(found, rgb @ weights, atol=1e-3)
    np.testing.assert_allclose(yiq[:5, 1:], 0, atol=1e-6)
    np.testing.assert_allclose(lhm[:5, 1], -0.01 * rgb[:5, 0], atol=1e-6)
    np.testing.assert_allclose(
        yiq[5:, 1], rgb[5:] @ [0.5959, -0.2746, -0.3213], atol=1e-6
    )
