"""How convolutions are computed."""

# Whether filtering each channel by itself is slower than a matrix product with
# hundreds of times the arithmetic.
SLOW_DEPTHWISE = False


def fuse_bias(network):
    """Has the convolutions of a network add their bias in the same pass.

    The compiler sees to that here.
    """
