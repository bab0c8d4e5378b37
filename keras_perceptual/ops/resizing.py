"""Shrinking images, and enlarging maps."""

from keras import ops

from keras_perceptual.typing import Tensor


def shrink_shorter_side(images: Tensor, side: int) -> Tensor:
    """Shrinks images until their shorter side has `side` pixels.

    Bilinear between the two pixels nearest to each center, without smoothing
    the image before, as `torch.nn.functional.interpolate` does with a scale
    factor. Images that are small enough stay as they are.

    Args:
        images: Floating-point tensor shaped
            `(batch, height, width, channels)`.
        side: Integer, the length of the shorter side.

    Returns:
        Images of the same proportions, but for what is rounded down of the
        longer side.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.resizing import shrink_shorter_side
    >>> images = np.zeros((1, 300, 451, 3), "float32")
    >>> tuple(shrink_shorter_side(images, 256).shape)
    (1, 256, 384, 3)
    """
    images = ops.convert_to_tensor(images)
    height, width = ops.shape(images)[1:3]
    shorter = _minimum(height, width)
    side = _minimum(side, shorter)
    if isinstance(shorter, int) and side == shorter:
        return images
    step = ops.cast(shorter, images.dtype) / ops.cast(side, images.dtype)
    for axis, length in ((1, height), (2, width)):
        images = _sample(images, axis, length * side // shorter, step)
    return images


def resize_maps(
    maps: Tensor, height: int | Tensor, width: int | Tensor
) -> Tensor:
    """Returns maps of another size, bilinear and without smoothing.

    Keras resizes to a size that is known while a graph is built; here it may
    be known when the graph runs.

    Args:
        maps: Floating-point tensor shaped `(batch, rows, columns)`.
        height: Integer, or integer scalar tensor.
        width: Integer, or integer scalar tensor.

    Returns:
        Tensor shaped `(batch, height, width)`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.resizing import resize_maps
    >>> maps = keras.ops.convert_to_tensor([[[0.0, 1.0]]])
    >>> keras.ops.convert_to_numpy(resize_maps(maps, 1, 4)).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    images = ops.expand_dims(maps, -1)
    if isinstance(height, int) and isinstance(width, int):
        return ops.image.resize(
            images,
            (height, width),
            interpolation="bilinear",
            data_format="channels_last",
        )[..., 0]
    for axis, size in ((1, height), (2, width)):
        step = ops.cast(ops.shape(images)[axis], images.dtype)
        step = step / ops.cast(size, images.dtype)
        images = _sample(images, axis, size, step)
    return images[..., 0]


def _minimum(x: int | Tensor, y: int | Tensor) -> int | Tensor:
    """Returns the smaller of two sizes, which may not be known yet."""
    if isinstance(x, int) and isinstance(y, int):
        return min(x, y)
    return ops.minimum(x, y)


def _sample(
    images: Tensor, axis: int, size: int | Tensor, step: Tensor
) -> Tensor:
    """Looks at images at `size` points along an axis, `step` pixels apart."""
    last = ops.shape(images)[axis] - 1
    points = (ops.arange(size, dtype=images.dtype) + 0.5) * step - 0.5
    points = ops.maximum(points, 0)
    below = ops.minimum(ops.cast(ops.floor(points), "int32"), last)
    share = points - ops.cast(below, images.dtype)
    share = ops.reshape(share, (-1, 1, 1) if axis == 1 else (-1, 1))
    near = ops.take(images, below, axis=axis)
    far = ops.take(images, ops.minimum(below + 1, last), axis=axis)
    return near + (far - near) * share
