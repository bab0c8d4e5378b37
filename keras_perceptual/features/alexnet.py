"""The convolutions of AlexNet, which keras.applications does not have."""

import keras
from keras import layers


def build_alexnet() -> keras.Model:
    """Returns AlexNet without its classifier, as torchvision lays it out.

    Padding is explicit where a convolution has a stride: "same" would shift
    the grid by a pixel and change the features. Activations are fused into
    the convolutions `conv1` to `conv5`.

    Returns:
        A `keras.Model` of images shaped `(batch, height, width, 3)`.

    Reference:
        Krizhevsky (2014), One weird trick for parallelizing convolutional
        neural networks, https://arxiv.org/abs/1404.5997, with the channel
        counts of torchvision.
    """
    inputs = keras.Input(
        (None, None, 3), dtype=keras.config.dtype_policy().compute_dtype
    )
    # Nothing is left to what is set for the whole process, nor drawn at random.
    layout = {"data_format": "channels_last"}
    options = {
        "activation": "relu",
        "kernel_initializer": "zeros",
        **layout,
    }
    x = layers.ZeroPadding2D(2, name="conv1_pad", **layout)(inputs)
    x = layers.Conv2D(64, 11, strides=4, name="conv1", **options)(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1", **layout)(x)
    for name, filters, kernel_size in (
        ("conv2", 192, 5),
        ("conv3", 384, 3),
        ("conv4", 256, 3),
        ("conv5", 256, 3),
    ):
        x = layers.Conv2D(
            filters, kernel_size, padding="same", name=name, **options
        )(x)
        if name == "conv2":
            x = layers.MaxPooling2D(3, strides=2, name="pool2", **layout)(x)
    return keras.Model(inputs, x, name="alexnet")
