"""What the pictures of this package need, if it is there."""


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


def import_pillow(what, instead):
    """Returns the package of Pillow, which is an optional dependency.

    Args:
        what: String, what is to be drawn, such as "A sheet of images".
        instead: String, what can be done without it, as an order.

    Raises:
        ImportError: If Pillow is not installed.
    """
    try:
        import PIL
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as error:
        raise ImportError(
            f"{what} needs Pillow. Install it, for example by "
            f"`pip install pillow`, or {instead}. Received: {error}"
        ) from error
    return PIL
