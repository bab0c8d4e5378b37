"""Averages over large images that keep their digits."""

from keras import ops


def mean_over_positions(x, weights=None):
    """Averages each channel over all positions of an image.

    TensorFlow adds up the positions of a channel one after the other, and in
    float32 a sum of millions loses what is added last: of an image of 2048 by
    2048 pixels the third digit is wrong. Along one axis after the other, no
    sum is long.

    Args:
        x: Floating-point tensor shaped `(batch, rows, columns, channels)`.
        weights: Optional weights of the positions, shaped
            `(batch, rows, columns)`, whose sum for each image is 1.

    Returns:
        Tensor shaped `(batch, channels)`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.averages import mean_over_positions
    >>> x = keras.ops.reshape(keras.ops.arange(8.0), (1, 2, 2, 2))
    >>> keras.ops.convert_to_numpy(mean_over_positions(x)).tolist()
    [[3.0, 4.0]]
    """
    if weights is None:
        # The gradient of a sum is one number for all, that of a mean is
        # written out for each position on PyTorch.
        columns = ops.cast(ops.shape(x)[2], x.dtype)
        return ops.mean(ops.sum(x, axis=2), axis=1) / columns
    weighted = x * ops.expand_dims(weights, -1)
    return ops.sum(ops.sum(weighted, axis=2), axis=1)
