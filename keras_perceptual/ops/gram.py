"""Gram matrices: which channels are active together, wherever it is."""

from keras import ops

from keras_perceptual.ops.distances import normalize_mask, resize_mask
from keras_perceptual.typing import GramNormalization, Tensor

# What the sum over the positions is divided by.
GRAM_NORMALIZATIONS = ("chw", "hw", "none")


def gram_matrix(
    features: Tensor,
    normalization: GramNormalization = "chw",
    mask: Tensor | None = None,
) -> Tensor:
    """Returns the products of all pairs of channels, summed over positions.

    Args:
        features: Floating-point tensor shaped
            `(batch, height, width, channels)`.
        normalization: What the sum is divided by: `"chw"`, the number of
            features (Johnson, BasicSR); `"hw"`, the number of positions
            (TensorFlow's tutorial, FILM); `"none"`, nothing (piq). A matrix
            of `"hw"` is `channels` times one of `"chw"`, and one of `"none"`
            is `height * width` times that; squared differences grow with the
            squares. Defaults to `"chw"`.
        mask: Optional weights of at least 0 for the positions of the image,
            shaped `(batch, rows, columns)` of any size. They take the place
            of `height * width` by their sum.

    Returns:
        Tensor shaped `(batch, channels, channels)`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.gram import gram_matrix
    >>> features = keras.ops.reshape(keras.ops.arange(4.0), (1, 2, 1, 2))
    >>> gram = gram_matrix(features, "none")
    >>> keras.ops.convert_to_numpy(gram).tolist()
    [[[4.0, 6.0], [6.0, 10.0]]]

    Reference:
        Gatys et al. (2016), Image style transfer using convolutional neural
        networks; divided by the number of features as in Johnson et al.
        (2016), https://arxiv.org/abs/1603.08155.
    """
    batch, height, width, channels = ops.shape(features)
    if mask is not None:
        mask = resize_mask(ops.stop_gradient(mask), height, width)
        if normalization != "none":
            mask = normalize_mask(mask)
        features = features * ops.expand_dims(ops.sqrt(mask), -1)
    # Divided before it is summed, so that the sums stay small.
    divisor = {
        "chw": channels if mask is not None else height * width * channels,
        "hw": 1 if mask is not None else height * width,
        "none": 1,
    }[normalization]
    flat = ops.reshape(features, (batch, -1, features.shape[-1]))
    flat = flat * ops.rsqrt(ops.cast(divisor, features.dtype))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat)
