"""Distances between two sets of features, one number for each image."""

from keras import ops

from keras_perceptual.ops.penalties import absolute, charbonnier_penalty


def mean_per_image(x):
    """Averages over every axis but the first.

    Args:
        x: Tensor shaped `(batch, ...)`.

    Returns:
        Tensor shaped `(batch,)`.
    """
    return ops.mean(x, axis=tuple(range(1, len(x.shape))))


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


def mean_squared_error(x, y):
    """Returns `mean((x - y) ** 2)` for each image.

    Args:
        x: Floating-point tensor shaped `(batch, ...)`.
        y: Tensor shaped as `x`.

    Returns:
        Tensor shaped `(batch,)`.
    """
    return mean_per_image(ops.square(x - y))


def mean_absolute_error(x, y):
    """Returns `mean(abs(x - y))` for each image.

    Args:
        x: Floating-point tensor shaped `(batch, ...)`.
        y: Tensor shaped as `x`.

    Returns:
        Tensor shaped `(batch,)`.
    """
    return mean_per_image(absolute(x - y))


def charbonnier(x, y, epsilon=1e-3):
    """Returns the mean Charbonnier penalty of `x - y` for each image.

    Args:
        x: Floating-point tensor shaped `(batch, ...)`.
        y: Tensor shaped as `x`.
        epsilon: Float, the difference below which the distance is quadratic.

    Returns:
        Tensor shaped `(batch,)`.
    """
    return mean_per_image(charbonnier_penalty(x - y, epsilon))


def cosine_distance(x, y):
    """Returns one minus the cosine between channel vectors, averaged.

    Computed as half the squared distance of the vectors scaled to length one,
    which is the same and is zero for two vectors of zeros.

    Args:
        x: Floating-point tensor shaped `(batch, ..., channels)`.
        y: Tensor shaped as `x`.

    Returns:
        Tensor shaped `(batch,)`.
    """
    difference = unit_normalize(x) - unit_normalize(y)
    return mean_per_image(ops.sum(ops.square(difference), axis=-1) / 2)


FEATURE_DISTANCES = {
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "charbonnier": charbonnier,
    "cosine": cosine_distance,
}
