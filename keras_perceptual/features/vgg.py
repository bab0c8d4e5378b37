"""The convolutions of VGG, built without asking Keras's configuration."""

import keras
from keras import layers


def build_vgg(name: str, convolutions: tuple[int, ...]) -> keras.Model:
    """Returns a VGG network without its classifier, with weights of zero.

    The layers have the names of `keras.applications`, which builds them in the
    image format that is set for the whole process.

    Args:
        name: String, the name of the network.
        convolutions: How many convolutions each of the five blocks has.

    Returns:
        A `keras.Model` of images shaped `(batch, height, width, 3)`.

    Reference:
        Simonyan and Zisserman (2014), Very deep convolutional networks for
        large-scale image recognition, https://arxiv.org/abs/1409.1556.
    """
    x = inputs = keras.Input(
        (None, None, 3), dtype=keras.config.dtype_policy().compute_dtype
    )
    for block, count in enumerate(convolutions, start=1):
        for index in range(1, count + 1):
            x = layers.Conv2D(
                min(64 * 2 ** (block - 1), 512),
                3,
                padding="same",
                activation="relu",
                data_format="channels_last",
                kernel_initializer="zeros",
                name=f"block{block}_conv{index}",
            )(x)
        x = layers.MaxPooling2D(
            2, data_format="channels_last", name=f"block{block}_pool"
        )(x)
    return keras.Model(inputs, x, name=name)
