"""
Title: A photograph in the style of another picture
Author: keras_perceptual developers
Date created: 2026/11/22
Last modified: 2026/11/22
Description: Optimizes the pixels of one picture: style transfer after Gatys.
Accelerator: None

## Introduction

Gatys et al. (2016) asked for a picture with the contents of a photograph and
the style of a painting. No network is trained for it: the pixels themselves are
what is learned. Two things are asked of them, and one loss asks for both.

**Contents** are what a deep layer of VGG16 sees: what there is and where, but
not exactly with which pixels. `PerceptualLoss` compares it with what the layer
sees in the photograph.

**Style** is which features occur together, at five layers from the finest
texture to the largest pattern, wherever in the picture they occur: the Gram
matrices. They are compared with those of the picture given as `style_image`.

Pixels become weights in a model of one layer, which returns them. The rest is
Keras as always, on any backend: `compile` with the loss, `fit`, a callback that
writes a picture after each epoch. What VGG16 sees in the photograph does not
change from step to step: `encode` computes it once, and it takes the place of
the photograph as the target.

The photographs come with scikit-image and scikit-learn. Nothing is downloaded.

## Reference

L. Gatys, A. Ecker and M. Bethge, "Image Style Transfer Using Convolutional
Neural Networks", CVPR 2016.
"""

import argparse
import pathlib
import time

import keras
import numpy as np
import skimage.data
import sklearn.datasets
from keras import ops
from matplotlib import pyplot

import keras_perceptual as kp

"""
## Pictures

A cat, to be made of the petals of a dahlia; or what you give.
"""


def load_cat():
    """Returns the photograph of a cat."""
    return skimage.data.chelsea()


def load_petals():
    """Returns the petals of a flower, out of a photograph of it."""
    return sklearn.datasets.load_sample_image("flower.jpg")[70:300, 140:340]


def resize(image, size):
    """Returns a picture in (0, 1) whose longer side has `size` pixels."""
    image = np.asarray(image, "float32") / 255.0
    scale = size / max(image.shape[:2])
    resized = ops.image.resize(
        image,
        [round(side * scale) for side in image.shape[:2]],
        interpolation="bicubic",
        antialias=True,
    )
    return np.clip(ops.convert_to_numpy(resized), 0.0, 1.0)


"""
## The model

One layer whose only weight is the picture. It returns that, whatever comes in.
A constraint keeps the pixels in (0, 1), and a regularizer asks for neighbors
that vary little, against noise that VGG16 does not mind.
"""


class BetweenZeroAndOne(keras.constraints.Constraint):
    def __call__(self, weight):
        return ops.clip(weight, 0.0, 1.0)


class Picture(keras.layers.Layer):
    """Returns its own weight."""

    def __init__(self, image, smoothness, **kwargs):
        super().__init__(**kwargs)
        variation = kp.TotalVariationLoss()
        self.image = self.add_weight(
            shape=(1, *image.shape),
            initializer=lambda shape, dtype: ops.cast(image[None], dtype),
            regularizer=lambda pixels: smoothness * variation(pixels, pixels),
            constraint=BetweenZeroAndOne(),
            name="pixels",
        )

    def call(self, inputs):
        del inputs
        return ops.convert_to_tensor(self.image)

    @property
    def pixels(self):
        """The picture as an array shaped (height, width, 3)."""
        return ops.convert_to_numpy(self.image)[0]


def build_model(image, smoothness):
    """Returns a model that receives anything and returns its picture."""
    anything = keras.Input((1,), batch_size=1, name="anything")
    picture = Picture(image, smoothness, name="picture")
    return keras.Model(anything, picture(anything), name="style_transfer")


class TheSameTarget(keras.utils.PyDataset):
    """What the loss is to compare the picture with, step for step."""

    def __init__(self, target, steps):
        super().__init__()
        self.target = target
        self.steps = steps

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        return np.zeros((1, 1), "float32"), self.target


