"""Roots whose slopes are finite where that of the root is not."""

from keras import ops

from keras_perceptual.typing import Tensor


def square_root(squared: Tensor, least: float) -> Tensor:
    """Returns a square root, 0 without a gradient for what is rounding.

    Args:
        squared: Floating-point tensor of at least 0.
        least: Float above zero. A root that is less counts as 0.

    Returns:
        A tensor shaped as `squared`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.roots import square_root
    >>> x = keras.ops.convert_to_tensor([0.0, 1e-8, 4.0])
    >>> keras.ops.convert_to_numpy(square_root(x, 1e-3)).tolist()
    [0.0, 0.0, 2.0]
    """
    # The square root sees nothing that has an infinite slope.
    root = ops.sqrt(ops.maximum(squared, least**2))
    return ops.where(squared < least**2, ops.zeros_like(squared), root)


def fourth_root(x: Tensor, least: float) -> Tensor:
    """Returns a fourth root that goes on as a parabola where `x` is small.

    It is 0 at 0, with the slope `1.75 * least ** -0.75`, and has no corner.

    Args:
        x: Floating-point tensor of at least 0.
        least: Float above zero, from where on it is the fourth root.

    Returns:
        A tensor shaped as `x`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.roots import fourth_root
    >>> x = keras.ops.convert_to_tensor([0.0, 1e-4, 16.0])
    >>> [round(float(root), 3) for root in fourth_root(x, 1e-4)]
    [0.0, 0.1, 2.0]
    """
    root = ops.sqrt(ops.sqrt(ops.maximum(x, least)))
    part = x / least
    parabola = least**0.25 * part * (1.75 - 0.75 * part)
    return ops.where(x < least, parabola, root)
