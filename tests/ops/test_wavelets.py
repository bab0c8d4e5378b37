import checks
import keras
import numpy as np
import pytest
from reference.similarities import GOLDEN
from sampling import once

from keras_perceptual.ops.wavelets import (
    LOW_PASS,
    smallest_side,
    stationary_wavelets,
)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_every_wavelet_is_compared():
    assert set(GOLDEN["wavelets"]) == set(LOW_PASS)


@pytest.mark.parametrize("wavelet", once(LOW_PASS))
def test_has_the_numbers_of_pywavelets(wavelet):
    """All bands of two levels, in each channel, in random directions."""
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(16, 24)).astype("float32")
    directions = rng.uniform(-1, 1, size=(2, 16, 24))
    images = np.stack([image, 1 - image], axis=-1)[None]
    found = stationary_wavelets(keras.ops.convert_to_tensor(images), wavelet, 2)
    for bands, expected in zip(found, GOLDEN["wavelets"][wavelet], strict=True):
        for name, band, sums in zip(
            bands._fields, bands, expected, strict=True
        ):
            band = np.float64(numpy(band)[0])
            np.testing.assert_allclose(
                (directions * band[..., 0]).sum((1, 2)), sums, atol=5e-6
            )
            mirrored = 1 - band[..., 0] if "app" in name else -band[..., 0]
            np.testing.assert_allclose(band[..., 1], mirrored, atol=1e-6)


def test_mean_squares_add_up(rng):
    """Those of all bands are that of the image."""
    x = rng.normal(size=(1, 13, 9, 1)).astype("float32")
    (bands,) = stationary_wavelets(keras.ops.convert_to_tensor(x), "db4")
    total = sum(np.mean(numpy(band) ** 2) for band in bands)
    np.testing.assert_allclose(total, np.mean(x**2), rtol=1e-5)


def test_moves_with_the_image(rng):
    x = rng.normal(size=(1, 16, 20, 1)).astype("float32")
    moved = np.roll(x, (3, 5), (1, 2))
    for here, there in zip(
        stationary_wavelets(keras.ops.convert_to_tensor(x), "sym4", 2)[1],
        stationary_wavelets(keras.ops.convert_to_tensor(moved), "sym4", 2)[1],
        strict=True,
    ):
        np.testing.assert_allclose(
            np.roll(numpy(here), (3, 5), (1, 2)), numpy(there), atol=1e-6
        )


def test_the_smallest_images(rng):
    """Which a filter goes around once."""
    assert smallest_side("haar", 1) == 1
    assert smallest_side("sym7", 2) == 14
    x = np.ones((1, 14, 15, 1), "float32")
    coarse = stationary_wavelets(keras.ops.convert_to_tensor(x), "sym7", 2)[1]
    np.testing.assert_allclose(numpy(coarse.approximation), 1, rtol=1e-6)
    np.testing.assert_allclose(numpy(coarse.diagonal), 0, atol=1e-6)


@pytest.mark.tensorflow_only
def test_images_of_unknown_size(rng):
    import tensorflow as tf

    traced = tf.function(
        lambda x: stationary_wavelets(x, "db4", 2)[1],
        input_signature=[tf.TensorSpec((1, None, None, 2))],
    )
    x = rng.normal(size=(1, 9, 12, 2)).astype("float32")
    for found, expected in zip(
        traced(x), stationary_wavelets(x, "db4", 2)[1], strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_slopes_agree_with_differences(rng):
    x = rng.normal(size=(1, 8, 9, 1)).astype("float32")
    checks.check_finite_differences(
        lambda x: sum(
            keras.ops.sum(keras.ops.square(band) * weight)
            for weight, band in enumerate(stationary_wavelets(x, "db2")[0])
        ),
        x,
    )
