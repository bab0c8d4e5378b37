"""How much two sets of features have in common, wherever they are."""

import math

from keras import ops

from keras_perceptual.ops.distances import unit_normalize
from keras_perceptual.typing import ArrayLike, Tensor


def contextual_distance(
    x: ArrayLike, y: ArrayLike, band_width: float = 0.5, epsilon: float = 1e-5
) -> Tensor:
    """Returns minus the logarithm of the contextual similarity.

    Every feature of `y` chooses among those of `x`, by how near they are in
    comparison with the nearest one; every feature of `x` keeps the best share
    that any feature of `y` gives it. The similarity is the mean of these. Where
    a feature lies is of no account.

    Args:
        x: Floating-point tensor shaped `(batch, rows, columns, channels)`, the
            features of the targets.
        y: Tensor shaped as `x`, the features of the predictions; the numbers
            of rows and columns may differ.
        band_width: Float above zero. The larger it is, the more features share
            in a choice. Defaults to 0.5.
        epsilon: Float above zero, what is added to the nearest distance.
            Defaults to 1e-5.

    Returns:
        A tensor shaped `(batch,)`, from 0 to the logarithm of the number of
        features of `x`.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.contextual import contextual_distance
    >>> x = np.random.default_rng(0).normal(size=(1, 4, 4, 32))
    >>> x = x.astype("float32")
    >>> turned = x[:, ::-1, ::-1]
    >>> bool(contextual_distance(x, turned)[0] < 1e-3)
    True

    Reference:
        [Mechrez et al., 2018](https://arxiv.org/abs/1803.02077).
    """
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    # Features after an activation all point the same way: it is from their
    # mean that they differ. The official code takes that of the whole batch.
    center = ops.mean(x, axis=(1, 2), keepdims=True)
    x, y = (_vectors(unit_normalize(f - center)) for f in (x, y))
    cosine = ops.matmul(y, ops.transpose(x, (0, 2, 1)))
    distance = ops.relu(1 - cosine)
    nearest = ops.min(distance, axis=2, keepdims=True)
    relative = distance / (nearest + epsilon)
    choice = ops.softmax(-relative / band_width, axis=2)
    # The shares of one feature of `y` sum to one, so that the mean is one over
    # the number of features at least.
    return -ops.log(ops.mean(ops.max(choice, axis=1), axis=1))


def sample_features(features: Tensor, max_features: int) -> Tensor:
    """Returns features on an even grid of limited size.

    Args:
        features: Tensor shaped `(batch, rows, columns, channels)`.
        max_features: Integer, the largest number of positions.

    Returns:
        Tensor shaped `(batch, fewer rows, fewer columns, channels)`; the
        features themselves where they are few enough. The grid is the same
        for all images of a size.
    """
    rows, columns = ops.shape(features)[1:3]
    fewer_rows, fewer_columns = grid_size(rows, columns, max_features)
    features = _take_evenly(features, rows, fewer_rows, axis=1)
    return _take_evenly(features, columns, fewer_columns, axis=2)


def grid_size(
    rows: int | Tensor, columns: int | Tensor, max_features: int
) -> tuple[int | Tensor, int | Tensor]:
    """Returns the size of a grid of about the same proportions.

    Args:
        rows: Integer, or integer scalar tensor.
        columns: Integer, or integer scalar tensor.
        max_features: Integer, the largest product of the two numbers.

    Returns:
        Pair of integers, or of integer scalar tensors, at least 1 and at most
        `rows` and `columns`.
    """
    root = (max_features * rows / columns) ** 0.5
    if isinstance(root, float):
        fewer = min(max(math.floor(root), 1), rows, max_features)
        return fewer, min(max_features // fewer, columns)
    fewer = ops.cast(ops.clip(ops.floor(root), 1, max_features), "int32")
    fewer = ops.minimum(fewer, rows)
    return fewer, ops.minimum(max_features // fewer, columns)


def _vectors(features: Tensor) -> Tensor:
    """Returns features without their places, `(batch, n, channels)`."""
    shape = ops.shape(features)
    return ops.reshape(features, (shape[0], -1, shape[-1]))


def _take_evenly(
    features: Tensor, size: int | Tensor, fewer: int | Tensor, axis: int
) -> Tensor:
    """Returns the middle ones of equal parts of an axis."""
    if isinstance(size, int) and size == fewer:
        return features
    steps = ops.arange(fewer, dtype="int32")
    return ops.take(features, (2 * steps + 1) * size // (2 * fewer), axis=axis)
