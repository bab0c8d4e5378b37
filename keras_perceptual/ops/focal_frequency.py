"""Distances between the spectra of two images."""

from keras import ops

from keras_perceptual.ops.distances import mean_per_image, normalize_mask
from keras_perceptual.ops.image_gradients import spatial_axes
from keras_perceptual.typing import ArrayLike, DataFormat, Shape, Tensor
from keras_perceptual.validation import Checker


def focal_frequency_distance(
    x: ArrayLike,
    y: ArrayLike,
    *,
    alpha: float = 1.0,
    log_matrix: bool = False,
    patch_factor: int = 1,
    mask: Tensor | None = None,
    data_format: DataFormat | None = None,
) -> Tensor:
    """Returns the mean squared difference of spectra, the worst first.

    Each frequency counts in proportion to how wrong it is, raised to `alpha`,
    relative to the worst of its channel. These weights carry no gradient.

    Args:
        x: Floating-point batch of images with any number of channels.
        y: Tensor shaped as `x`.
        alpha: Float of at least 0, how much more a frequency counts that is
            further off. At 0 all count alike, which is the mean squared error
            of the pixels. Defaults to 1.
        log_matrix: Boolean, whether to take `log(1 + weight)` for the weight
            before it is divided by the largest. Defaults to `False`.
        patch_factor: Integer, into how many parts height and width are cut;
            each patch has a spectrum of its own. Defaults to 1.
        mask: Optional weights of the pixels, `(batch, height, width)`. The
            difference of a pixel counts by its weight, and the mean is over
            those that count.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If height or width is not a multiple of `patch_factor`.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.focal_frequency import (
    ...     focal_frequency_distance,
    ... )
    >>> x = np.zeros((1, 8, 8, 3), "float32")
    >>> round(float(focal_frequency_distance(x, x + 0.5, alpha=0)[0]), 4)
    0.25

    Reference:
        [Jiang et al., 2021](https://arxiv.org/abs/2012.12821).
    """
    owner = "focal_frequency_distance"
    data_format = Checker(owner).data_format(data_format)
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    for images in (x, y):
        check_patches(
            owner,
            tuple(images.shape),
            patch_factor=patch_factor,
            data_format=data_format,
        )
    # The transform is linear: one does for the two images.
    difference = x - y
    if mask is not None:
        height, width = ops.shape(mask)[1:]
        weights = normalize_mask(ops.cast(mask, difference.dtype))
        weights = weights * ops.cast(height * width, difference.dtype)
        # Of the square, each pixel has its weight.
        axis = -1 if data_format == "channels_last" else 1
        difference = difference * ops.expand_dims(ops.sqrt(weights), axis)
    power = power_spectrum(difference, patch_factor, data_format)
    return mean_per_image(focal_weights(power, alpha, log_matrix) * power)


def power_spectrum(
    images: Tensor, patch_factor: int, data_format: DataFormat
) -> Tensor:
    """Returns the squared absolute value of each frequency.

    Args:
        images: Floating-point batch of images.
        patch_factor: Integer, into how many parts height and width are cut.
        data_format: Where the channels are.

    Returns:
        Tensor shaped `(batch, channels, patch_factor, patch_factor, rows,
        columns)`. The transform is orthonormal: its mean is that of the
        squared pixels.
    """
    if data_format == "channels_last":
        images = ops.transpose(images, (0, 3, 1, 2))
    _, channels, height, width = ops.shape(images)
    rows, columns = height // patch_factor, width // patch_factor
    patches = ops.transpose(
        ops.reshape(
            images, (-1, channels, patch_factor, rows, patch_factor, columns)
        ),
        (0, 1, 2, 4, 3, 5),
    )
    real, imaginary = ops.fft2((patches, ops.zeros_like(patches)))
    size = ops.cast(rows * columns, images.dtype)
    return (ops.square(real) + ops.square(imaginary)) / size


def focal_weights(power: Tensor, alpha: float, log_matrix: bool) -> Tensor:
    """Returns what each frequency counts, from 0 to 1 and without gradient.

    Args:
        power: Tensor, the squared absolute values of the frequencies, along
            the last two axes.
        alpha: Float, the power of the absolute value.
        log_matrix: Boolean, whether to take `log(1 + weight)`.

    Returns:
        Tensor shaped as `power`. Where all of `power` is zero, the weights are
        finite.
    """
    power = ops.stop_gradient(power)
    if log_matrix:
        return _relative(ops.log1p(ops.power(power, alpha / 2)))
    return ops.power(_relative(power), alpha / 2)


def check_patches(
    owner: str, shape: Shape, *, patch_factor: int, data_format: DataFormat
) -> None:
    """Refuses images that cannot be cut into patches of equal size.

    Args:
        owner: Name of the object that asks, for the message.
        shape: Static shape of the images; `None` is an unknown size.
        patch_factor: Into how many parts height and width are cut.
        data_format: Where the channels are.
    """
    sizes = [shape[axis] for axis in spatial_axes(data_format)]
    if any(size is not None and size % patch_factor for size in sizes):
        raise ValueError(
            f"{owner} cuts height and width into {patch_factor} equal parts. "
            "Crop or pad the images to a multiple of `patch_factor`, or choose "
            "one that divides their size. Received: "
            f"patch_factor={patch_factor}, images of shape {shape} in "
            f"{data_format!r}"
        )


def _relative(x: Tensor) -> Tensor:
    """Divides by the largest value along the last two axes, if not zero."""
    peak = ops.max(x, axis=(-2, -1), keepdims=True)
    return x / ops.where(peak > 0, peak, ops.ones_like(peak))
