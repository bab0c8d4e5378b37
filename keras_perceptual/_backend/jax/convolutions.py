"""How the layers of a network are computed."""

import functools

# Whether filtering each channel by itself is slower than a matrix product with
# hundreds of times the arithmetic.
SLOW_DEPTHWISE = True


def save_passes(network):
    """Has a network's layers pass over its large maps as often as needed.

    The compiler sees to that here.

    Returns:
        A function that does what calling the model in inference mode does.
    """
    return functools.partial(network, training=False)
