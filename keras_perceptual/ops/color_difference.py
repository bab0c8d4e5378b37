"""How far apart two colors are, as people see it."""

import math
from collections.abc import Callable

from keras import ops

from keras_perceptual.ops.color_spaces import srgb_to_lab, srgb_to_oklab
from keras_perceptual.ops.roots import square_root
from keras_perceptual.typing import ColorDifference, Tensor

# What rounding makes of equal colors is below, by an order of magnitude; people
# tell colors apart from about 2 on.
LEAST = 1e-3


def cie76(lab: Tensor, other: Tensor) -> Tensor:
    """Returns the distance of two colors in CIELAB.

    `sqrt(dL ** 2 + da ** 2 + db ** 2)`. What is below 0.001 is rounding: it
    counts as 0, and has no gradient.

    Args:
        lab: Floating-point tensor whose last axis is L, a and b.
        other: Tensor shaped as `lab`.

    Returns:
        A tensor shaped as `lab`, without the last axis.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.color_difference import cie76
    >>> lab = keras.ops.convert_to_tensor([[50.0, 0.0, 0.0], [50.0, 3.0, 4.0]])
    >>> round(float(cie76(lab[0], lab[1])), 3)
    5.0

    Reference:
        CIE 15:2004, Colorimetry, the difference of 1976.
    """
    return square_root(ops.sum(ops.square(lab - other), axis=-1), LEAST)


def ciede2000(lab: Tensor, other: Tensor) -> Tensor:
    """Returns the difference CIEDE2000 of two colors in CIELAB.

    Hues are compared without angles: no gradient jumps where they wrap, or is
    infinite where a color is gray. What is below 0.001 counts as 0.

    Args:
        lab: Floating-point tensor whose last axis is L, a and b.
        other: Tensor shaped as `lab`.

    Returns:
        A tensor shaped as `lab`, without the last axis.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.color_difference import ciede2000
    >>> blue = keras.ops.convert_to_tensor([50.0, 2.6772, -79.7751])
    >>> other = keras.ops.convert_to_tensor([50.0, 0.0, -82.7485])
    >>> round(float(ciede2000(blue, other)), 3)
    2.042

    Reference:
        Sharma et al. (2005), The CIEDE2000 color-difference formula,
        https://doi.org/10.1002/col.20070.
    """
    (l1, a1, b1), (l2, a2, b2) = (
        ops.unstack(x, 3, axis=-1) for x in (lab, other)
    )
    chroma = (_length(a1, b1) + _length(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _saturation(chroma)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = _length(a1, b1), _length(a2, b2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = _mean_hue(a1, b1, c1, a2, b2, c2)

    def wave(factor: float, degrees: float) -> Tensor:
        return ops.cos(factor * hue + math.radians(degrees))

    t = (
        1
        - 0.17 * wave(1, -30)
        + 0.24 * wave(2, 0)
        + 0.32 * wave(3, 6)
        - 0.20 * wave(4, -63)
    )
    middle = ops.square(lightness - 50)
    d_lightness = (l2 - l1) / (1 + 0.015 * middle / ops.sqrt(20 + middle))
    d_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    d_hue = _hue_difference(a1, b1, c1, a2, b2, c2) / (1 + 0.015 * chroma * t)
    blue = (hue - math.radians(275)) / math.radians(25)
    turn = math.radians(60) * ops.exp(-ops.square(blue))
    rotation = -2 * _saturation(chroma) * ops.sin(turn)
    squared = (
        ops.square(d_lightness)
        + ops.square(d_chroma)
        + ops.square(d_hue)
        + rotation * d_chroma * d_hue
    )
    return square_root(squared, LEAST)


def oklab_difference(lab: Tensor, other: Tensor) -> Tensor:
    """Returns the distance of two colors in OKLab, times 100.

    Args:
        lab: Floating-point tensor whose last axis is L, a and b, L in (0, 1).
        other: Tensor shaped as `lab`.

    Returns:
        A tensor shaped as `lab`, without the last axis.
    """
    return cie76(100 * lab, 100 * other)


# Of each difference, the space and the function.
COLOR_DIFFERENCES: dict[
    ColorDifference,
    tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]],
] = {
    "ciede2000": (srgb_to_lab, ciede2000),
    "cie76": (srgb_to_lab, cie76),
    "oklab": (srgb_to_oklab, oklab_difference),
}


def _length(a: Tensor, b: Tensor) -> Tensor:
    """Returns how far a color is from gray."""
    return square_root(ops.square(a) + ops.square(b), LEAST)


def _saturation(chroma: Tensor) -> Tensor:
    """Returns `sqrt(chroma ** 7 / (chroma ** 7 + 25 ** 7))`."""
    ratio = ops.maximum(chroma, LEAST) / 25
    return ops.power(ratio, 3.5) / ops.sqrt(1 + ops.power(ratio, 7.0))


def _mean_hue(
    a1: Tensor, b1: Tensor, c1: Tensor, a2: Tensor, b2: Tensor, c2: Tensor
) -> Tensor:
    """Returns the hue between two, in radians of at least 0.

    A gray color has none, and leaves it to the other one.
    """
    c1, c2 = (ops.maximum(c, LEAST) for c in (c1, c2))
    a1, b1, a2, b2 = a1 / c1, b1 / c1, a2 / c2, b2 / c2
    # Halfway is along the sum of the directions, or, where these are all but
    # opposite and nothing is left of it, across their difference.
    near = a1 * a2 + b1 * b2 >= 0
    side = ops.where(a1 * b2 - a2 * b1 < 0, 1.0, -1.0)
    side = ops.cast(side, a1.dtype)
    along = ops.where(near, a1 + a2, side * (b1 - b2))
    up = ops.where(near, b1 + b2, side * (a2 - a1))
    # Where both are gray, there is no hue between them.
    known = ops.square(along) + ops.square(up) > LEAST**2
    hue = ops.arctan2(
        ops.where(known, up, ops.zeros_like(up)),
        ops.where(known, along, ops.ones_like(along)),
    )
    return ops.where(hue < 0, hue + 2 * math.pi, hue)


def _hue_difference(
    a1: Tensor, b1: Tensor, c1: Tensor, a2: Tensor, b2: Tensor, c2: Tensor
) -> Tensor:
    """Returns `2 * sqrt(c1 * c2) * sin((h2 - h1) / 2)`."""
    product, dot = c1 * c2, a1 * a2 + b1 * b2
    cross = a1 * b2 - a2 * b1
    near = dot > 0
    # By the sine where hues are near, by the cosine where they are opposite.
    by_sine = cross / ops.sqrt(
        ops.maximum(ops.where(near, (product + dot) / 2, 1.0), LEAST**2)
    )
    by_cosine = ops.sqrt(
        ops.maximum(ops.where(near, 1.0, 2 * (product - dot)), LEAST**2)
    )
    return ops.where(near, by_sine, ops.where(cross < 0, -by_cosine, by_cosine))
