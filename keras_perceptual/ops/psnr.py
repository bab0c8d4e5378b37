"""The peak signal-to-noise ratio, as papers on restoration report it."""

import math

from keras import ops

from keras_perceptual.ops.distances import mean_per_image
from keras_perceptual.typing import Tensor

# What red, green and blue count in the luma of BT.601 for video, in which black
# is 16 and white 235 of 255.
LUMA = tuple(weight / 255 for weight in (65.481, 128.553, 24.966))
# The decibels of equal images, whose ratio is infinite.
MOST = 100.0


def squared_error(
    y_true: Tensor,
    y_pred: Tensor,
    mask: Tensor | None = None,
    *,
    width: float = 1.0,
    border: int = 0,
    luma: bool = False,
) -> Tensor:
    """Returns the mean squared error of each pair of images.

    Args:
        y_true: Floating-point tensor shaped `(batch, height, width,
            channels)`.
        y_pred: Tensor shaped as `y_true`.
        mask: Optional weights of the pixels, `(batch, height, width)`.
        width: Float, the width of the range of the pixels.
        border: Integer, how many pixels at each side are left out.
        luma: Boolean, whether RGB images are compared by their luma.

    Returns:
        A tensor shaped `(batch,)`.
    """
    if border:
        inside = slice(border, -border)
        y_true, y_pred = (x[:, inside, inside] for x in (y_true, y_pred))
        mask = None if mask is None else mask[:, inside, inside]
    difference = (y_pred - y_true) / width
    if luma and difference.shape[-1] == 3:
        weights = ops.cast(LUMA, difference.dtype)
        difference = ops.sum(difference * weights, axis=-1, keepdims=True)
    return mean_per_image(ops.square(difference), mask)


def decibels(error: Tensor) -> Tensor:
    """Returns the peak signal-to-noise ratio of mean squared errors.

    `-10 * log10(error)`, and 100 at most: of an infinite ratio no mean would
    say anything.

    Args:
        error: Floating-point tensor, for a peak of 1.

    Returns:
        A tensor shaped as `error`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.psnr import decibels
    >>> errors = keras.ops.convert_to_tensor([0.01, 0.0])
    >>> [round(float(x), 3) for x in decibels(errors)]
    [20.0, 100.0]
    """
    error = ops.maximum(error, 10 ** (-MOST / 10))
    return ops.log(error) * (-10 / math.log(10))
