"""Images at several scales."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.image_gradients import (
    along,
    crop,
    floating,
    pad_axes,
    spatial_axes,
)
from keras_perceptual.typing import (
    ArrayLike,
    DataFormat,
    Downsampling,
    Padding,
    Tensor,
)
from keras_perceptual.validation import Checker

# Burt and Adelson's kernel for a = 0.4, in twentieths.
GAUSSIAN = (1, 5, 8)

DOWNSAMPLINGS = ("average", "stride", "gaussian")


def downsample(
    images: Tensor,
    downsampling: Downsampling,
    padding: Padding,
    data_format: DataFormat,
) -> Tensor:
    """Returns images of half the size.

    Args:
        images: Floating-point batch of images.
        downsampling: `"average"` averages two by two pixels, `"stride"` takes
            every second one, `"gaussian"` blurs before it does.
        padding: How an image goes on beyond its border, for the blur; with
            `"valid"` it is mirrored.
        data_format: Where the channels are.

    Returns:
        A batch of images of half the height and width.
    """
    if downsampling == "average":
        return halve_images(images, data_format)
    if downsampling == "stride":
        return _backend.take_every_second(images, spatial_axes(data_format))
    return gaussian_reduce(images, _blur_padding(padding), data_format)


def smallest_side_before(
    needed: int, downsampling: Downsampling, padding: Padding
) -> int:
    """Returns the least side of images that are to be made smaller.

    Args:
        needed: Integer, the least side of the smaller images.
        downsampling: How the images are made smaller.
        padding: How an image goes on beyond its border.
    """
    if downsampling == "average":
        return 2 * needed
    blurs = downsampling == "gaussian" and _blur_padding(padding) == "reflect"
    return max(2 * needed - 1, 3 if blurs else 1)


def halve_images(
    images: ArrayLike, data_format: DataFormat | None = None
) -> Tensor:
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
    data_format = Checker("halve_images").data_format(data_format)
    return _backend.halve(images, spatial_axes(data_format))


def gaussian_reduce(
    images: ArrayLike,
    padding: Padding = "reflect",
    data_format: DataFormat | None = None,
) -> Tensor:
    """Returns images of half the size, blurred before pixels are left out.

    Args:
        images: Floating-point batch of images.
        padding: `"reflect"` or `"replicate"`: how an image goes on beyond its
            border. Defaults to `"reflect"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        A batch of images of half the height and width, rounded up.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.pyramids import gaussian_reduce
    >>> tuple(gaussian_reduce(np.ones((1, 5, 8, 3), "float32")).shape)
    (1, 3, 4, 3)

    Reference:
        [Burt and Adelson, 1983](https://doi.org/10.1109/TCOM.1983.1095851),
        REDUCE, with the weights `[1, 5, 8, 5, 1] / 20`.
    """
    images, axes = _standardize("gaussian_reduce", images, padding, data_format)
    return _backend.take_every_second(_blur(images, padding, axes), axes)


def laplacian_pyramid(
    images: ArrayLike,
    levels: int,
    *,
    padding: Padding = "reflect",
    data_format: DataFormat | None = None,
) -> list[Tensor]:
    """Returns the details of images at several scales, and what remains.

    Args:
        images: Floating-point batch of images with any number of channels.
        levels: Integer of at least 2, how many tensors to return.
        padding: How an image goes on beyond its border. `"reflect"` mirrors
            it, and needs three pixels a side at every scale but the last.
            `"replicate"` repeats the edge, also between the zeros that the
            smaller image is enlarged with, as the edge loss of MPRNet does:
            where a side is even, the last rows of a flat image are not flat
            then. Defaults to `"reflect"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        List of `levels` tensors, each of half the height and width of the one
        before, rounded up: what each scale has and the next has not, and at
        the end the blurred image of the last scale. Enlarged and added up
        from the end, they give the images back.

    Raises:
        ValueError: If `levels` is no such number, the padding is another, or
            the images are too small for so many levels.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual import ops
    >>> pyramid = ops.laplacian_pyramid(np.ones((1, 16, 12, 3), "float32"), 3)
    >>> [tuple(level.shape) for level in pyramid]
    [(1, 16, 12, 3), (1, 8, 6, 3), (1, 4, 3, 3)]

    Reference:
        [Burt and Adelson, 1983](https://doi.org/10.1109/TCOM.1983.1095851),
        The Laplacian pyramid as a compact image code, with the weights
        `[1, 5, 8, 5, 1] / 20`.
    """
    owner = "laplacian_pyramid"
    levels = Checker(owner).integer("levels", levels, minimum=2)
    images, axes = _standardize(owner, images, padding, data_format)
    needed = 2 * 2 ** (levels - 2) + 1 if padding == "reflect" else 1
    if any((images.shape[axis] or needed) < needed for axis in axes):
        raise ValueError(
            f"{owner} needs images at least {needed} pixels high and wide for "
            f"{levels} levels with padding='reflect'. Pass larger images, ask "
            "for fewer levels, or take padding='replicate'. "
            f"Received: images of shape {tuple(images.shape)}"
        )
    pyramid = []
    for _ in range(levels - 1):
        small = gaussian_reduce(images, padding, data_format)
        pyramid.append(
            images - _expand(small, ops.shape(images), padding, axes)
        )
        images = small
    return [*pyramid, images]


def _standardize(
    owner: str,
    images: ArrayLike,
    padding: Padding,
    data_format: DataFormat | None,
) -> tuple[Tensor, tuple[int, int]]:
    """Returns floating-point images and the axes of their sides."""
    Checker(owner).choice("padding", padding, ("reflect", "replicate"))
    data_format = Checker(owner).data_format(data_format)
    return floating(images), spatial_axes(data_format)


def _blur_padding(padding: Padding) -> Padding:
    return "reflect" if padding == "valid" else padding


def _blur(x: Tensor, padding: Padding, axes: tuple[int, int]) -> Tensor:
    """Smooths along some axes, with weights whose sum is one."""
    side, near, middle = (weight / 20 for weight in GAUSSIAN)
    x = pad_axes(x, 2, 2, padding, axes)
    for axis in axes:
        x = (
            side * (crop(x, axis, 0, 4) + crop(x, axis, 4, 0))
            + near * (crop(x, axis, 1, 3) + crop(x, axis, 3, 1))
            + middle * crop(x, axis, 2, 2)
        )
    return x


def _expand(
    x: Tensor, shape: Sequence[Any], padding: Padding, axes: tuple[int, int]
) -> Tensor:
    """Enlarges images to twice their size, to a given shape."""
    for axis in axes:
        # Zeros between the rows, which the blur fills.
        spread = ops.stack([2 * x, ops.zeros_like(x)], axis=axis + 1)
        wide = list(ops.shape(x))
        wide[axis] = 2 * wide[axis]
        x = ops.reshape(spread, wide)
        x = x[along(x, axis, slice(0, shape[axis]))]
    return _blur(x, padding, axes)
