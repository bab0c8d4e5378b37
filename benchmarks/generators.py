"""Networks for images that people train, to see a loss beside one of them.

SRResNet has its published size, the others are smaller.
"""

from keras import Input, Model, layers, ops


def srresnet(side, filters=64, blocks=16):
    """The generator of SRGAN (Ledig et al. 2017): four times the size."""

    def convolve(x, filters=filters, size=3, **options):
        return layers.Conv2D(filters, size, padding="same", **options)(x)

    def prelu(x):
        return layers.PReLU(shared_axes=[1, 2])(x)

    images = Input((side // 4, side // 4, 3))
    first = x = prelu(convolve(images, size=9))
    for _ in range(blocks):
        inner = layers.BatchNormalization()(convolve(x, use_bias=False))
        inner = layers.BatchNormalization()(
            convolve(prelu(inner), use_bias=False)
        )
        x = layers.add([x, inner])
    x = layers.BatchNormalization()(convolve(x, use_bias=False))
    x = layers.add([x, first])
    for _ in range(2):
        x = prelu(DepthToSpace(2)(convolve(x, 4 * filters)))
    return Model(images, convolve(x, 3, 9), name="srresnet")


def unet(side, filters=32, depth=4):
    """U-Net (Ronneberger et al. 2015), half as wide, padded."""

    def convolve(x, filters):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        return x

    images = x = Input((side, side, 3))
    kept = []
    for level in range(depth):
        x = convolve(x, filters << level)
        kept.append(x)
        x = layers.MaxPooling2D()(x)
    x = convolve(x, filters << depth)
    for level in reversed(range(depth)):
        width = filters << level
        x = layers.Conv2DTranspose(width, 2, 2)(x)
        x = convolve(layers.concatenate([x, kept[level]]), width)
    return Model(images, layers.Conv2D(3, 1)(x), name="unet")


def nafnet(side, filters=32, blocks=(1, 1, 2), middle=2):
    """Like NAFNet (Chen et al. 2022), with a fourth of its blocks."""

    def block(x):
        filters = x.shape[-1]
        y = layers.LayerNormalization()(x)
        y = layers.Conv2D(2 * filters, 1)(y)
        y = layers.DepthwiseConv2D(3, padding="same")(y)
        y = Gate()(y)
        weights = layers.GlobalAveragePooling2D(keepdims=True)(y)
        y = layers.multiply([y, layers.Conv2D(filters, 1)(weights)])
        x = layers.add([x, layers.Conv2D(filters, 1)(y)])
        y = layers.LayerNormalization()(x)
        y = Gate()(layers.Conv2D(2 * filters, 1)(y))
        return layers.add([x, layers.Conv2D(filters, 1)(y)])

    images = Input((side, side, 3))
    x = layers.Conv2D(filters, 3, padding="same")(images)
    kept = []
    for count in blocks:
        for _ in range(count):
            x = block(x)
        kept.append(x)
        x = layers.Conv2D(2 * x.shape[-1], 2, 2)(x)
    for _ in range(middle):
        x = block(x)
    for skipped in reversed(kept):
        x = layers.Conv2D(2 * x.shape[-1], 1, use_bias=False)(x)
        x = block(layers.add([DepthToSpace(2)(x), skipped]))
    x = layers.Conv2D(3, 3, padding="same")(x)
    return Model(images, layers.add([x, images]), name="nafnet")


class Gate(layers.Layer):
    """Multiplies one half of the channels by the other."""

    def call(self, x):
        """Returns half as many channels."""
        first, second = ops.split(x, 2, axis=-1)
        return first * second


class DepthToSpace(layers.Layer):
    """Turns channels into pixels."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        """Returns images `factor` times as high and wide."""
        size = self.factor
        _, height, width, channels = x.shape
        x = ops.reshape(x, (-1, height, width, size, size, channels // size**2))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(
            x, (-1, height * size, width * size, channels // size**2)
        )


GENERATORS = {"SRResNet": srresnet, "U-Net": unet, "NAFNet-like": nafnet}
