"""Pooling that keras.ops does not have."""

import keras
import numpy as np
from keras import ops

from keras_perceptual import _backend

convolutions = _backend.load("convolutions")

# The window along one axis.
WINDOW = (0.25, 0.5, 0.25)

# Added under the square root, as in DISTS.
EPSILON = 1e-12


def l2_pool(x, strides=2, data_format="channels_last"):
    """Pools the energy of each channel under a small bell-shaped window.

    `sqrt(blur(x ** 2) + 1e-12)`, where the blur has the weights
    `[1, 2, 1] / 4` along height and width, a Hann window, and zeros beyond the
    border. Unlike the maximum it hardly changes when the picture moves by less
    than a stride. Of a side of `n` it leaves `ceil(n / stride)`.

    Args:
        x: Floating-point tensor, a batch of feature maps.
        strides: Integer, or a pair for height and width. Defaults to 2.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `"channels_last"`.

    Returns:
        Tensor of the type of `x`, with smaller maps. What is shorter than
        float32 is pooled in float32, for its square may not fit.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual.ops.pooling import l2_pool
    >>> x = np.zeros((1, 4, 4, 1), "float32")
    >>> x[0, 2, 2] = 1.0
    >>> pooled = keras.ops.convert_to_numpy(l2_pool(x))
    >>> pooled[0, :, :, 0].round(3).tolist()
    [[0.0, 0.0], [0.0, 0.5]]

    Reference:
        Ding et al. (2020), Image quality assessment: unifying structure and
        texture similarity, https://arxiv.org/abs/2004.07728, after Henaff and
        Simoncelli (2016), Geodesics of learned representations.
    """
    x = ops.convert_to_tensor(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    half = dtype in ("float16", "bfloat16")
    energy = ops.square(ops.cast(x, "float32") if half else x)
    border = [[0, 0], [1, 1], [1, 1]]
    border.insert(3 if data_format == "channels_last" else 1, [0, 0])
    energy = _blur(ops.pad(energy, border), strides, data_format)
    return ops.cast(ops.sqrt(energy + EPSILON), dtype)


def _blur(x, strides, data_format):
    """Averages each channel with the window, within bounds."""
    if convolutions.SLOW_DEPTHWISE or data_format == "channels_first":
        # The window is the mean of two, taken twice.
        for step in (1, strides):
            x = ops.average_pool(
                x, 2, step, padding="valid", data_format=data_format
            )
        return x
    kernel = np.outer(WINDOW, WINDOW)[:, :, None, None]
    kernel = ops.convert_to_tensor(
        np.tile(kernel, (1, 1, x.shape[-1], 1)), dtype=x.dtype
    )
    return ops.depthwise_conv(
        x, kernel, strides, padding="valid", data_format=data_format
    )
