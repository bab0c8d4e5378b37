"""Weights for the pixels of an image, and means that keep to them."""

import math

from keras import ops


def mean_per_image(x, mask=None):
    """Averages over every axis but the first.

    Args:
        x: Floating-point tensor shaped `(batch, ...)`; with a mask, shaped
            `(batch, height, width, channels)`.
        mask: Optional weights of at least 0, shaped `(batch, rows, columns)`
            of any size. Where it is 0, a value has no share, nor a gradient.
            An image whose mask is 0 everywhere has the mean 0.

    Returns:
        Tensor shaped `(batch,)`.
    """
    if mask is None:
        # Rows first: no sum is long, and the gradient of a sum is a single
        # number for all, where that of a mean is divided place by place.
        rows = ops.sum(x, axis=tuple(range(2, len(x.shape))))
        places = math.prod(ops.shape(x)[2:])
        return ops.mean(rows, axis=1) / ops.cast(places, x.dtype)
    height, width = ops.shape(x)[1:3]
    weights = normalize_mask(resize_mask(mask, height, width))
    return ops.sum(ops.mean(x, axis=-1) * weights, axis=(1, 2))


def normalize_mask(mask):
    """Divides the weights of each image by their sum.

    Args:
        mask: Weights of at least 0, shaped `(batch, rows, columns)`.

    Returns:
        Tensor shaped as `mask`; zeros stay zeros.
    """
    area = ops.sum(mask, axis=(1, 2), keepdims=True)
    return mask / ops.where(area > 0, area, ops.ones_like(area))


def position_weights(mask, features):
    """Returns how much each position of feature maps counts in an average.

    Args:
        mask: Weights of at least 0, shaped `(batch, rows, columns)`, or `None`.
        features: Tensor shaped `(batch, height, width, channels)`.

    Returns:
        Tensor shaped `(batch, height, width)`, whose sum for each image is 1,
        or 0 where nothing is weighted; `None` for no mask.
    """
    if mask is None:
        return None
    height, width = ops.shape(features)[1:3]
    return normalize_mask(resize_mask(mask, height, width))


def resize_mask(mask, height, width):
    """Returns a mask of another size, each weight the mean of its area.

    A pixel of which any part is weighted keeps a weight, and one of which no
    part is gets exactly zero.

    Args:
        mask: Floating-point tensor shaped `(batch, rows, columns)`.
        height: Integer, or integer scalar tensor.
        width: Integer, or integer scalar tensor.

    Returns:
        Tensor shaped `(batch, height, width)`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.masks import resize_mask
    >>> mask = keras.ops.convert_to_tensor([[[1.0, 0.0, 0.0, 0.0]]])
    >>> keras.ops.convert_to_numpy(resize_mask(mask, 1, 2)).tolist()
    [[[0.5, 0.0]]]
    """
    rows, columns = ops.shape(mask)[1:3]
    down = ops.cast(_shares(rows, height), mask.dtype)
    along = ops.cast(_shares(columns, width), mask.dtype)
    mask = ops.matmul(down, mask)
    return ops.matmul(mask, ops.transpose(along))


def _shares(size, new_size):
    """Returns how much of each new cell each old one covers.

    In whole numbers, so that cells that only touch share exactly nothing.
    """
    new = ops.expand_dims(ops.arange(new_size, dtype="int32") * size, 1)
    old = ops.expand_dims(ops.arange(size, dtype="int32") * new_size, 0)
    overlap = ops.minimum(new + size, old + new_size) - ops.maximum(new, old)
    overlap = ops.cast(ops.maximum(overlap, 0), "float32")
    return overlap / ops.cast(size, "float32")
