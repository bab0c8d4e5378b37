"""Where the values of a picture lie, and moving them elsewhere."""

from keras import ops

from keras_perceptual import _backend

CONVENTIONS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


def rescale(x, value_range, target_range=(0.0, 1.0)):
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


def clamp(x, low, high):
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


def likely_range(low, high):
    """Returns the usual range that values from `low` to `high` seem to be in.

    Args:
        low: Float, the lowest value seen.
        high: Float, the highest value seen.

    Returns:
        `(0.0, 1.0)`, `(-1.0, 1.0)` or `(0.0, 255.0)`; `None` where no usual
        range holds the values.
    """
    for bottom, top in CONVENTIONS:
        slack = 0.1 * (top - bottom)
        if low >= bottom - slack and high <= top + slack:
            return bottom, top
    return None


def is_outside(low, high, value_range, tolerance):
    """Whether values from `low` to `high` cannot be in a range.

    Args:
        low: The lowest value, a float or a scalar tensor.
        high: The highest value, a float or a scalar tensor.
        value_range: Pair of floats, the range that was promised.
        tolerance: Float, how far outside values may lie, as a fraction of the
            width of the range.

    Returns:
        A boolean, or a boolean tensor. NaN is not outside.
    """
    slack = tolerance * (value_range[1] - value_range[0])
    return (low < value_range[0] - slack) | (high > value_range[1] + slack)


def is_narrow(low, high, value_range):
    """Whether values fill a range as those of another range would.

    Images in (0, 1) are inside (0, 255) and all but black there; inside
    (-1, 1) they are pale. Images of one value, such as black ones, can be of
    any range.

    Args:
        low: The lowest value, a float or a scalar tensor.
        high: The highest value, a float or a scalar tensor.
        value_range: Pair of floats, the range that was promised.

    Returns:
        A boolean, or a boolean tensor.
    """
    if tuple(value_range) == (0.0, 255.0):
        return (high <= 1.0) & (high > low)
    if tuple(value_range) == (-1.0, 1.0):
        return (low >= 0.0) & (high > low)
    return low < low


def describe_range_mistake(low, high, value_range):
    """Says what seems to be wrong with values.

    Args:
        low: Float, the lowest value.
        high: Float, the highest value.
        value_range: Pair of floats, the range that was promised.

    Returns:
        The rest of a sentence that begins with the name of the images.
    """
    likely = likely_range(low, high)
    guess = (
        f" They look like images in {show_range(likely)}: pass "
        f"value_range={show_range(likely)}, or rescale them."
        if likely is not None and likely != tuple(value_range)
        else " Rescale or clip them, or pass the `value_range` they are in."
    )
    return (
        f"holds values from {low:.4g} to {high:.4g} where "
        f"{show_range(value_range)} was expected.{guess}"
    )


def show_range(value_range):
    """Returns a range as people write it, `(0, 1)` and not `(0.0, 1.0)`."""
    return "({:g}, {:g})".format(*value_range)
