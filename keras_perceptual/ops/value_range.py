"""Where the values of a picture lie, and moving them elsewhere."""

import numpy as np

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


def describe_range_mistake(x, value_range, tolerance):
    """Says what is wrong with the values of `x`, if anything is.

    Args:
        x: NumPy array of pixel values.
        value_range: Pair of floats, the range that was promised.
        tolerance: Float, how far outside values may lie, as a fraction of the
            width of the range.

    Returns:
        A sentence, or `None` where the values fit the promise.
    """
    if x.size == 0:
        return None
    low, high = float(np.min(x)), float(np.max(x))
    slack = tolerance * (value_range[1] - value_range[0])
    outside = low < value_range[0] - slack or high > value_range[1] + slack
    # Images in (0, 1) are inside (0, 255), and all but black there.
    too_dark = value_range == (0.0, 255.0) and 0.0 < high <= 1.0
    if not (outside or too_dark):
        return None
    likely = likely_range(low, high)
    guess = (
        f" They look like images in {show_range(likely)}: pass "
        f"value_range={show_range(likely)}, or rescale them."
        if likely is not None and likely != value_range
        else " Rescale or clip them, or pass the `value_range` they are in."
    )
    return (
        f"holds values from {low:.4g} to {high:.4g} where "
        f"{show_range(value_range)} was expected.{guess}"
    )


def show_range(value_range):
    """Returns a range as people write it, `(0, 1)` and not `(0.0, 1.0)`."""
    return "({:g}, {:g})".format(*value_range)
