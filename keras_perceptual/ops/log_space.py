"""Logarithms of what may not be positive."""

import math

from keras import ops

from keras_perceptual.typing import Tensor


def log_with_tangent(x: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Returns the logarithm, which goes on as its tangent below `epsilon`.

    So zero and less have a value and a gradient, which leads back to where
    the logarithm is one.

    Args:
        x: Floating-point tensor.
        epsilon: Float above zero.

    Returns:
        Tensor shaped as `x`.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.log_space import log_with_tangent
    >>> round(float(log_with_tangent(np.float32([0.0]), 0.5)[0]), 4)
    -1.6931
    """
    x = ops.convert_to_tensor(x)
    tangent = x / epsilon + (math.log(epsilon) - 1)
    inside = x > epsilon
    safe = ops.where(inside, x, ops.ones_like(x))
    return ops.where(inside, ops.log(safe), tangent)
