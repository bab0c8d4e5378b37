"""The small bell-shaped blur of `l2_pool`."""

from keras import ops


def hann_blur(x, strides, data_format):
    """Averages each channel under the window `[1, 2, 1] / 4`, both ways.

    Beyond the border are zeros. Of a side of `n` it leaves
    `ceil(n / stride)`.
    """
    border = [[0, 0], [1, 1], [1, 1]]
    border.insert(3 if data_format == "channels_last" else 1, [0, 0])
    x = ops.pad(x, border)
    # The window is the mean of two, taken twice. XLA's depthwise convolutions
    # take many times as long on a CPU.
    for step in (1, strides):
        x = ops.average_pool(
            x, 2, step, padding="valid", data_format=data_format
        )
    return x
