"""Slopes of an image along its height and its width."""

from typing import NamedTuple

import keras
from keras import ops

from keras_perceptual import _backend, validation

apply_linear = _backend.load("linear_maps").apply_linear


class Operator(NamedTuple):
    """A difference along one axis, smoothed along the other.

    Args:
        smoothing: The three weights along the other axis, or `None` for no
            smoothing.
        weight: What the operator makes of a ramp of slope one.
        reach: How many pixels it looks back, and how many ahead.
    """

    smoothing: tuple | None
    weight: int
    reach: tuple


OPERATORS = {
    "sobel": Operator((1, 2, 1), 8, (1, 1)),
    "scharr": Operator((3, 10, 3), 32, (1, 1)),
    "prewitt": Operator((1, 1, 1), 6, (1, 1)),
    "central": Operator(None, 2, (1, 1)),
    "forward": Operator(None, 1, (0, 1)),
}

# The smallest height and width that each padding can continue.
PADDINGS = {"reflect": 2, "edge": 1, "valid": 0}


def spatial_gradients(
    images,
    operator="sobel",
    *,
    normalize=False,
    padding="reflect",
    data_format=None,
):
    """Returns how steeply images rise along their height and their width.

    With the defaults this is `tf.image.sobel_edges`, border included, on every
    backend.

    Args:
        images: Batch of images with any number of channels; integers are cast
            to `keras.config.floatx()`.
        operator: `"sobel"`, `"scharr"`, `"prewitt"` (smoothed central
            differences), `"central"` (`x[i + 1] - x[i - 1]`) or `"forward"`
            (`x[i + 1] - x[i]`). Defaults to `"sobel"`.
        normalize: Boolean, whether a ramp that rises by `s` a pixel gives `s`
            and not `s` times the weight of the operator (8 for Sobel, 32 for
            Scharr, 6 for Prewitt, 2 for central differences). Defaults to
            `False`.
        padding: How an image goes on beyond its border: `"reflect"` mirrors it
            without repeating the edge, `"edge"` repeats the edge, and with
            `"valid"` it does not: only pixels for which neither component
            needs one from beyond are returned. Defaults to `"reflect"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        Pair of tensors `(dy, dx)`, shaped as the images but for the rows and
        columns that `padding="valid"` drops.

    Raises:
        ValueError: If an argument is unknown, or if the images are smaller
            than the operator needs.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual import ops
    >>> ramp = np.arange(5.0, dtype="float32").reshape(1, 1, 5, 1)
    >>> ramp = np.repeat(ramp, 4, axis=1)
    >>> dy, dx = ops.spatial_gradients(ramp)
    >>> keras.ops.convert_to_numpy(dx)[0, 0, :, 0].tolist()
    [0.0, 8.0, 8.0, 8.0, 0.0]
    """
    owner = "spatial_gradients"
    validation.check_choice(owner, "operator", operator, OPERATORS)
    validation.check_choice(owner, "padding", padding, PADDINGS)
    data_format = validation.standardize_data_format(owner, data_format)
    check_image_size(
        owner,
        tuple(images.shape),
        operator=operator,
        padding=padding,
        data_format=data_format,
    )
    images = ops.convert_to_tensor(images)
    if not keras.backend.is_float_dtype(images.dtype):
        images = ops.cast(images, keras.config.floatx())
    operator = OPERATORS[operator]
    images = _pad(images, operator.reach, padding, data_format)
    shape = ops.shape(images)
    height_axis, width_axis = spatial_axes(data_format)
    height, width = shape[height_axis], shape[width_axis]
    # Three axes are enough: in memory a pixel's right neighbour is `step`
    # numbers further on.
    step = shape[-1] if data_format == "channels_last" else 1
    flat = ops.reshape(images, (-1, height, width * step))
    components = apply_linear(
        lambda x: _correlate(x, operator, step),
        lambda dy, dx: _transpose(dy, dx, operator, step),
        flat,
    )
    shape = list(shape)
    shape[height_axis] = height - sum(operator.reach)
    shape[width_axis] = width - sum(operator.reach)
    components = (ops.reshape(x, shape) for x in components)
    if normalize:
        components = (x / operator.weight for x in components)
    return tuple(components)


def gradient_magnitude(dy, dx, epsilon=0.0):
    """Returns the steepness, `sqrt(dy**2 + dx**2 + epsilon**2)`.

    Args:
        dy: Tensor, the slopes along the height.
        dx: Tensor of the same shape, the slopes along the width.
        epsilon: Float. What is added under the square root; above zero it
            keeps the derivative finite where an image is flat. Defaults to 0.

    Returns:
        A tensor shaped as `dy`.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual import ops
    >>> float(ops.gradient_magnitude(np.float32([3]), np.float32([4]))[0])
    5.0
    """
    return ops.sqrt(ops.square(dy) + ops.square(dx) + epsilon * epsilon)


