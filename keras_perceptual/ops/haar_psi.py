"""The perceptual similarity index of Haar wavelets (HaarPSI).

All functions return distances, one minus a similarity, from what two images
differ by, so that no digits are lost where they are almost equal.
"""

import math

import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.color_spaces import rgb_to_yiq
from keras_perceptual.ops.distances import (
    absolute,
    relative_difference,
    sum_over_positions,
)
from keras_perceptual.ops.image_gradients import crop
from keras_perceptual.ops.pooling import block_means
from keras_perceptual.typing import Tensor

# The least height and width: one window of the coarsest wavelet after halving.
SMALLEST = 16
# What rounding makes of the coefficients of flat parts, of pixels up to 255.
ROUNDING = 1e-3
# From where on the distance is divided by the mean that it comes from.
LEAST = 1e-12


def haar_psi_distance(
    x: Tensor,
    y: Tensor,
    *,
    c: float = 30.0,
    alpha: float = 4.2,
    subsample: bool = True,
    mask: Tensor | None = None,
) -> Tensor:
    """Returns one minus the similarity of each pair of images.

    Args:
        x: Floating-point tensor shaped `(batch, height, width, channels)`, of
            one or three channels, values in (0, 1).
        y: Tensor shaped as `x`.
        c: Float above zero, which steadies the ratio of small coefficients, of
            values up to 255.
        alpha: Float above zero, how steep the logistic function is that the
            similarities are averaged through.
        subsample: Boolean, whether images are halved first.
        mask: Optional weights of the pixels, `(batch, height, width)`. Those of
            weight 0 have to be black, as all beyond the border is.

    Returns:
        A tensor shaped `(batch,)`, from 0 to 1.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.haar_psi import haar_psi_distance
    >>> x = np.linspace(0, 1, 256, dtype="float32").reshape(1, 16, 16, 1)
    >>> float(haar_psi_distance(x, x)[0])
    0.0

    Reference:
        [Reisenhofer et al., 2018](https://arxiv.org/abs/1607.06140).
    """
    lost = sum_over_positions(_losses(x, y, c, alpha, subsample, mask))
    return _distance(lost, alpha)


def haar_psi_map(
    x: Tensor,
    y: Tensor,
    *,
    c: float = 30.0,
    alpha: float = 4.2,
    subsample: bool = True,
) -> Tensor:
    """Returns what each place adds to the distance of its image.

    Args:
        x: As for `haar_psi_distance`.
        y: As for `haar_psi_distance`.
        c: As for `haar_psi_distance`.
        alpha: As for `haar_psi_distance`.
        subsample: As for `haar_psi_distance`.

    Returns:
        A tensor shaped `(batch, rows, columns)`, of half the height and width,
        rounded up, where images are halved. Its mean is the distance.
    """
    losses = _losses(x, y, c, alpha, subsample)
    lost = sum_over_positions(losses)
    # The distance is no mean, but grows with one: each place has its share.
    slope = 2 / (alpha * _logistic(alpha) * _logistic(-alpha))
    ratio = ops.where(
        lost > LEAST, _distance(lost, alpha) / ops.maximum(lost, LEAST), slope
    )
    rows, columns = ops.shape(losses)[1:]
    count = ops.cast(rows * columns, losses.dtype)
    return losses * ops.reshape(ratio * count, (-1, 1, 1))


def _losses(
    x: Tensor,
    y: Tensor,
    c: float,
    alpha: float,
    subsample: bool,
    mask: Tensor | None = None,
) -> Tensor:
    """Returns what each position takes off the mean of an image.

    The mean is that of `logistic(alpha * similarity)`, weighted by how strong
    the coarsest wavelet is at the position.
    """
    x, y = (255 * z for z in (x, y))
    if subsample:
        x, y = _halve(x), _halve(y)
        mask = None if mask is None else _halve(mask[..., None])[..., 0]
    colored = x.shape[-1] == 3
    if colored:
        x, y = rgb_to_yiq(x), rgb_to_yiq(y)
    found = [_coefficients(z[..., 0]) for z in (x, y)]
    weights, differences = [], []
    for one, other in zip(*found, strict=True):
        # Where they are equal, the slope of `maximum` depends on the backend.
        weights.append(ops.where(other[2] > one[2], other[2], one[2]))
        differences.append(
            (
                relative_difference(one[0], other[0], c)
                + relative_difference(one[1], other[1], c)
            )
            / 2
        )
    if colored:
        weights.append((weights[0] + weights[1]) / 2)
        one, other = (_color(z[..., 1:]) for z in (x, y))
        differences.append(
            ops.mean(relative_difference(one, other, c), axis=-1)
        )
    weights = ops.stack(weights, axis=-1)
    if mask is not None:
        weights = weights * ops.expand_dims(mask, -1)
    whole = sum_over_positions(ops.sum(weights, axis=-1))
    whole = ops.where(whole > 0, whole, ops.ones_like(whole))
    scaled = alpha * ops.stack(differences, axis=-1)
    # What `logistic(alpha)` is more than `logistic(alpha - scaled)`.
    lost = -_logistic(alpha) * ops.expm1(-scaled) * ops.sigmoid(scaled - alpha)
    return ops.sum(weights * lost, axis=-1) / ops.reshape(whole, (-1, 1, 1))


def _distance(lost: Tensor, alpha: float) -> Tensor:
    """Returns one minus the squared similarity that a mean stands for."""
    lacks = ops.log1p(lost / _logistic(-alpha)) - ops.log1p(
        -lost / _logistic(alpha)
    )
    lacks = lacks / alpha
    return lacks * (2 - lacks)


def _coefficients(luma: Tensor) -> list[list[Tensor]]:
    """Returns how strong wavelets of 2, 4 and 8 pixels are at each position.

    Args:
        luma: Tensor shaped `(batch, rows, columns)`.

    Returns:
        A list of three tensors shaped as `luma`, from fine to coarse, for what
        changes along the height, and one for what changes along the width.
    """
    found: list[list[Tensor]] = [[], []]
    for half in (1, 2, 4):
        # A window stands at the last pixel of its first half.
        border = (half - 1, half)
        x = ops.pad(luma[..., None], ((0, 0), border, border, (0, 0)))
        flat = np.ones((2 * half, 1))
        step = np.repeat([[-1.0], [1.0]], half, axis=0) / len(flat)
        smooth, steep = _backend.filter_axis(x, np.hstack([flat, step]), axis=2)
        found[0] += _backend.filter_axis(smooth, step, axis=1)
        found[1] += _backend.filter_axis(steep, flat, axis=1)
    return [[_size(x[..., 0]) for x in kind] for kind in found]


def _color(x: Tensor) -> Tensor:
    """Returns how strong channels of color are in windows of two by two."""
    x = ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    for axis in (1, 2):
        x = crop(x, axis, 0, 1) + crop(x, axis, 1, 0)
    return _size(x / 4)


def _size(x: Tensor) -> Tensor:
    """Returns `abs(x)`, 0 without a gradient for what is rounding."""
    return ops.where(ops.abs(x) < ROUNDING, 0.0, absolute(x))


def _halve(x: Tensor) -> Tensor:
    """Averages two by two pixels; beyond the border all is black."""
    if any(side is None or side % 2 for side in x.shape[1:3]):
        x = ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    return block_means(x, 2)


def _logistic(x: float) -> float:
    """Returns the logistic function of a number."""
    return 1 / (1 + math.exp(-x))
