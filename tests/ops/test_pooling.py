import checks
import keras
import numpy as np
import pytest
from checks import check_finite_differences, gradients
from reference import l2_pooling

from keras_perceptual.ops.pooling import block_means, l2_pool


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 2)])
def test_is_the_pooling_of_dists(size, stride, rng):
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    np.testing.assert_allclose(
        numpy(l2_pool(x, stride)), l2_pooling.l2_pool(x, stride), rtol=1e-5
    )


def test_channels_first_and_two_strides(rng):
    x = rng.normal(size=(2, 3, 8, 9)).astype("float32")
    last = np.moveaxis(x, 1, -1)
    np.testing.assert_allclose(
        numpy(l2_pool(x, (2, 1), "channels_first")),
        np.moveaxis(numpy(l2_pool(last, (2, 1))), -1, 1),
        rtol=1e-6,
    )


def test_gradients(rng):
    x = rng.normal(size=(1, 5, 6, 2)).astype("float32")
    check_finite_differences(
        lambda x: keras.ops.sum(keras.ops.square(l2_pool(x) - 0.3)), x
    )


def test_the_gradient_at_zero_is_zero():
    x = np.zeros((1, 4, 4, 1), "float32")
    (gradient,) = gradients(lambda x: keras.ops.sum(l2_pool(x)), x)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_keeps_the_type_and_does_not_overflow(dtype):
    x = keras.ops.full((1, 6, 6, 1), 1000.0, dtype)
    pooled = l2_pool(x)
    assert keras.backend.standardize_dtype(pooled.dtype) == dtype
    middle = float(keras.ops.cast(pooled, "float32")[0, 1, 1, 0])
    assert middle == pytest.approx(1000, rel=1e-2)


@pytest.mark.parametrize("size", [(8, 12), (11, 6)])
def test_means_of_blocks(size, rng):
    """What is left at the end is left out, and has no gradient."""
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    expected = keras.ops.average_pool(
        x, 4, 4, "valid", data_format="channels_last"
    )
    np.testing.assert_allclose(
        numpy(block_means(keras.ops.convert_to_tensor(x), 4)),
        numpy(expected),
        atol=1e-6,
    )
    (gradient,) = gradients(lambda x: keras.ops.sum(block_means(x, 4)), x)
    whole = np.zeros_like(x)
    whole[:, : size[0] // 4 * 4, : size[1] // 4 * 4] = 1 / 16
    np.testing.assert_allclose(gradient, whole, rtol=1e-6)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(l2_pool)
