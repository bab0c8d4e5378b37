"""The axes of images, and how these go on beyond their border."""

import keras
from keras import ops

# The smallest height and width that each padding can continue by one pixel.
PADDINGS = {"reflect": 2, "replicate": 1, "valid": 0}


def floating(images):
    """Returns images as a tensor; integers are cast to the default type."""
    images = ops.convert_to_tensor(images)
    if keras.backend.is_float_dtype(images.dtype):
        return images
    return ops.cast(images, keras.config.floatx())


def spatial_axes(data_format):
    """Returns the axis of the height and that of the width."""
    return (1, 2) if data_format == "channels_last" else (2, 3)


def pad_axes(x, before, after, padding, axes):
    """Continues a tensor along some of its axes.

    Args:
        x: Tensor of any shape.
        before: Integer, how many rows to add in front.
        after: Integer, how many rows to add behind.
        padding: `"reflect"` mirrors without repeating the edge,
            `"replicate"` repeats the edge, and `"valid"` adds nothing.
        axes: The axes to continue.

    Returns:
        Tensor of the type of `x`.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual.ops.borders import pad_axes
    >>> x = np.array([1.0, 2.0, 3.0], "float32")
    >>> keras.ops.convert_to_numpy(pad_axes(x, 2, 0, "reflect", [0])).tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0]
    """
    if padding == "valid":
        return x
    widths = [(0, 0)] * len(x.shape)
    if padding == "reflect":
        for axis in axes:
            widths[axis] = (before, after)
        return ops.pad(x, widths, mode="reflect")
    # By one row, "symmetric" is the edge repeated; not every backend has a
    # padding that is called so.
    for i in range(max(before, after)):
        for axis in axes:
            widths[axis] = (int(i < before), int(i < after))
        x = ops.pad(x, widths, mode="symmetric")
    return x


def crop(x, axis, before, after):
    """Leaves out rows at the two ends of an axis."""
    return x[along(x, axis, slice(before, -after if after else None))]


def along(x, axis, part):
    """Returns the index that takes a part of one axis and all of the rest."""
    return tuple(
        part if i == axis else slice(None) for i in range(len(x.shape))
    )
