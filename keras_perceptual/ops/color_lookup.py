"""Colours read from tables, between the entries by interpolation.

Tables and colours are in (0, 1) here: 0 is the first entry of a table and 1
the last. Cells are counted so that both ends belong to a cell, and the slope
there is that of the cell, on every backend.
"""

import math

import numpy as np
from keras import ops

from keras_perceptual import validation

INTERPOLATIONS = ("linear", "tetrahedral", "nearest")


def identity_curves(size, channels=3):
    """Returns curves that change nothing.

    Args:
        size: Integer of at least 2, the number of entries of a curve.
        channels: Integer, the number of curves.

    Returns:
        A NumPy array of shape `(size, channels)` and type float32.

    Example:

    >>> from keras_perceptual import ops
    >>> ops.identity_curves(3).tolist()
    [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0]]
    """
    return np.repeat(_ramp(size)[:, None], channels, axis=1)


def identity_cube(size):
    """Returns a cube of colours that changes nothing.

    Args:
        size: Integer of at least 2, the number of entries along an edge, or
            three of them, for red, green and blue.

    Returns:
        A NumPy array of shape `(size, size, size, 3)` and type float32,
        indexed `[r, g, b]`.

    Example:

    >>> from keras_perceptual import ops
    >>> ops.identity_cube(3)[2, 0, 1].tolist()
    [1.0, 0.0, 0.5]
    """
    sizes = (size,) * 3 if np.ndim(size) == 0 else size
    ramps = [_ramp(size) for size in sizes]
    return np.stack(np.meshgrid(*ramps, indexing="ij"), axis=-1)


def look_up_curves(colors, curves, interpolation="linear"):
    """Reads each channel of colours from a curve.

    Args:
        colors: Floating-point tensor of shape `(..., channels)`, 0 being the
            first entry of a curve and 1 the last. Beyond them the first and
            the last piece of a curve go on straight.
        curves: Tensor of shape `(size, channels)`, or `(size, 1)` for one
            curve for all channels; or one such table for each of the colours'
            first axis, `(batch, size, channels)`.
        interpolation: `"linear"` blends the two entries around a value,
            `"nearest"` takes the nearer one, and lets no gradient through to
            the colours. Defaults to `"linear"`.

    Returns:
        A tensor shaped as `colors`.

    Raises:
        ValueError: If the interpolation is unknown, or if the shapes do not
            fit together.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual import ops
    >>> curve = np.array([[0.0], [0.25], [1.0]], "float32")
    >>> y = ops.look_up_curves(np.array([[0.25], [0.75]], "float32"), curve)
    >>> keras.ops.convert_to_numpy(y).tolist()
    [[0.125], [0.625]]
    """
    owner = "look_up_curves"
    validation.check_choice(
        owner, "interpolation", interpolation, ("linear", "nearest")
    )
    colors = ops.convert_to_tensor(colors)
    curves = ops.cast(curves, colors.dtype)
    shape = tuple(curves.shape)
    if len(shape) not in (2, 3) or shape[-2] < 2:
        raise ValueError(
            f"{owner} needs curves of at least two entries, shaped (size, "
            "channels), or (batch, size, channels) for curves of each image. "
            f"Received: curves.shape={shape}"
        )
    size, channels = shape[-2:]
    if channels != 1 and colors.shape[-1] != channels:
        raise ValueError(
            f"{owner} reads each channel from a curve of its own and has "
            f"{channels} curves. Pass colours with the channels last, or one "
            "curve for all of them, of shape (size, 1). "
            f"Received: colors.shape={tuple(colors.shape)}"
        )
    # A gather from the flat table: its gradient comes back through the
    # reshape as a dense tensor, which optimizers treat as they should.
    flat = ops.reshape(curves, (-1,))
    start = _start_of_tables(owner, colors, shape, 2)
    own = ops.arange(0, channels, dtype="int32") + start
    if interpolation == "nearest":
        cell = _nearest(colors, size)
        found = ops.take(flat, cell * channels + own, axis=0)
        return ops.where(ops.isnan(colors), float("nan"), found)
    cell, fraction = _locate(colors, size)
    index = cell * channels + own
    below = ops.take(flat, index, axis=0)
    above = ops.take(flat, index + channels, axis=0)
    return below + fraction * (above - below)


