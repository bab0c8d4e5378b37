import keras
import numpy as np
import pytest

from keras_perceptual.ops.psnr import decibels, squared_error


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_errors_of_what_counts(rng):
    """Within the border, by the mask, of the luma, in parts of the range."""
    x, y = rng.uniform(0, 4, size=(2, 2, 9, 8, 3)).astype("float32")
    mask = rng.uniform(size=(2, 9, 8)).astype("float32")
    d = (np.float64(x) - y) / 4 @ np.array([65.481, 128.553, 24.966]) / 255
    d, w = d[:, 2:-2, 2:-2], mask[:, 2:-2, 2:-2]
    tensors = [keras.ops.convert_to_tensor(z) for z in (x, y, mask)]
    np.testing.assert_allclose(
        numpy(squared_error(*tensors, width=4, border=2, luma=True)),
        (w * d**2).sum((1, 2)) / w.sum((1, 2)),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        numpy(squared_error(*tensors[:2])),
        ((np.float64(x) - y) ** 2).mean((1, 2, 3)),
        rtol=1e-5,
    )


def test_gray_images_are_their_own_luma(rng):
    x, y = rng.uniform(size=(2, 2, 9, 8, 1)).astype("float32")
    tensors = [keras.ops.convert_to_tensor(z) for z in (x, y)]
    np.testing.assert_array_equal(
        numpy(squared_error(*tensors, luma=True)),
        numpy(squared_error(*tensors)),
    )


@pytest.mark.parametrize(
    ("error", "expected"), [(1.0, 0), (1e-3, 30), (0, 100), (1e-12, 100)]
)
def test_decibels(error, expected):
    found = decibels(keras.ops.convert_to_tensor(error))
    assert float(found) == pytest.approx(expected, abs=1e-4)
