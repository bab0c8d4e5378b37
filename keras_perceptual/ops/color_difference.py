"""How far apart two colors are, as people see it."""

from keras import ops

from keras_perceptual.typing import Tensor

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
    squared = ops.sum(ops.square(lab - other), axis=-1)
    # The square root sees nothing that has an infinite slope.
    distance = ops.sqrt(ops.maximum(squared, LEAST**2))
    return ops.where(squared < LEAST**2, ops.zeros_like(squared), distance)
