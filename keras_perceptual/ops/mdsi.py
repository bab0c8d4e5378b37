"""The mean deviation of the similarity of two images (MDSI)."""

import math

from keras import ops

from keras_perceptual.ops.color_spaces import rgb_to_lhm
from keras_perceptual.ops.distances import (
    mean_per_image,
    normalize_mask,
    relative_difference,
    sum_over_positions,
)
from keras_perceptual.ops.image_gradients import image_gradients
from keras_perceptual.ops.pooling import block_means
from keras_perceptual.ops.roots import fourth_root, square_root
from keras_perceptual.typing import Tensor

# To about how many pixels the shorter side is reduced.
SIDE = 256
# What rounding makes of a flat image's slope, in values up to 255.
LEAST_SLOPE = 1e-3
# Below, a similarity and a mean deviation have no fourth root, but a parabola:
# values of images with a distance of 0.01 and less are smaller than the root.
LEAST_SIMILARITY = 1e-4
LEAST_DEVIATION = 1e-8


def mdsi_distance(
    x: Tensor,
    y: Tensor,
    *,
    c1: float = 140.0,
    c2: float = 55.0,
    c3: float = 550.0,
    alpha: float = 0.6,
    mask: Tensor | None = None,
) -> Tensor:
    """Returns how unevenly the similarity of two images is spread.

    Args:
        x: Floating-point tensor shaped `(batch, height, width, 3)`, the
            references, values in (0, 1).
        y: Tensor shaped as `x`.
        c1: Float above zero, which steadies the similarity of the slopes of
            two images, of values up to 255.
        c2: Float above zero, likewise for that of each with their mean.
        c3: Float above zero, likewise for that of the colors.
        alpha: Float from 0 to 1, the share of the slopes; the rest is that of
            the colors.
        mask: Optional weights of the pixels, `(batch, height, width)`. Those of
            weight 0 have to be black, as all beyond the border is.

    Returns:
        A tensor shaped `(batch,)`.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.mdsi import mdsi_distance
    >>> x = np.linspace(0, 1, 768, dtype="float32").reshape(1, 16, 16, 3)
    >>> float(mdsi_distance(x, x)[0])
    0.0

    Reference:
        [Nafchi et al., 2016](https://arxiv.org/abs/1608.07433).
    """
    if mask is not None:
        mask = normalize_mask(_reduce(mask[..., None])[..., 0])
    x, y = (rgb_to_lhm(255 * _reduce(z)) for z in (x, y))
    lack = alpha * _slope_difference(x[..., 0], y[..., 0], c1, c2) + (
        1 - alpha
    ) * _color_difference(x[..., 1:], y[..., 1:], c3)
    parts = [z - _mean(z, mask) for z in _root_less_one(lack)]
    # Their squares may be too small for a float32, but not worth counting.
    deviation = square_root(sum(map(ops.square, parts)), 1e-15)
    return fourth_root(_mean(deviation, mask)[:, 0, 0], LEAST_DEVIATION)


def _slope_difference(x: Tensor, y: Tensor, c1: float, c2: float) -> Tensor:
    """Returns one minus the similarity of slopes as people see it.

    What `y` lacks of `x` counts more than what it has beyond it.
    """
    luma = ops.pad(ops.stack([x, y], axis=-1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    slopes = image_gradients(
        luma, "prewitt", padding="valid", data_format="channels_last"
    )
    pairs = [(z[..., 0] / 3, z[..., 1] / 3) for z in slopes]
    pairs = [(one, other, (one + other) / 2) for one, other in pairs]
    first, second, both = (
        square_root(ops.square(dy) + ops.square(dx), LEAST_SLOPE)
        for dy, dx in zip(*pairs, strict=True)
    )
    return (
        relative_difference(first, second, c1)
        + relative_difference(second, both, c2)
        - relative_difference(first, both, c2)
    )


def _color_difference(x: Tensor, y: Tensor, c: float) -> Tensor:
    """Returns one minus the similarity of two channels of color together."""
    squares = ops.sum(ops.square(x) + ops.square(y), axis=-1)
    return ops.sum(ops.square(x - y), axis=-1) / (squares + c)


def _root_less_one(lack: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the fourth root of `1 - lack` less one, a complex number.

    That of a negative number is the one that lies an eighth of a turn from
    where the positive ones are.
    """
    near = lack < 0.5
    # Each branch sees values of its own alone, whose slope is finite.
    exact = ops.expm1(ops.log1p(-ops.where(near, lack, 0.0)) / 4)
    similarity = 1 - ops.where(near, 0.0, lack)
    negative = similarity < 0
    root = fourth_root(
        ops.where(negative, -similarity, similarity), LEAST_SIMILARITY
    )
    turned = math.sqrt(0.5) * root
    real = ops.where(near, exact, ops.where(negative, turned, root) - 1)
    return real, ops.where(negative, turned, ops.zeros_like(turned))


def _mean(x: Tensor, weights: Tensor | None) -> Tensor:
    """Returns means over positions, `(batch, 1, 1)`."""
    if weights is None:
        mean = mean_per_image(x)
    else:
        mean = sum_over_positions(x * weights)
    return ops.reshape(mean, (-1, 1, 1))


def _reduce(x: Tensor) -> Tensor:
    """Averages squares of pixels of large images; all beyond them is black."""
    sides = x.shape[1:3]
    if None in sides:
        shortest = ops.minimum(*ops.shape(x)[1:3])
        size = ops.round(ops.cast(shortest, "float32") / SIDE)
        size = ops.maximum(ops.cast(size, "int32"), 1)
    else:
        size = max(1, round(min(sides) / SIDE))
        if size == 1:
            return x
    # A square stands at its middle, or, of two pixels there, at the first.
    border = ((size - 1) // 2, size // 2)
    return block_means(ops.pad(x, ((0, 0), border, border, (0, 0))), size)
