import keras
import numpy as np
import pytest
import scipy.ndimage

from keras_perceptual import _backend

blurs = _backend.load("blurs")


@pytest.mark.parametrize("strides", [1, 2, (2, 1)])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 2)])
def test_is_the_blur_of_scipy(size, strides, rng):
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    expected = x
    for axis in (1, 2):
        expected = scipy.ndimage.convolve1d(
            expected, [0.25, 0.5, 0.25], axis, mode="constant"
        )
    rows, columns = strides if isinstance(strides, tuple) else [strides] * 2
    found = blurs.hann_blur(
        keras.ops.convert_to_tensor(x), strides, "channels_last"
    )
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found),
        expected[:, ::rows, ::columns],
        atol=1e-6,
    )
