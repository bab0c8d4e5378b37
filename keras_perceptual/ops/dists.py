"""The distance of DISTS between the features of two images."""

from keras import ops

from keras_perceptual.ops.distances import (
    mean_over_positions,
    relative_difference,
)
from keras_perceptual.typing import ArrayLike, Tensor

# Keep the two terms finite where a channel is zero, and where it is flat.
MEAN_EPSILON = 1e-6
VARIANCE_EPSILON = 1e-6


def channel_moments(
    x: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the mean and the variance of each channel of each image.

    Args:
        x: Floating-point tensor shaped `(batch, rows, columns, channels)`.
        weights: Optional weights of the positions, shaped
            `(batch, rows, columns)`, whose sum for each image is 1; of 0 at
            all positions come the mean 0 and the variance 0.

    Returns:
        Two tensors shaped `(batch, channels)`.
    """
    mean, deviation = _centered(x, weights)
    return mean, mean_over_positions(ops.square(deviation), weights)


def _centered(x: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns the mean of each channel, and what is left without it."""
    mean = mean_over_positions(x, weights)
    # Not `x - mean`: the gradient would change its sign at every position.
    return mean, x + ops.expand_dims(-mean, (1, 2))


def merge_moments(
    first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the moments of two parts of an image together.

    Args:
        first: How many positions the part has, the mean and the variance.
        second: The same of the other part. One of the two may have none.

    Returns:
        The same of both parts.

    Reference:
        Chan, Golub and LeVeque (1979), Updating formulae and a pairwise
        algorithm for computing sample variances.
    """
    (n, mean, variance), (m, other_mean, other_variance) = first, second
    share = m / (n + m)
    delta = other_mean - mean
    return (
        n + m,
        mean + delta * share,
        variance
        + (other_variance - variance) * share
        + ops.square(delta) * share * (1 - share),
    )


def pair_moments(
    x: Tensor, y: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns what DISTS compares of the features of two images.

    Args:
        x: Floating-point tensor shaped `(batch, rows, columns, channels)`.
        y: Tensor shaped as `x`.
        weights: As for `channel_moments`.

    Returns:
        The means and the variances of `x`, `y` and `y - x`: two tensors shaped
        `(batch, 3, channels)`.
    """
    (mean_x, x), (mean_y, y) = _centered(x, weights), _centered(y, weights)
    means = [mean_x, mean_y, mean_y - mean_x]
    variances = [
        mean_over_positions(ops.square(z), weights) for z in (x, y, y - x)
    ]
    return ops.stack(means, axis=1), ops.stack(variances, axis=1)


def dists_distance(
    means: Tensor, variances: Tensor, alpha: ArrayLike, beta: ArrayLike
) -> Tensor:
    """Returns what one layer adds to DISTS.

    The publication multiplies similarities of the means (texture) and of the
    deviations from them (structure); taken from 1, with the covariance written
    as a variance of the difference, they are

    ```
    texture = (mean(x) - mean(y)) ** 2 / (mean(x) ** 2 + mean(y) ** 2 + 1e-6)
    structure = var(x - y) / (var(x) + var(y) + 1e-6)
    distance = sum over channels of alpha * texture + beta * structure
    ```

    the same numbers, but exactly 0 for equal features and never below: nothing
    cancels.

    Args:
        means: The means of `x`, `y` and `y - x`, as from `pair_moments`.
        variances: Their variances.
        alpha: Weights of at least 0 of the means, shaped `(channels,)`.
        beta: The same of the deviations.

    Returns:
        Tensor shaped `(batch,)`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.dists import dists_distance, pair_moments
    >>> x = keras.ops.reshape(keras.ops.arange(8.0), (1, 2, 2, 2))
    >>> distance = dists_distance(*pair_moments(x, 1 - x), [0.5, 0], [0, 0.5])
    >>> round(float(distance[0]), 3)
    1.962

    Reference:
        Ding et al. (2020), Image quality assessment: unifying structure and
        texture similarity, https://arxiv.org/abs/2004.07728.
    """
    alpha, beta = (
        ops.convert_to_tensor(weights, dtype=means.dtype)
        for weights in (alpha, beta)
    )
    x, y, _ = ops.unstack(means, 3, axis=1)
    texture = relative_difference(x, y, MEAN_EPSILON)
    x, y, difference = ops.unstack(variances, 3, axis=1)
    structure = difference / (x + y + VARIANCE_EPSILON)
    return ops.sum(alpha * texture + beta * structure, axis=-1)
