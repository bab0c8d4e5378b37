"""How much an image varies from each pixel to the next."""

from keras import ops

from keras_perceptual.ops.distances import absolute, mean_per_image
from keras_perceptual.ops.image_gradients import image_gradients
from keras_perceptual.typing import ArrayLike, DataFormat, Tensor, VariationNorm
from keras_perceptual.validation import Checker

VARIATIONS = ("l1", "l2", "isotropic")


def total_variation(
    images: ArrayLike,
    norm: VariationNorm = "l1",
    *,
    epsilon: float = 1e-3,
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
    if norm == "l1":
        return mean_per_image(absolute(dy) + absolute(dx))
    squared = ops.square(dy) + ops.square(dx)
    if norm == "isotropic":
        # Written so that nothing cancels where an image is flat.
        squared = squared / (ops.sqrt(squared + epsilon**2) + epsilon)
    return mean_per_image(squared)