def look_up_cube(colors, cube, interpolation="linear"):
    """Reads colours from a cube of colours.

    Args:
        colors: Floating-point tensor of shape `(..., 3)`, red, green and
            blue, 0 being the first entry along an edge and 1 the last. Beyond
            them `"linear"` interpolation goes on straight along each axis;
            `"tetrahedral"` jumps from cell to cell there, so `clamp` first.
        cube: Tensor of shape `(reds, greens, blues, channels)`, indexed
            `[r, g, b]`; or one such cube for each of the colours' first axis,
            `(batch, reds, greens, blues, channels)`.
        interpolation: `"linear"` blends the eight entries around a colour;
            `"tetrahedral"` four of them, which keeps greys grey where the
            diagonal of the cube is; `"nearest"` takes the nearest one, and
            lets no gradient through to the colours. Defaults to `"linear"`.

    Returns:
        A tensor of shape `(..., channels)`.

    Raises:
        ValueError: If the interpolation is unknown, or if the shapes do not
            fit together.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual import ops
    >>> negative = 1 - ops.identity_cube(5)
    >>> y = ops.look_up_cube(np.array([0.5, 0.25, 0.0], "float32"), negative)
    >>> keras.ops.convert_to_numpy(y).tolist()
    [0.5, 0.75, 1.0]
    """
    owner = "look_up_cube"
    validation.check_choice(
        owner, "interpolation", interpolation, INTERPOLATIONS
    )
    colors = ops.convert_to_tensor(colors)
    cube = ops.cast(cube, colors.dtype)
    shape = tuple(cube.shape)
    if len(shape) not in (4, 5) or min(shape[-4:-1]) < 2:
        raise ValueError(
            f"{owner} needs a cube of at least two entries along each edge, "
            "shaped (reds, greens, blues, channels), or (batch, reds, greens, "
            "blues, channels) for cubes of each image. "
            f"Received: cube.shape={shape}"
        )
    if colors.shape[-1] != 3:
        raise ValueError(
            f"{owner} reads colours by their red, green and blue. Pass "
            "colours of three channels, with the channels last. "
            f"Received: colors.shape={tuple(colors.shape)}"
        )
    sizes, channels = shape[-4:-1], shape[-1]
    strides = (sizes[1] * sizes[2], sizes[2], 1)
    # A gather from the flat table: its gradient comes back through the
    # reshape as a dense tensor, which optimizers treat as they should.
    flat = ops.reshape(cube, (-1, channels))
    start = _start_of_tables(owner, colors[..., 0], shape, 4)
    if interpolation == "nearest":
        places = [_nearest(colors[..., i], sizes[i]) for i in range(3)]
        index = start + sum(
            place * stride
            for place, stride in zip(places, strides, strict=True)
        )
        lost = ops.any(ops.isnan(colors), axis=-1, keepdims=True)
        return ops.where(lost, float("nan"), ops.take(flat, index, axis=0))
    places = [_locate(colors[..., i], sizes[i]) for i in range(3)]
    corner = start + sum(
        cell * stride for (cell, _), stride in zip(places, strides, strict=True)
    )
    fractions = [fraction for _, fraction in places]
    blend = {"linear": _trilinear, "tetrahedral": _tetrahedral}[interpolation]
    return blend(flat, corner, fractions, strides)


def _ramp(size):
    size = validation.check_integer("A table", "size", size, minimum=2)
    return np.linspace(0, 1, size).astype("float32")


