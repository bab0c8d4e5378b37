"""Which slopes depend on visible pixels alone."""

import functools
from collections.abc import Sequence

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.image_gradients import (
    OPERATORS,
    along,
    pad_axes,
    reach_of,
)
from keras_perceptual.typing import Downsampling, EdgeOperator, Padding, Tensor

# How far what a Laplacian pyramid keeps of a pixel depends on its neighbors.
PYRAMID_REACH = 4


def mask_slopes(
    mask: Tensor, operator: EdgeOperator, padding: Padding
) -> list[Tensor]:
    """Returns the weights of the slopes that an operator finds.

    A slope has the least weight of the pixels that it depends on.

    Args:
        mask: Weights of pixels, shaped `(batch, height, width)`.
        operator: Name of the operator: those of `image_gradients`,
            `"laplacian"` or `"laplacian_pyramid"`.
        padding: Name of the padding.

    Returns:
        List of tensors shaped as the slopes, without channels: one for `dy`
        and one for `dx`, or a single one where slopes have no direction.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.slope_masks import mask_slopes
    >>> mask = keras.ops.convert_to_tensor([[[1.0, 1.0, 0.0]]])
    >>> dy, dx = mask_slopes(mask, "forward", "replicate")
    >>> keras.ops.convert_to_numpy(dx).tolist()
    [[[1.0, 0.0, 0.0]]]
    """
    if operator == "laplacian_pyramid":
        return [_least_around(mask, PYRAMID_REACH)]
    reach = reach_of(operator)
    if operator == "laplacian":
        supports = [((0, 1, 2), (1,)), ((1,), (0, 1, 2))]
    else:
        ends = (0, sum(reach))
        smooths = OPERATORS[operator].smoothing is not None
        across = (0, 1, 2) if smooths else (reach[0],)
        supports = [(ends, across), (across, ends)]
    mask = pad_axes(mask, *reach, padding, (1, 2))
    found = [
        _least(_least(mask, rows, 1, sum(reach)), columns, 2, sum(reach))
        for rows, columns in supports
    ]
    return [ops.minimum(*found)] if operator == "laplacian" else found


def center_mask(
    mask: Tensor, operator: EdgeOperator, padding: Padding
) -> Tensor:
    """Returns the weights of the pixels that slopes are found for.

    Args:
        mask: Weights of pixels, shaped `(batch, height, width)`.
        operator: Name of the operator.
        padding: Name of the padding.

    Returns:
        The mask; with `padding="valid"`, without the rows and columns that
        the slopes lack.
    """
    if padding != "valid":
        return mask
    reach = reach_of(operator)
    for axis in (1, 2):
        mask = _least(mask, (reach[0],), axis, sum(reach))
    return mask


def downsample_mask(mask: Tensor, downsampling: Downsampling) -> Tensor:
    """Returns the mask of images of half the size.

    Args:
        mask: Weights of pixels, shaped `(batch, height, width)`.
        downsampling: How the images were made smaller: `"average"`,
            `"stride"` or `"gaussian"`.

    Returns:
        Tensor in which each weight is the least of those of the pixels that
        were put together.
    """
    if downsampling == "gaussian":
        mask = _least_around(mask, 2)
    elif downsampling == "average":
        for axis in (1, 2):
            mask = _least(mask, (0, 1), axis, 1)
    return _backend.take_every_second(mask, (1, 2))


def _least_around(x: Tensor, reach: int) -> Tensor:
    """Returns the least weight in a square around each pixel.

    What lies beyond the border is in the square already, mirrored or not.
    """
    x = pad_axes(x, reach, reach, "replicate", (1, 2))
    for axis in (1, 2):
        x = _least(x, range(2 * reach + 1), axis, 2 * reach)
    return x


def _least(x: Tensor, offsets: Sequence[int], axis: int, span: int) -> Tensor:
    """Returns the least of what lies at some offsets along an axis."""
    size = ops.shape(x)[axis] - span
    return functools.reduce(
        ops.minimum,
        [x[along(x, axis, slice(o, o + size))] for o in offsets],
    )
