"""The distance of LPIPS between the features of two images."""

from keras import ops

from keras_perceptual.ops.averages import mean_over_positions


def lpips_distance(x, y, head=None, weights=None):
    """Returns the mean over all positions of what `lpips_map` returns.

    Args:
        x: As for `lpips_map`.
        y: Tensor shaped as `x`.
        head: As for `lpips_map`.
        weights: Optional weights of the positions, shaped
            `(batch, rows, columns)`, whose sum for each image is 1 or 0.

    Returns:
        Tensor shaped `(batch,)`.
    """
    # The head comes last: there are fewer channels than numbers in a map.
    differences = mean_over_positions(ops.square(y - x), weights)
    if head is not None:
        head = ops.convert_to_tensor(head, dtype=differences.dtype)
        differences = differences * head
    return ops.sum(differences, axis=-1)


def lpips_map(x, y, head=None):
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
    >>> from keras_perceptual.ops.lpips import lpips_map
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
