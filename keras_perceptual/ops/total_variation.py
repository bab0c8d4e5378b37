"""How much an image varies from each pixel to the next."""

from keras import ops

from keras_perceptual.ops.distances import (
    absolute,
    mean_over_positions,
    mean_per_image,
)
from keras_perceptual.ops.image_gradients import image_gradients
from keras_perceptual.ops.slope_masks import mask_slopes
from keras_perceptual.typing import ArrayLike, DataFormat, Tensor, VariationNorm
from keras_perceptual.validation import Checker

VARIATIONS = ("l1", "l2", "isotropic")


def total_variation(
    images: ArrayLike,
    norm: VariationNorm = "l1",
    *,
    epsilon: float = 1e-3,
    mask: Tensor | None = None,
    data_format: DataFormat | None = None,
) -> Tensor:
    """Returns the variation of each image, as a mean over its values.

    It is made of the differences `dy` to the pixel below and `dx` to the
    pixel on the right, which are zero at the last row and the last column.

    Args:
        images: Floating-point batch of images with any number of channels.
        norm: What is averaged: `"l1"` takes `abs(dy) + abs(dx)`, `"l2"` takes
            `dy**2 + dx**2`, and `"isotropic"` takes
            `sqrt(dy**2 + dx**2 + epsilon**2) - epsilon`, in which an edge
            counts about alike in all directions. Defaults to `"l1"`.
        epsilon: Float above zero, the slope below which `"isotropic"` is
            quadratic. Defaults to 1e-3.
        mask: Optional weights of the pixels, `(batch, height, width)`. A
            difference counts as the least of its two pixels, and not where
            one of them does not; the sum is divided by that of the mask.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If `norm` or `data_format` is unknown, or if `images` does
            not have four axes.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.total_variation import total_variation
    >>> edge = np.zeros((1, 4, 4, 1), "float32")
    >>> edge[:, :, 2:] = 1.0
    >>> float(total_variation(edge)[0])  # Four of sixteen pixels.
    0.25
    """
    Checker("total_variation").choice("norm", norm, VARIATIONS)
    dy, dx = image_gradients(
        images, "forward", padding="replicate", data_format=data_format
    )
    if mask is not None:
        dy, dx, mask = _weigh(dy, dx, mask, norm, data_format)
    varied = _vary(dy, dx, norm, epsilon)
    if mask is None:
        return mean_per_image(varied)
    return mean_per_image(varied * mask)


def _weigh(
    dy: Tensor,
    dx: Tensor,
    mask: Tensor,
    norm: VariationNorm,
    data_format: DataFormat | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns differences and what their mean is multiplied by.

    It is zero where nothing counts.
    """
    axis = 1 if Checker("").data_format(data_format) == "channels_first" else -1
    mask = ops.cast(mask, dy.dtype)
    rows, columns = mask_slopes(mask, "forward", "replicate")
    share = mean_over_positions(ops.expand_dims(mask, -1))[..., None]
    total = ops.where(share > 0, share, ops.ones_like(share))
    if norm == "isotropic":
        # Both directions are under one root, which the pixel weighs.
        dy = ops.where(ops.expand_dims(rows, axis) > 0, dy, 0.0)
        dx = ops.where(ops.expand_dims(columns, axis) > 0, dx, 0.0)
        return dy, dx, ops.expand_dims(mask / total, axis)
    if norm == "l2":
        rows, columns = ops.sqrt(rows), ops.sqrt(columns)
    dy = dy * ops.expand_dims(rows, axis)
    dx = dx * ops.expand_dims(columns, axis)
    return dy, dx, ops.expand_dims(1 / total, axis)


def variation_map(
    images: ArrayLike,
    norm: VariationNorm = "l1",
    *,
    epsilon: float = 1e-3,
    data_format: DataFormat | None = None,
) -> Tensor:
    """Returns how much each image varies at each pixel.

    Args:
        images: As for `total_variation`.
        norm: As for `total_variation`.
        epsilon: As for `total_variation`.
        data_format: As for `total_variation`.

    Returns:
        A tensor shaped `(batch, height, width)`, of which `total_variation` is
        the mean.
    """
    dy, dx = image_gradients(
        images, "forward", padding="replicate", data_format=data_format
    )
    data_format = Checker("variation_map").data_format(data_format)
    axis = -1 if data_format == "channels_last" else 1
    return ops.mean(_vary(dy, dx, norm, epsilon), axis=axis)


def _vary(
    dy: Tensor, dx: Tensor, norm: VariationNorm, epsilon: float
) -> Tensor:
    """Returns what each pair of differences counts."""
    if norm == "l1":
        return absolute(dy) + absolute(dx)
    squared = ops.square(dy) + ops.square(dx)
    if norm == "l2":
        return squared
    # Written so that nothing cancels where an image is flat.
    return squared / (ops.sqrt(squared + epsilon**2) + epsilon)
