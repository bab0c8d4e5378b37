"""The network that looks at an image to choose its colors."""

import keras
from keras import layers

from keras_perceptual.typing import DataFormat, DType, ValueRange

# Filters of each convolution, and whether its output is normalized.
CONVOLUTIONS = ((16, True), (32, True), (64, True), (128, True), (128, False))
SIDE = 256


def build_mixing_network(
    value_range: ValueRange = (0.0, 1.0),
    data_format: DataFormat = "channels_last",
    dtype: DType | None = None,
) -> keras.Model:
    """Returns the network of Zeng et al. without its last convolution.

    That one covers the whole map, and is the dense layer that comes next.
    Inside, the channels are last whatever the images have, for TensorFlow has
    no other convolutions on the CPU.

    Args:
        value_range: Pair of floats, the lowest and the highest value that a
            pixel can have.
        data_format: Where the channels of the images are.
        dtype: The dtype or policy of its layers.

    Returns:
        A `keras.Model` of RGB images of any size, which returns 8192 features
        of each.

    Reference:
        [Zeng et al., 2020](https://arxiv.org/abs/2009.14468).
    """
    low, high = value_range
    last = {"data_format": "channels_last", "dtype": dtype}
    shape = (None, None, 3)
    if data_format == "channels_first":
        shape = (3, None, None)
    inputs = keras.Input(shape)
    x = layers.Resizing(SIDE, SIDE, data_format=data_format, dtype=dtype)(
        inputs
    )
    if data_format == "channels_first":
        x = layers.Permute((2, 3, 1), dtype=dtype)(x)
    if (low, high) != (0, 1):
        width = high - low
        x = layers.Rescaling(1 / width, -low / width, dtype=dtype)(x)
    for number, (filters, normalized) in enumerate(CONVOLUTIONS, start=1):
        # Padding is explicit: "same" would shift the grid by a pixel.
        x = layers.ZeroPadding2D(1, **last)(x)
        x = layers.Conv2D(
            filters,
            3,
            strides=2,
            kernel_initializer="glorot_normal",
            name=f"conv{number}",
            **last,
        )(x)
        x = layers.LeakyReLU(0.2, dtype=dtype)(x)
        if normalized:
            # A group for each channel: instance normalization.
            x = layers.GroupNormalization(
                -1, epsilon=1e-5, dtype=dtype, name=f"norm{number}"
            )(x)
    x = layers.Dropout(0.5, dtype=dtype)(x)
    x = layers.Flatten(**last)(x)
    return keras.Model(inputs, x, name="mixing_network")
