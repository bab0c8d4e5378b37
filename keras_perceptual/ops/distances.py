"""How far apart tensors are: penalties of differences, and their means.

A distance of features is a function that compares two tensors feature by
feature; its mean is the distance of two images, and its mean over the channels
a map of it. Means keep their digits on large images, and keep to masks.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from keras_perceptual.typing import ArrayLike, FeatureDifference, Tensor


def absolute(x: Tensor) -> Tensor:
    """Returns `abs(x)`, with the gradient 0 where `x` is 0.

    Backends disagree about that point: JAX says 1 there, so that two equal
    images would push each other apart.

    Args:
        x: Floating-point tensor.

    Returns:
        Tensor shaped as `x`.
    """
    return x * ops.stop_gradient(ops.sign(x))


def charbonnier_penalty(x: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Returns `sqrt(x ** 2 + epsilon ** 2) - epsilon`, a smooth `abs(x)`.

    It is written so that nothing cancels where `x` is small.

    Args:
        x: Floating-point tensor.
        epsilon: Float, the difference below which the penalty is quadratic.

    Returns:
        Tensor shaped as `x`.

    Reference:
        Charbonnier et al. (1994), Two deterministic half-quadratic
        regularization algorithms for computed imaging. The loss of this name
        in BasicSR is larger by `epsilon`.
    """
    squared = ops.square(x)
    return squared / (ops.sqrt(squared + epsilon**2) + epsilon)


def power_penalty(x: Tensor, exponent: float) -> Tensor:
    """Returns `abs(x) ** exponent`, whose gradient is 0 where `x` is 0.

    Args:
        x: Floating-point tensor.
        exponent: Float of at least 1.

    Returns:
        Tensor shaped as `x`.
    """
    if exponent == 1:
        return absolute(x)
    if exponent == 2:
        return ops.square(x)
    return ops.power(absolute(x), exponent)


def mean_over_positions(x: Tensor, weights: Tensor | None = None) -> Tensor:
    """Averages each channel over all positions of an image.

    Args:
        x: Floating-point tensor shaped `(batch, rows, columns, channels)`.
        weights: Optional weights of the positions, shaped
            `(batch, rows, columns)`, whose sum for each image is 1.

    Returns:
        Tensor shaped `(batch, channels)`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.distances import mean_over_positions
    >>> x = keras.ops.reshape(keras.ops.arange(8.0), (1, 2, 2, 2))
    >>> keras.ops.convert_to_numpy(mean_over_positions(x)).tolist()
    [[3.0, 4.0]]
    """
    if weights is None:
        return ops.mean(_mean_of_sums(x, 2), axis=1)
    return sum_over_positions(x * ops.expand_dims(weights, -1))


def sum_over_positions(x: Tensor) -> Tensor:
    """Adds up all positions of each image, in short sums.

    TensorFlow adds them up one after the other, and in float32 a sum of
    millions loses what is added last: of an image of 2048 by 2048 pixels the
    third digit is wrong. Along one axis after the other, no sum is long. XLA
    makes one sum of two, unless they are divided in between.

    Args:
        x: Floating-point tensor shaped `(batch, rows, columns, ...)`.

    Returns:
        Tensor shaped `(batch, ...)`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.distances import sum_over_positions
    >>> x = keras.ops.reshape(keras.ops.arange(8.0), (2, 2, 2))
    >>> keras.ops.convert_to_numpy(sum_over_positions(x)).tolist()
    [6.0, 22.0]
    """
    rows = _mean_of_sums(x, 2)
    return ops.sum(rows, axis=1) * ops.cast(ops.shape(x)[2], x.dtype)


def _mean_of_sums(x: Tensor, *axes: int) -> Tensor:
    """Averages, by a sum whose gradient is one number for all.

    That of a mean is written out for each position on PyTorch.
    """
    count = math.prod(ops.shape(x)[axis] for axis in axes)
    return ops.sum(x, axis=axes) / ops.cast(count, x.dtype)


def mean_per_image(x: Tensor, mask: Tensor | None = None) -> Tensor:
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
        # Rows first: no sum is long, see `sum_over_positions`.
        return ops.mean(_mean_of_sums(x, *range(2, len(x.shape))), axis=1)
    height, width = ops.shape(x)[1:3]
    weights = normalize_mask(resize_mask(mask, height, width))
    return sum_over_positions(ops.mean(x, axis=-1) * weights)


