"""How a layer reads the colors of images from a table."""

import dataclasses
import functools
from collections.abc import Callable

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.color_lookup import look_up_cube, look_up_curves
from keras_perceptual.typing import (
    DataFormat,
    Domain,
    Extrapolation,
    Interpolation,
    Tensor,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What the colors that come out depend on beside images and table.

    It can be hashed, so that what was compiled for one is found again.

    Attributes:
        dimensions: 1 for curves, 3 for a cube.
        interpolation: How the table is read between its entries.
        extrapolate: How it is read beyond them.
        data_format: Where the images have their channels.
        value_range: Pair of floats, the colors that the first and the last
            entry stand for.
        output_range: Pair of floats, the colors that 0 and 1 in the table
            stand for, where these are not `value_range`; or `None`.
        domain: Pair of three floats each, the colors that the first and the
            last entry stand for, where these are not `value_range` for all
            channels; or `None`.
        dtype: The type of the result.
    """

    dimensions: int
    interpolation: Interpolation
    extrapolate: Extrapolation
    data_format: DataFormat
    value_range: tuple[float, float]
    domain: Domain | None
    dtype: str
    output_range: tuple[float, float] | None = None


def read_colors(
    reading: Reading, images: Tensor, table: Tensor, shaper: Tensor | None
) -> Tensor:
    """Returns images in the colors of a table.

    Args:
        reading: `Reading`.
        images: Tensor of images, with transparency or without, or gray.
        table: Tensor, a table or one for each image.
        shaper: Tensor, the curves that come before a cube, or `None`.
    """
    double = reading.dtype == "float64"
    images = ops.cast(images, "float64" if double else "float32")
    if reading.data_format == "channels_first":
        images = ops.moveaxis(images, -3, -1)
    is_cube = reading.dimensions == 3
    own = len(table.shape) > (4 if is_cube else 2)
    tables = (table,) if shaper is None else (table, shaper)
    prepare = functools.partial(_backend.compile_pointwise, own=own)
    if reading.interpolation == "nearest":
        # Colors have no gradient then; from blocks, they would have zeros.
        is_exporting = _backend.is_exporting(images)
        prepare = (
            functools.partial if is_exporting else _backend.compile_in_graph
        )
    colors = prepare(_read, reading)(images, *tables)
    if reading.data_format == "channels_first":
        colors = ops.moveaxis(colors, -1, -3)
    return colors


def _read(
    reading: Reading,
    images: Tensor,
    table: Tensor,
    shaper: Tensor | None = None,
) -> Tensor:
    """Returns pixels, in the last axis, in the colors of a table."""
    extrapolate = reading.extrapolate
    colors, alpha = images[..., :3], images[..., 3:]
    one_curve = reading.dimensions == table.shape[-1] == 1
    if colors.shape[-1] == 1 and not (one_curve and reading.domain is None):
        colors = ops.repeat(colors, 3, axis=-1)
    value_range = reading.value_range
    low, high = reading.output_range or value_range
    # The table is scaled, not the pixels, of which there are more.
    table = ops.cast(table, colors.dtype) * (high - low) + low
    if reading.domain is not None:
        first, last = (
            ops.convert_to_tensor(end, colors.dtype) for end in reading.domain
        )
        colors = (colors - first) / (last - first)
        value_range = 0.0, 1.0
    if shaper is not None:
        colors = look_up_curves(
            colors, shaper, "linear", value_range, extrapolate
        )
        value_range = 0.0, 1.0
    look_up: Callable[..., Tensor] = (
        look_up_curves if reading.dimensions == 1 else look_up_cube
    )
    colors = look_up(
        colors, table, reading.interpolation, value_range, extrapolate
    )
    if alpha.shape[-1]:
        colors = ops.concatenate([colors, alpha], axis=-1)
    return ops.cast(colors, reading.dtype)
