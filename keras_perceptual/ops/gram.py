"""Gram matrices: which channels are active together, wherever it is."""

from keras import ops


def gram_matrix(features):
    """Returns the products of all pairs of channels, averaged.

    `sum over positions of f_i * f_j / (height * width * channels)`. The
    division comes before the sum, so that the sums stay small.

    Args:
        features: Floating-point tensor shaped
            `(batch, height, width, channels)`.

    Returns:
        Tensor shaped `(batch, channels, channels)`.

    Reference:
        Gatys et al. (2016), Image style transfer using convolutional neural
        networks; divided by the number of features as in Johnson et al.
        (2016), https://arxiv.org/abs/1603.08155.
    """
    shape = ops.shape(features)
    flat = ops.reshape(features, (shape[0], -1, features.shape[-1]))
    count = ops.cast(shape[1] * shape[2] * shape[3], features.dtype)
    flat = flat * ops.rsqrt(count)
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat)