def one_or_nan(x: Tensor) -> Tensor:
    """Returns NaN for each image in which a number is NaN, and 1 for others.

    Multiplied by it, what is computed of an image is NaN as well, and so is
    its gradient; others stay as they are.

    Args:
        x: Floating-point tensor, the batch first.

    Returns:
        A tensor shaped `(batch,)`, without a gradient.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual.ops.distances import one_or_nan
    >>> x = np.array([[0.0, 0.5], [0.0, np.nan]], "float32")
    >>> keras.ops.convert_to_numpy(one_or_nan(x)).tolist()
    [1.0, nan]
    """
    x = ops.stop_gradient(ops.convert_to_tensor(x))
    mean = ops.mean(x, axis=tuple(range(1, len(x.shape))))
    return ops.where(ops.isnan(mean), mean, ops.ones_like(mean))


def normalize_mask(mask: Tensor) -> Tensor:
    """Divides the weights of each image by their sum.

    Args:
        mask: Weights of at least 0, shaped `(batch, rows, columns)`.

    Returns:
        Tensor shaped as `mask`; zeros stay zeros.
    """
    area = ops.reshape(sum_over_positions(mask), (-1, 1, 1))
    return mask / ops.where(area > 0, area, ops.ones_like(area))


def position_weights(mask: Tensor | None, features: Tensor) -> Tensor | None:
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


def resize_mask(
    mask: Tensor, height: int | Tensor, width: int | Tensor
) -> Tensor:
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
    >>> from keras_perceptual.ops.distances import resize_mask
    >>> mask = keras.ops.convert_to_tensor([[[1.0, 0.0, 0.0, 0.0]]])
    >>> keras.ops.convert_to_numpy(resize_mask(mask, 1, 2)).tolist()
    [[[0.5, 0.0]]]
    """
    rows, columns = ops.shape(mask)[1:3]
    down = ops.cast(_shares(rows, height), mask.dtype)
    along = ops.cast(_shares(columns, width), mask.dtype)
    mask = ops.matmul(down, mask)
    return ops.matmul(mask, ops.transpose(along))


def _shares(size: int | Tensor, new_size: int | Tensor) -> Tensor:
    """Returns how much of each new cell each old one covers.

    In whole numbers, so that cells that only touch share exactly nothing.
    """
    new = ops.expand_dims(ops.arange(new_size, dtype="int32") * size, 1)
    old = ops.expand_dims(ops.arange(size, dtype="int32") * new_size, 0)
    overlap = ops.minimum(new + size, old + new_size) - ops.maximum(new, old)
    overlap = ops.cast(ops.maximum(overlap, 0), "float32")
    return overlap / ops.cast(size, "float32")


def relative_difference(x: Tensor, y: Tensor, constant: float) -> Tensor:
    """Returns one minus the similarity `(2 x y + c) / (x^2 + y^2 + c)`.

    Args:
        x: Floating-point tensor.
        y: Tensor that broadcasts with `x`.
        constant: Float above zero, `c`, which steadies small ratios.

    Returns:
        A tensor, 0 where both are equal.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.distances import relative_difference
    >>> x = keras.ops.convert_to_tensor([1.0, 3.0])
    >>> y = keras.ops.convert_to_tensor([1.0, 1.0])
    >>> [float(z) for z in relative_difference(x, y, 6.0)]
    [0.0, 0.25]
    """
    return ops.square(x - y) / (ops.square(x) + ops.square(y) + constant)


def unit_normalize(features: Tensor, epsilon: float = 1e-10) -> Tensor:
    """Scales the channel vector of each position to length one.

    `f / sqrt(sum(f ** 2) + epsilon)`: with epsilon inside the square root, the
    gradient is finite where all channels are zero, and so is the result.

    Args:
        features: Floating-point tensor, channels last.
        epsilon: Float, what is added to the squared length.

    Returns:
        Tensor shaped as `features`.
    """
    squared = ops.sum(ops.square(features), axis=-1, keepdims=True)
    return features * ops.rsqrt(squared + epsilon)


def cosine_distance(x: Tensor, y: Tensor) -> Tensor:
    """Returns what each channel adds to one minus the cosine.

    The mean over the channels is one minus the cosine between the two channel
    vectors at a position. It is computed as half the squared distance of the
    vectors scaled to length one, which is the same and is zero for two vectors
    of zeros.

    Args:
        x: Floating-point tensor shaped `(batch, ..., channels)`.
        y: Tensor shaped as `x`.

    Returns:
        Tensor shaped as `x`.
    """
    squared = ops.square(unit_normalize(x) - unit_normalize(y))
    return squared * (x.shape[-1] / 2)


def lost_and_added(x: Tensor, y: Tensor, added_weight: float = 0.0) -> Tensor:
    """Returns squared differences, those of one direction weighted.

    `(x - y) ** 2` where `y` is less than `x`, `added_weight * (x - y) ** 2`
    where it is more: of features, what a reference has and an image lacks, and
    what the image has beyond it.

    Args:
        x: Floating-point tensor, features of the reference.
        y: Tensor shaped as `x`, features of the image.
        added_weight: Float, what counts that is added.

    Returns:
        Tensor shaped as `x`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.distances import lost_and_added
    >>> x = keras.ops.convert_to_tensor([2.0, 2.0])
    >>> y = keras.ops.convert_to_tensor([0.0, 4.0])
    >>> keras.ops.convert_to_numpy(lost_and_added(x, y, 0.25)).tolist()
    [4.0, 1.0]
    """
    difference = y - x
    weights = ops.where(difference > 0, added_weight, 1.0)
    return ops.square(difference) * ops.cast(weights, difference.dtype)


FEATURE_DISTANCES: dict[FeatureDifference, Callable[..., Tensor]] = {
    "mse": lambda x, y: ops.square(x - y),
    "mae": lambda x, y: absolute(x - y),
    "charbonnier": lambda x, y: charbonnier_penalty(x - y),
    "cosine": cosine_distance,
    "lost": lost_and_added,
}


def feature_penalty(
    kind: FeatureDifference, added_weight: float = 0.0
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns the function that compares features one by one.

    Args:
        kind: String, a key of `FEATURE_DISTANCES`.
        added_weight: Float, what counts that is added, for the kind `"lost"`.
    """
    if kind == "lost":
        return functools.partial(lost_and_added, added_weight=added_weight)
    return FEATURE_DISTANCES[kind]


