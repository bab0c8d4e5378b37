"""The small bell-shaped blur of `l2_pool`."""

import numpy as np
from keras import ops

WINDOW = (0.25, 0.5, 0.25)


def hann_blur(x, strides, data_format):
    """Averages each channel under the window `[1, 2, 1] / 4`, both ways.

    Beyond the border are zeros. Of a side of `n` it leaves
    `ceil(n / stride)`.
    """
    border = [[0, 0], [1, 1], [1, 1]]
    border.insert(3 if data_format == "channels_last" else 1, [0, 0])
    channels = x.shape[-1 if data_format == "channels_last" else 1]
    kernel = np.outer(WINDOW, WINDOW)[:, :, None, None]
    kernel = ops.convert_to_tensor(
        np.tile(kernel, (1, 1, channels, 1)), dtype=x.dtype
    )
    return ops.depthwise_conv(
        ops.pad(x, border),
        kernel,
        strides,
        padding="valid",
        data_format=data_format,
    )