def halve_images(images, data_format=None):
    """Returns images of half the size, each pixel the mean of two by two.

    The last row or column of an odd number of them is left out.

    Args:
        images: Floating-point batch of images.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        A batch of images of half the height and width, rounded down.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual import ops
    >>> tuple(ops.halve_images(np.ones((1, 5, 8, 3), "float32")).shape)
    (1, 2, 4, 3)
    """
    images = ops.convert_to_tensor(images)
    data_format = validation.standardize_data_format(
        "halve_images", data_format
    )
    for axis in spatial_axes(data_format):
        odd = images[_along(images, axis, slice(1, None, 2))]
        even = images[_along(images, axis, slice(0, None, 2))]
        even = even[_along(even, axis, slice(0, ops.shape(odd)[axis]))]
        images = (even + odd) * 0.5
    return images


def spatial_axes(data_format):
    """Returns the axis of the height and that of the width."""
    return (1, 2) if data_format == "channels_last" else (2, 3)


def check_image_size(owner, shape, *, operator, padding, data_format, scales=1):
    """Refuses images too small to have a slope.

    Args:
        owner: Name of the object that asks, for the message.
        shape: Static shape of the images; `None` is an unknown size.
        operator: Name of the operator.
        padding: Name of the padding.
        data_format: Where the channels are.
        scales: How many times the operator is applied, to images of half the
            size each time.
    """
    if len(shape) != 4:
        raise ValueError(
            f"{owner} takes the slopes of a batch of images, of four axes. "
            "Add the missing axis, for example with "
            f"`keras.ops.expand_dims`. Received: images of shape {shape}"
        )
    needed = max(PADDINGS[padding], 1)
    if padding == "valid":
        needed = sum(OPERATORS[operator].reach) + 1
    needed *= 2 ** (scales - 1)
    sizes = [shape[axis] for axis in spatial_axes(data_format)]
    if any(size is not None and size < needed for size in sizes):
        at_scales = f" at {scales} scales" if scales > 1 else ""
        raise ValueError(
            f"{owner} needs images at least {needed} pixels high and wide for "
            f"operator={operator!r} with padding={padding!r}{at_scales}. Pass "
            "larger images"
            + (", or take fewer scales. " if scales > 1 else ". ")
            + f"Received: images of shape {shape} in {data_format!r}"
        )


def _pad(images, reach, padding, data_format):
    """Continues images as far as an operator reaches, one pixel at most."""
    if padding == "valid":
        return images
    widths = [(0, 0)] * 4
    for axis in spatial_axes(data_format):
        widths[axis] = reach
    # By one pixel, "symmetric" is the edge repeated; not every backend has
    # a padding that is called so.
    mode = {"reflect": "reflect", "edge": "symmetric"}[padding]
    return ops.pad(images, widths, mode=mode)


def _correlate(x, operator, step):
    """Returns `(dy, dx)` of rows of pixels that are `step` numbers apart."""
    return (
        _component(x, operator, axis=1, steps=(1, step)),
        _component(x, operator, axis=2, steps=(1, step)),
    )


def _transpose(dy, dx, operator, step):
    """Returns the transpose of `_correlate`, a tuple of one tensor.

    The transpose of a correlation is the correlation with the kernel turned
    by half a turn, over zeros. Smoothing is the same either way round, and
    a difference changes its sign.
    """
    turned = operator._replace(reach=operator.reach[::-1])
    far = sum(operator.reach)
    widths = ((0, 0), (far, far), (far * step, far * step))
    dy = _component(ops.pad(dy, widths), turned, axis=1, steps=(1, step))
    dx = _component(ops.pad(dx, widths), turned, axis=2, steps=(1, step))
    return (-(dy + dx),)


def _component(x, operator, axis, steps):
    """Returns the difference along one axis, smoothed along the other."""
    far = sum(operator.reach) * steps[axis - 1]
    x = _crop(x, axis, far, 0) - _crop(x, axis, 0, far)
    other, step = 3 - axis, steps[2 - axis]
    if operator.smoothing is None:
        before, after = operator.reach
        return _crop(x, other, before * step, after * step)
    side, middle, _ = operator.smoothing
    sides = _crop(x, other, 0, 2 * step) + _crop(x, other, 2 * step, 0)
    centre = _crop(x, other, step, step)
    sides = sides if side == 1 else sides * side
    centre = centre if middle == 1 else centre * middle
    return sides + centre


def _crop(x, axis, before, after):
    """Leaves out numbers at the two ends of an axis."""
    return x[_along(x, axis, slice(before, -after if after else None))]


def _along(x, axis, part):
    """Returns the index that takes a part of one axis and all of the rest."""
    return tuple(
        part if i == axis else slice(None) for i in range(len(x.shape))
    )
