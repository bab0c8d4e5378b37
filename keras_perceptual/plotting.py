"""What all pictures of this package need: matplotlib, if it is there."""


def import_pyplot(what, instead):
    """Returns `matplotlib.pyplot`, which is an optional dependency.

    Args:
        what: String, what is to be drawn, such as "A plot of gradients".
        instead: String, what can be done without it, as an order.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{what} needs matplotlib. Install it, for example by "
            f"`pip install matplotlib`, or {instead}. Received: {error}"
        ) from error
    return pyplot
