"""The small bell-shaped blur of `l2_pool`."""

import torch

WINDOW = (0.25, 0.5, 0.25)


def hann_blur(x, strides, data_format):
    """Averages each channel under the window `[1, 2, 1] / 4`, both ways.

    Beyond the border are zeros. Of a side of `n` it leaves
    `ceil(n / stride)`.
    """
    last = data_format == "channels_last"
    x = x.permute(0, 3, 1, 2) if last else x
    window = torch.tensor(WINDOW, dtype=x.dtype, device=x.device)
    # A number, where a traced program would have one that is computed: ONNX
    # has to know the kernel's shape.
    channels = int(x.shape[1])
    kernel = torch.outer(window, window).expand(channels, 1, 3, 3)
    x = torch.nn.functional.conv2d(
        x, kernel, stride=strides, padding=1, groups=channels
    )
    return x.permute(0, 2, 3, 1) if last else x
