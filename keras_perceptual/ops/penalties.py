"""What a difference costs, value by value."""

from keras import ops


def absolute(x):
    """Returns `abs(x)`, with the gradient 0 where `x` is 0.

    Backends disagree about that point: JAX says 1 there, so that two equal
    images would push each other apart.

    Args:
        x: Floating-point tensor.

    Returns:
        Tensor shaped as `x`.
    """
    return x * ops.stop_gradient(ops.sign(x))


def charbonnier_penalty(x, epsilon=1e-3):
    """Returns `sqrt(x ** 2 + epsilon ** 2) - epsilon`, a smooth `abs(x)`.

    It is written so that nothing cancels where `x` is small.

    Args:
        x: Floating-point tensor.
        epsilon: Float, the difference below which the penalty is quadratic.

    Returns:
        Tensor shaped as `x`.

    Reference:
        Charbonnier et al. (1994), Two deterministic half-quadratic
        regularization algorithms for computed imaging. The loss of this name
        in BasicSR is larger by `epsilon`.
    """
    squared = ops.square(x)
    return squared / (ops.sqrt(squared + epsilon**2) + epsilon)


def power_penalty(x, exponent):
    """Returns `abs(x) ** exponent`, whose gradient is 0 where `x` is 0.

    Args:
        x: Floating-point tensor.
        exponent: Float of at least 1.

    Returns:
        Tensor shaped as `x`.
    """
    if exponent == 1:
        return absolute(x)
    if exponent == 2:
        return ops.square(x)
    return ops.power(absolute(x), exponent)
