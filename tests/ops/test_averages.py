import keras
import numpy as np
import pytest

from keras_perceptual.ops.averages import mean_over_positions


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_average_and_weighted_average(rng):
    x = rng.normal(size=(2, 5, 7, 3)).astype("float32")
    weights = rng.uniform(size=(2, 5, 7)).astype("float32")
    weights /= weights.sum((1, 2), keepdims=True)
    tensors = [keras.ops.convert_to_tensor(z) for z in (x, weights)]
    np.testing.assert_allclose(
        numpy(mean_over_positions(tensors[0])), x.mean((1, 2)), atol=1e-6
    )
    np.testing.assert_allclose(
        numpy(mean_over_positions(*tensors)),
        np.einsum("brcf,brc->bf", x.astype("float64"), weights),
        atol=1e-6,
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_keeps_its_digits_on_large_images(weighted, rng):
    x = rng.gamma(1.0, 2.0, size=(1, 2048, 2048, 3)).astype("float32")
    weights = ()
    if weighted:
        weights = (keras.ops.full((1, 2048, 2048), 2.0**-22),)
    np.testing.assert_allclose(
        numpy(mean_over_positions(keras.ops.convert_to_tensor(x), *weights)),
        x.mean((1, 2), dtype="float64"),
        rtol=3e-6,
    )
