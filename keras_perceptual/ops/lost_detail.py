"""Features of an image against those of a reference: what of it is lost.

All is said by moments of the channels over the whole image: the mean and the
variance of the reference `x`, and what the image adds to it, `d = y - x`.
"""

from typing import NamedTuple

from keras import ops

from keras_perceptual.ops.distances import absolute, mean_over_positions
from keras_perceptual.typing import Tensor

# What a channel has to vary to count, as a share of the mean over the channels;
# and at least, where nothing varies.
SHARE_EPSILON = 1e-4
VARIANCE_EPSILON = 1e-9
# Below, the distance grows with the square of the differences.
ROOT_EPSILON = 1e-6


class Moments(NamedTuple):
    """What is compared of the features of a reference and of an image.

    Attributes:
        mean: Mean of the reference, shaped `(batch, channels)` as the others.
        added: Mean of the difference `y - x`.
        variance: Variance of the reference.
        covariance: Covariance of the reference and the difference.
        squared: Mean of the squared difference.
    """

    mean: Tensor
    added: Tensor
    variance: Tensor
    covariance: Tensor
    squared: Tensor

    @property
    def energy(self) -> Tensor:
        """The variance of the reference, where it is divided by."""
        usual = ops.mean(self.variance, axis=-1, keepdims=True)
        return self.variance + SHARE_EPSILON * usual + VARIANCE_EPSILON

    @property
    def raised(self) -> Tensor:
        """By how much the contrast of the reference is raised, at least 0.

        `max(g - 1, 0)`, where `g = cov(x, y) / energy` is how much of the
        contrast of the reference is in the image.
        """
        contrast = self.variance + self.covariance
        return ops.relu(contrast / self.energy - 1)

    @property
    def missing(self) -> Tensor:
        """Which part of the contrast is missing; below 0, what is added.

        `(var(x) - cov(x, y)) / energy`, exactly 0 for equal features.
        """
        return -self.covariance / self.energy


def joint_moments(x: Tensor, y: Tensor, weights: Tensor | None) -> Moments:
    """Returns what is compared of features, for each image and channel.

    Args:
        x: Features of the reference, shaped `(batch, rows, columns,
            channels)`. No gradient flows to them.
        y: Features of the image.
        weights: Optional weights of the positions, shaped
            `(batch, rows, columns)`, whose sum for each image is 1, or 0 where
            nothing counts.

    Returns:
        The `Moments`.
    """
    mean = mean_over_positions(x, weights)
    deviation = _around(x, mean)
    difference = y - x
    added = mean_over_positions(difference, weights)
    # The deviation has no mean, so that this one does not change the gradient;
    # but its rounding has, where the reference is flat.
    centered = _around(difference, ops.stop_gradient(added))
    return Moments(
        mean,
        added,
        mean_over_positions(ops.square(deviation), weights),
        mean_over_positions(deviation * centered, weights),
        mean_over_positions(ops.square(difference), weights),
    )


def merge_joint_moments(
    first: tuple[Tensor, Moments], second: tuple[Tensor, Moments]
) -> tuple[Tensor, Moments]:
    """Returns the moments of two parts of an image together.

    Args:
        first: How many positions the part has, and its moments.
        second: The same of the other part. One of the two may have none.

    Returns:
        The same of both parts.

    Reference:
        Chan, Golub and LeVeque (1979), Updating formulae and a pairwise
        algorithm for computing sample variances.
    """
    (n, a), (m, b) = first, second
    share = m / (n + m)
    between = share * (1 - share) * (b.mean - a.mean)

    def mix(x: Tensor, y: Tensor) -> Tensor:
        return x + (y - x) * share

    moments = Moments(
        mix(a.mean, b.mean),
        mix(a.added, b.added),
        mix(a.variance, b.variance) + between * (b.mean - a.mean),
        mix(a.covariance, b.covariance) + between * (b.added - a.added),
        mix(a.squared, b.squared),
    )
    return n + m, moments


def feature_difference(moments: Moments, forgive_gain: bool) -> Tensor:
    """Returns how far apart features are, contrast raised set aside.

    The mean over the channels of `mse - max(g - 1, 0) ** 2 * var(x)`: what of
    the squared differences is the reference once more costs nothing.

    Args:
        moments: As from `joint_moments`.
        forgive_gain: Boolean; `False` leaves the mean of the squared
            differences as it is.

    Returns:
        A tensor shaped `(batch,)`, at least 0.
    """
    difference = moments.squared
    if forgive_gain:
        forgiven = ops.square(moments.raised) * moments.variance
        # It is never larger, but for what was rounded.
        difference = ops.relu(difference - forgiven)
    return ops.mean(difference, axis=-1)


def lost_detail(moments: Moments, forgive_gain: bool) -> Tensor:
    """Returns which part of the contrast of the reference is not there.

    The mean over the channels of `max(0, var(x) - cov(x, y)) / energy`: 0 for
    equal features and for channels that are dead, 1 where the image has
    nothing of the reference.

    Args:
        moments: As from `joint_moments`.
        forgive_gain: Boolean; with `False`, contrast that is added counts as
            contrast that is lost.

    Returns:
        A tensor shaped `(batch,)`, at least 0.
    """
    missing = moments.missing
    counted = ops.relu(missing) if forgive_gain else absolute(missing)
    return ops.mean(counted, axis=-1)


def root_share(total: Tensor) -> Tensor:
    """Returns what to multiply parts of a sum with, so that they make its root.

    The parts then add up to `sqrt(total + 1e-6) - sqrt(1e-6)`, written so that
    nothing cancels.

    Args:
        total: Floating-point tensor, at least 0.

    Returns:
        A tensor shaped as `total`.
    """
    return 1 / (ops.sqrt(total + ROOT_EPSILON) + ROOT_EPSILON**0.5)


def difference_map(
    x: Tensor, y: Tensor, moments: Moments, forgive_gain: bool
) -> Tensor:
    """Returns what each position adds to `feature_difference`.

    Args:
        x: Features of the reference, shaped `(batch, rows, columns,
            channels)`.
        y: Features of the image.
        moments: Those of the two.
        forgive_gain: As for `feature_difference`.

    Returns:
        A tensor shaped `(batch, rows, columns)`, at least 0.
    """
    difference = y - x
    if forgive_gain:
        raised = ops.expand_dims(moments.raised, (1, 2))
        difference = difference - raised * _around(x, moments.mean)
    return ops.mean(ops.square(difference), axis=-1)


def lost_detail_map(
    x: Tensor, y: Tensor, moments: Moments, forgive_gain: bool
) -> Tensor:
    """Returns what each position adds to `lost_detail`.

    Args:
        x: Features of the reference, shaped `(batch, rows, columns,
            channels)`.
        y: Features of the image.
        moments: Those of the two.
        forgive_gain: As for `lost_detail`.

    Returns:
        A tensor shaped `(batch, rows, columns)`, below 0 where contrast is
        added and other places of the same channels lack some.
    """
    sign = ops.sign(moments.missing)
    counted = ops.relu(sign) if forgive_gain else sign
    factor = ops.expand_dims(counted / moments.energy, (1, 2))
    return ops.mean(factor * _around(x, moments.mean) * (x - y), axis=-1)


def _around(x: Tensor, mean: Tensor) -> Tensor:
    """Returns what is left of each channel without its mean."""
    # Not `x - mean`: the gradient would change its sign at every position.
    return x + ops.expand_dims(-mean, (1, 2))