def _locate(x, size):
    """Returns the cell that each value lies in, and how far into it.

    The cells are 0 to `size - 2`, whatever the value, so that an index never
    points outside the table. NaN counts as in the first cell, and its place
    there is NaN; an infinite place is infinite.
    """
    position = x * (size - 1)
    fixed = ops.stop_gradient(position)
    cell = ops.floor(_between(fixed, size - 2))
    return _as_index(cell, size - 2), position - cell


def _nearest(x, size):
    """Returns the entry nearest to each value, of two the upper one."""
    position = x * (size - 1) + 0.5
    return _as_index(ops.floor(_between(position, size - 1)), size - 1)


def _as_index(x, last):
    """Returns whole numbers from 0 to `last` as indices, and one for NaN.

    Which one is up to the processor: NaN is zero to some, and the least or the
    largest integer to others. Taking NaN out with `where` beforehand would not
    do for a model in ONNX: there tf2onnx selects by multiplication.
    """
    return _between(ops.cast(x, "int32"), last)


def _between(x, last):
    """Returns values moved into 0 to `last`, but for NaN."""
    zero, last = (ops.cast(end, x.dtype) for end in (0, last))
    return ops.minimum(ops.maximum(x, zero), last)


def _start_of_tables(owner, colors, shape, rank):
    """Returns where the table of each colour begins among all of them.

    Args:
        owner: Name of the function that asks, for the message.
        colors: Tensor of the rank that the result is to be added to.
        shape: Shape of the tables.
        rank: Rank of a single table.
    """
    if len(shape) == rank:
        return 0
    batch = colors.shape[0] if len(colors.shape) > 1 else 0
    if batch == 0 or (None not in (shape[0], batch) and shape[0] != batch):
        raise ValueError(
            f"{owner} reads each image from a table of its own, and there are "
            "other numbers of the two. Pass one table for each image, or a "
            "single one without a batch axis. Received: colours of shape "
            f"{tuple(colors.shape)}, tables of shape {shape}"
        )
    entries = math.prod(shape[1:])
    if rank == 4:
        entries //= shape[-1]
    starts = ops.arange(0, ops.shape(colors)[0], dtype="int32") * entries
    return ops.reshape(starts, (-1, *(1 for _ in colors.shape[1:])))


def _trilinear(flat, corner, fractions, strides):
    """Blends the eight corners of a cell, one axis after the other."""
    values = [
        ops.take(flat, corner + (r + g + b), axis=0)
        for r in (0, strides[0])
        for g in (0, strides[1])
        for b in (0, strides[2])
    ]
    for fraction in fractions:
        half = len(values) // 2
        fraction = ops.expand_dims(fraction, -1)
        values = [
            low + fraction * (high - low)
            for low, high in zip(values[:half], values[half:], strict=True)
        ]
    return values[0]


def _tetrahedral(flat, corner, fractions, strides):
    """Blends four corners: the cell is cut along its grey diagonal.

    The way from the darkest corner to the brightest goes along the axis with
    the largest fraction first. Of equal fractions red goes before green, and
    green before blue: values agree, and slopes are those of that side.
    """
    r, g, b = fractions
    red, green, blue = (ops.full_like(corner, stride) for stride in strides)
    # Sort the three, along with the steps that they stand for.
    swap = r < g
    high, high_step = ops.where(swap, g, r), ops.where(swap, green, red)
    low, low_step = ops.where(swap, r, g), ops.where(swap, red, green)
    first_is_blue, last_is_blue = high < b, low >= b
    first = ops.where(first_is_blue, b, high)
    first_step = ops.where(first_is_blue, blue, high_step)
    last = ops.where(last_is_blue, b, low)
    last_step = ops.where(last_is_blue, blue, low_step)
    second = ops.where(first_is_blue, high, ops.where(last_is_blue, low, b))
    across = sum(strides)
    values = [
        ops.take(flat, corner + step, axis=0)
        for step in (0, first_step, across - last_step, across)
    ]
    result = values[0]
    for fraction, before, after in zip(
        (first, second, last), values[:-1], values[1:], strict=True
    ):
        result = result + ops.expand_dims(fraction, -1) * (after - before)
    return result
