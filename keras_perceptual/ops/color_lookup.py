"""Colors read from tables, between the entries by interpolation.

The lowest color stands for the first entry of a table, the highest for the
last.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.table_places import (
    CubePlaces,
    locate,
    nearest,
    strides,
)
from keras_perceptual.typing import (
    ArrayLike,
    CurveInterpolation,
    Extrapolation,
    Interpolation,
    Shape,
    Tensor,
    ValueRange,
)
from keras_perceptual.validation import Checker

INTERPOLATIONS = ("linear", "tetrahedral", "nearest")


def identity_curves(size: int, channels: int = 3) -> np.ndarray:
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


def identity_cube(size: int | Sequence[int]) -> np.ndarray:
    """Returns a cube of colors that changes nothing.

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
    sizes: Any = (size,) * 3 if np.ndim(size) == 0 else size
    ramps = [_ramp(size) for size in sizes]
    return np.stack(np.meshgrid(*ramps, indexing="ij"), axis=-1)


def look_up_curves(
    colors: ArrayLike,
    curves: ArrayLike,
    interpolation: CurveInterpolation = "linear",
    value_range: ValueRange = (0.0, 1.0),
    extrapolate: Extrapolation = "linear",
) -> Tensor:
    """Reads each channel of colors from a curve.

    Args:
        colors: Floating-point tensor of shape `(..., channels)`.
        curves: Tensor of shape `(size, channels)`, or `(size, 1)` for one
            curve for all channels; or one such table for each of the colors'
            first axis, `(batch, size, channels)`.
        interpolation: `"linear"` blends the two entries around a value,
            `"nearest"` takes the nearer one, and lets no gradient through to
            the colors. Defaults to `"linear"`.
        value_range: Pair of floats, the colors that the first and the last
            entry stand for. Defaults to `(0, 1)`.
        extrapolate: `"linear"` goes on beyond the ends with the slope there;
            `"clamp"` moves colors to the ends first, where their gradient
            is zero outside, and that of the inside at the ends. Defaults to
            `"linear"`.

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
    Checker(owner).choice("interpolation", interpolation, ("linear", "nearest"))
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
            f"{channels} curves. Pass colors with the channels last, or one "
            "curve for all of them, of shape (size, 1). "
            f"Received: colors.shape={tuple(colors.shape)}"
        )
    if len(shape) == 3 and shape[0] == colors.shape[0] == 0:
        return _of_no_image(colors, curves, colors.shape[-1])
    # A gather from the flat table: its gradient comes back through the
    # reshape as a dense tensor, which optimizers treat as they should.
    flat = ops.reshape(curves, (-1,))
    start = _start_of_tables(owner, colors, shape, 2)
    own = ops.arange(0, channels, dtype="int32") + start
    take = _backend.take
    if interpolation == "nearest":
        cell = nearest(colors, size, value_range)
        found = take(flat, cell * channels + own)
        return ops.where(ops.isnan(colors), float("nan"), found)
    cell, fraction = locate(colors, size, value_range, extrapolate)
    index = cell * channels + own
    below = take(flat, index)
    above = take(flat, index + channels)
    return below + fraction * (above - below)


def look_up_cube(
    colors: ArrayLike,
    cube: ArrayLike,
    interpolation: Interpolation = "linear",
    value_range: ValueRange = (0.0, 1.0),
    extrapolate: Extrapolation = "linear",
) -> Tensor:
    """Reads colors from a cube of colors.

    Args:
        colors: Floating-point tensor of shape `(..., 3)`, red, green and
            blue.
        cube: Tensor of shape `(reds, greens, blues, channels)`, indexed
            `[r, g, b]`; or one such cube for each of the colors' first axis,
            `(batch, reds, greens, blues, channels)`.
        interpolation: `"linear"` blends the eight entries around a color;
            `"tetrahedral"` four of them, which keeps grays gray where the
            diagonal of the cube is; `"nearest"` takes the nearest one, and
            lets no gradient through to the colors. Defaults to `"linear"`.
        value_range: Pair of floats, the colors that the first and the last
            entry stand for. Defaults to `(0, 1)`.
        extrapolate: `"linear"` goes on beyond the ends with the slope there,
            along each axis, though `"tetrahedral"` jumps from cell to cell;
            `"clamp"` moves colors to the ends first, where their gradient
            is zero outside, and that of the inside at the ends. Defaults to
            `"linear"`.

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
    Checker(owner).choice("interpolation", interpolation, INTERPOLATIONS)
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
            f"{owner} reads colors by their red, green and blue. Pass "
            "colors of three channels, with the channels last. "
            f"Received: colors.shape={tuple(colors.shape)}"
        )
    sizes, channels = shape[-4:-1], shape[-1]
    if len(shape) == 5 and shape[0] == colors.shape[0] == 0:
        return _of_no_image(colors, cube, channels)
    if interpolation == "nearest":
        start = _start_of_tables(owner, colors[..., 0], shape, 4)
        index = start + sum(
            nearest(colors[..., i], sizes[i], value_range) * step
            for i, step in enumerate(strides(sizes))
        )
        lost = ops.any(ops.isnan(colors), axis=-1, keepdims=True)
        found = _backend.take(ops.reshape(cube, (-1, channels)), index)
        return ops.where(lost, float("nan"), found)
    entries = (math.prod(sizes), channels)
    if len(shape) == 5:
        _check_one_for_each(owner, colors[..., 0], shape)
        entries = (ops.shape(colors)[0], *entries)
    low, high = value_range
    return _backend.read_blended(
        CubePlaces(sizes, interpolation, (low, high), extrapolate),
        colors,
        ops.reshape(cube, entries),
    )


def _of_no_image(colors: Tensor, tables: Tensor, channels: int) -> Tensor:
    """Returns no colors, with a gradient for no colors and no tables."""
    shape = (*ops.shape(colors)[:-1], channels)
    return ops.broadcast_to(ops.sum(colors) + ops.sum(tables), shape)


def _ramp(size: int) -> np.ndarray:
    size = Checker("A table").integer("size", size, minimum=2)
    return np.linspace(0, 1, size).astype("float32")


def _start_of_tables(
    owner: str, colors: Tensor, shape: tuple[int, ...], rank: int
) -> int | Tensor:
    """Returns where the table of each color begins among all of them.

    Args:
        owner: Name of the function that asks, for the message.
        colors: Tensor of the rank that the result is to be added to.
        shape: Shape of the tables.
        rank: Rank of a single table.
    """
    if len(shape) == rank:
        return 0
    _check_one_for_each(owner, colors, shape)
    entries = math.prod(shape[1:])
    if rank == 4:
        entries //= shape[-1]
    starts = ops.arange(0, ops.shape(colors)[0], dtype="int32") * entries
    return ops.reshape(starts, (-1, *(1 for _ in colors.shape[1:])))


def _check_one_for_each(owner: str, colors: Tensor, shape: Shape) -> None:
    """Refuses another number of tables than there are images."""
    batch = colors.shape[0] if len(colors.shape) > 1 else 0
    if batch == 0 or (None not in (shape[0], batch) and shape[0] != batch):
        raise ValueError(
            f"{owner} reads each image from a table of its own, and there are "
            "other numbers of the two. Pass one table for each image, or a "
            "single one without a batch axis. Received: colors of shape "
            f"{tuple(colors.shape)}, tables of shape {shape}"
        )
