import checks
import keras
import numpy as np
import pytest
from reference import perceived_distance as reference

from keras_perceptual.ops.color_spaces import (
    srgb_to_lab,
    srgb_to_linear,
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