"""
## The loss

The layers are those of Gatys et al., in VGG16 instead of VGG19; so is the
pooling by averages, which gives smoother pictures than VGG's own maximum. A
Gram matrix says nothing of places: the two pictures may differ in size.
"""

STYLE_LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]


def build_loss(style, style_weight):
    """Returns the loss: contents like the target, style like the picture."""
    return kp.PerceptualLoss(
        "vgg16",
        ["relu4_2"],
        style_layers=STYLE_LAYERS,
        style_image=style,
        style_weight=style_weight,
        gram_normalization="hw",
        pooling="average",
    )


def print_terms(title, loss, photograph, picture):
    """Prints what contents and style are worth, and their sum."""
    terms = {"content": 0.0, "style": 0.0}
    for name, value in loss.per_layer(photograph[None], picture[None]).items():
        terms[name.split("/")[0]] += float(value[0])
    listed = "".join(f"{name} {value:8.4f}   " for name, value in terms.items())
    print(f"{title:7}{listed}together {sum(terms.values()):8.4f}")


"""
## Pictures to look at
"""


class WritePicture(keras.callbacks.Callback):
    """Writes the picture after each epoch."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        pixels = self.model.get_layer("picture").pixels
        write(pixels, self.folder / f"epoch_{epoch + 1:02}.png")


def write(pixels, path):
    """Writes an array with values in (0, 1) as a picture."""
    keras.utils.save_img(path, 255.0 * pixels, scale=False)


def draw(panels, path):
    """Draws pictures side by side, equally high."""
    widths = [image.shape[1] / image.shape[0] for image in panels.values()]
    figure, axes = pyplot.subplots(
        1,
        len(panels),
        figsize=(3.2 * sum(widths), 3.5),
        width_ratios=widths,
        layout="constrained",
    )
    for axis, (title, image) in zip(axes, panels.items(), strict=True):
        axis.imshow(image)
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(path, dpi=72)
    pyplot.close(figure)


"""
## All of it
"""


def main():
    parser = argparse.ArgumentParser(
        description="Paints a photograph in the style of another picture."
    )
    parser.add_argument(
        "--content", type=pathlib.Path, help="photograph of your own"
    )
    parser.add_argument(
        "--style", type=pathlib.Path, help="picture of your own to learn from"
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("outputs/style_transfer"),
        help="the folder to write pictures to",
    )
    parser.add_argument(
        "--size", type=int, default=256, help="pixels of the longer side"
    )
    parser.add_argument(
        "--style-weight",
        type=float,
        default=30.0,
        help="more for more style, less for more of the photograph",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps, to see that it runs; its numbers mean nothing",
    )
    arguments = parser.parse_args()
    started = time.time()
    arguments.output.mkdir(parents=True, exist_ok=True)
    epochs, steps = (2, 3) if arguments.quick else (10, 20)
    size = 96 if arguments.quick else arguments.size

    read = keras.utils.load_img
    photograph = resize(
        read(arguments.content) if arguments.content else load_cat(), size
    )
    style = resize(
        read(arguments.style) if arguments.style else load_petals(), size
    )
    loss = build_loss(style, arguments.style_weight)
    target = ops.convert_to_numpy(loss.encode(photograph[None]))

    model = build_model(photograph, smoothness=1.0)
    schedule = keras.optimizers.schedules.CosineDecay(0.03, epochs * steps)
    model.compile(keras.optimizers.Adam(schedule), loss)
    model.fit(
        TheSameTarget(target, steps),
        epochs=epochs,
        callbacks=[
            kp.GradientSanityCallback(),
            WritePicture(arguments.output),
        ],
    )

    picture = model.get_layer("picture").pixels
    print_terms("before", loss, photograph, photograph)
    print_terms("after", loss, photograph, picture)
    write(picture, arguments.output / "picture.png")
    draw(
        {"photograph": photograph, "style": style, "both": picture},
        arguments.output / "comparison.png",
    )
    seconds = time.time() - started
    print(f"\nWrote pictures to {arguments.output} after {seconds:.0f} s")


if __name__ == "__main__":
    main()
