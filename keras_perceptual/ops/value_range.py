"""Where the values of a picture lie, and moving them elsewhere."""

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.typing import Tensor, ValueRange


def rescale(
    x: Tensor, value_range: ValueRange, target_range: ValueRange = (0.0, 1.0)
) -> Tensor:
    """Maps values linearly so that `value_range` becomes `target_range`.

    Nothing is clipped: what lies outside one range lies outside the other.

    Args:
        x: Floating-point tensor of any shape.
        value_range: Pair of floats, the range that `x` is in.
        target_range: Pair of floats, the range it is to be in.

    Returns:
        A tensor shaped as `x`.
    """
    (low, high), (target_low, target_high) = value_range, target_range
    if (low, high) == (target_low, target_high):
        return x
    scale = (target_high - target_low) / (high - low)
    return x * scale + (target_low - low * scale)


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """Moves what lies outside a range to its nearest end.

    Unlike that of `keras.ops.clip`, the gradient at the very ends is that of
    the inside on every backend. It is zero outside. NaN stays NaN.

    Args:
        x: Floating-point tensor.
        low: Float, the lower end.
        high: Float, the upper end.

    Returns:
        A tensor shaped as `x`.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual.ops.value_range import clamp
    >>> x = np.array([-0.5, 0.5, 2.0], "float32")
    >>> keras.ops.convert_to_numpy(clamp(x, 0.0, 1.0)).tolist()
    [0.0, 0.5, 1.0]
    """
    return _backend.clamp(ops.convert_to_tensor(x), low, high)
