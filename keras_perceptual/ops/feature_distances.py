"""Distances between two sets of features.

A distance is a function that compares two tensors feature by feature; its mean
is the distance of two images, and its mean over the channels a map of it.
"""

from keras import ops

from keras_perceptual.ops.masks import mean_per_image
from keras_perceptual.ops.penalties import absolute, charbonnier_penalty


def unit_normalize(features, epsilon=1e-10):
    """Scales the channel vector of each position to length one.

    `f / sqrt(sum(f ** 2) + epsilon)`: with epsilon inside the square root, the
    gradient is finite where all channels are zero, and so is the result.

    Args:
        features: Floating-point tensor, channels last.
        epsilon: Float, what is added to the squared length.

    Returns:
        Tensor shaped as `features`.
    """
    squared = ops.sum(ops.square(features), axis=-1, keepdims=True)
    return features * ops.rsqrt(squared + epsilon)


def cosine_distance(x, y):
    """Returns what each channel adds to one minus the cosine.

    The mean over the channels is one minus the cosine between the two channel
    vectors at a position. It is computed as half the squared distance of the
    vectors scaled to length one, which is the same and is zero for two vectors
    of zeros.

    Args:
        x: Floating-point tensor shaped `(batch, ..., channels)`.
        y: Tensor shaped as `x`.

    Returns:
        Tensor shaped as `x`.
    """
    squared = ops.square(unit_normalize(x) - unit_normalize(y))
    return squared * (x.shape[-1] / 2)


FEATURE_DISTANCES = {
    "mse": lambda x, y: ops.square(x - y),
    "mae": lambda x, y: absolute(x - y),
    "charbonnier": lambda x, y: charbonnier_penalty(x - y),
    "cosine": cosine_distance,
}


def feature_distance(kind, x, y, mask=None):
    """Returns the mean distance between the features of two images.

    Args:
        kind: String, a key of `FEATURE_DISTANCES`.
        x: Floating-point tensor shaped `(batch, ..., channels)`.
        y: Tensor shaped as `x`.
        mask: Optional weights of the positions of an image, of any size.

    Returns:
        Tensor shaped `(batch,)`.
    """
    return mean_per_image(FEATURE_DISTANCES[kind](x, y), mask)