def feature_distance(
    kind: FeatureDifference,
    x: Tensor,
    y: Tensor,
    mask: Tensor | None = None,
    added_weight: float = 0.0,
) -> Tensor:
    """Returns the mean distance between the features of two images.

    Args:
        kind: String, a key of `FEATURE_DISTANCES`.
        x: Floating-point tensor shaped `(batch, ..., channels)`.
        y: Tensor shaped as `x`.
        mask: Optional weights of the positions of an image, of any size.
        added_weight: As for `feature_penalty`.

    Returns:
        Tensor shaped `(batch,)`.
    """
    return mean_per_image(feature_penalty(kind, added_weight)(x, y), mask)


def lpips_distance(
    x: Tensor,
    y: Tensor,
    head: ArrayLike | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Returns the mean over all positions of what `lpips_map` returns.

    Args:
        x: As for `lpips_map`.
        y: Tensor shaped as `x`.
        head: As for `lpips_map`.
        mask: Optional weights of the positions of an image, of any size.

    Returns:
        Tensor shaped `(batch,)`.
    """
    # The head comes last: there are fewer channels than numbers in a map.
    differences = mean_over_positions(
        ops.square(y - x), position_weights(mask, y)
    )
    if head is not None:
        head = ops.convert_to_tensor(head, dtype=differences.dtype)
        differences = differences * head
    return ops.sum(differences, axis=-1)


def lpips_map(x: Tensor, y: Tensor, head: ArrayLike | None = None) -> Tensor:
    """Returns how much two images differ at each position, as LPIPS has it.

    `sum over channels of head * (x - y) ** 2`.

    Args:
        x: Features of unit length (see `unit_normalize`), shaped
            `(batch, rows, columns, channels)`.
        y: Tensor shaped as `x`.
        head: Weights of at least 0, shaped `(channels,)`. Defaults to 1 for
            each channel, the baseline of the publication.

    Returns:
        Tensor shaped `(batch, rows, columns)`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.distances import lpips_map
    >>> x = keras.ops.convert_to_tensor([[[[1.0, 0.0]]]])
    >>> y = keras.ops.convert_to_tensor([[[[0.0, 1.0]]]])
    >>> head = keras.ops.convert_to_tensor([0.5, 0.25])
    >>> keras.ops.convert_to_numpy(lpips_map(x, y, head)).tolist()
    [[[0.75]]]

    Reference:
        Zhang et al. (2018), The unreasonable effectiveness of deep features as
        a perceptual metric, https://arxiv.org/abs/1801.03924.
    """
    squared = ops.square(x - y)
    if head is not None:
        squared = squared * ops.convert_to_tensor(head, dtype=squared.dtype)
    return ops.sum(squared, axis=-1)


def map_values(
    function: Callable[..., Any],
    first: Mapping[str, Any],
    *others: Mapping[str, Any],
) -> dict[str, Any]:
    """Applies a function to what several dictionaries have under each name.

    Args:
        function: Function of as many values as there are dictionaries.
        first: Dictionary, in whose order the results are.
        *others: Dictionaries with the names of the first.
    """
    return {
        name: function(x, *(values[name] for values in others))
        for name, x in first.items()
    }
