"""
Title: Super-resolution with a GAN
Author: keras_perceptual developers
Date created: 2026/11/22
Last modified: 2026/11/22
Description: A custom training step with two optimizers, a perceptual loss and
    a discriminator, watched by the gradient callback.
Accelerator: None

## Introduction

Of four pixels, three have to be invented. A pixel loss invents the average of
all that could have been there, which is a blur. SRGAN (Ledig et al. 2017) asks
for three things at once:

- **pixels**, so that colors and outlines stay where they are;
- **features**: what VGG16 sees, compared by `PerceptualLoss`;
- **an adversary**: a second network learns to tell photographs from enlarged
  ones, and the first one learns to be taken for a photograph.

Two networks with an optimizer each do not fit in `compile(optimizer, loss)`. As
usual in Keras, a model of its own has a `train_step` that trains one and then
the other. That step is written for TensorFlow, whose tape it uses.

`GradientSanityCallback` needs to know nothing of this: it looks at what each
optimizer is handed, and stops the training where a weight of either network
gets no gradient, as when the generator's gradient is cut off by mistake.

The photographs come with scikit-image and scikit-learn. Nothing is downloaded.

## Reference

C. Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a
Generative Adversarial Network", CVPR 2017.
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

if keras.backend.backend() != "tensorflow":
    raise SystemExit(
        "The training step of this example is written for TensorFlow. Run it "
        "with KERAS_BACKEND=tensorflow; the losses and the callback run on "
        "any backend, as in examples/super_resolution.py. Received: "
        f"KERAS_BACKEND={keras.backend.backend()}"
    )

import tensorflow as tf

SCALE = 2
HELD_OUT = "chelsea"
# Top, left and side of the part of it that is drawn enlarged.
ZOOM = (70, 110, 112)

"""
## Data
"""


def load_photographs():
    """Returns photographs by name: arrays (height, width, 3) in (0, 1)."""
    china, flower = sklearn.datasets.load_sample_images().images
    photographs = {
        "astronaut": skimage.data.astronaut(),
        "chelsea": skimage.data.chelsea(),
        "china": china,
        "coffee": skimage.data.coffee(),
        "flower": flower,
        "motorcycle": skimage.data.stereo_motorcycle()[0],
        "rocket": skimage.data.rocket(),
    }
    return {
        name: image[
            : image.shape[0] // SCALE * SCALE,
            : image.shape[1] // SCALE * SCALE,
        ].astype("float32")
        / 255.0
        for name, image in photographs.items()
    }


def shrink(images):
    """Returns images of half the size, in 8 bits."""
    size = [side // SCALE for side in images.shape[1:3]]
    small = ops.image.resize(
        images, size, interpolation="bicubic", antialias=True
    )
    return in_eight_bits(ops.convert_to_numpy(small))


def enlarge(images, size):
    """Returns the bicubic enlargement."""
    enlarged = ops.image.resize(images, size, interpolation="bicubic")
    return in_eight_bits(ops.convert_to_numpy(enlarged))


def in_eight_bits(images):
    """Returns images as they would come back from a file."""
    images = np.clip(images, 0.0, 1.0)
    return np.round(255.0 * images).astype("float32") / 255.0


def cut_crops(photographs, number, size=48, seed=0):
    """Cuts squares out of the photographs, in turn, some of them mirrored."""
    random = np.random.default_rng(seed)
    crops = []
    for index in range(number):
        photograph = photographs[index % len(photographs)]
        top = random.integers(0, photograph.shape[0] - size + 1)
        left = random.integers(0, photograph.shape[1] - size + 1)
        crop = photograph[top : top + size, left : left + size]
        crops.append(crop[:, ::-1] if random.random() < 0.5 else crop)
    return np.stack(crops)


"""
## The networks

The generator adds details to the bicubic enlargement. Its features are enlarged
by repeating each of them: layers that turn channels into pixels tend to leave a
checkerboard behind.

The discriminator judges details alone: what is left of an image when the mean
around each pixel is taken away, ten times as large. For the rest there is the
pixel loss. Shown whole images, it still guesses after eighty steps; shown their
details, it knows a photograph from a smooth enlargement by then. It gives a
score to each part of an image, so that every crop is many examples.
"""


def convolve(filters, size=3, **kwargs):
    """Returns a convolution that keeps height and width."""
    return keras.layers.Conv2D(
        filters,
        size,
        padding="same",
        kernel_initializer=kwargs.pop("kernel_initializer", "he_normal"),
        **kwargs,
    )


def build_generator(filters=32, blocks=5):
    """Returns a network for small images of any size."""
    inputs = keras.Input((None, None, 3), name="small")
    features = convolve(filters, 5, activation="leaky_relu")(inputs)
    for _ in range(blocks):
        change = convolve(filters, activation="leaky_relu")(features)
        change = convolve(filters, kernel_initializer="glorot_uniform")(change)
        features = keras.layers.Add()([features, change])
    features = keras.layers.UpSampling2D(SCALE)(features)
    features = convolve(filters, activation="leaky_relu")(features)
    details = convolve(
        3, kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3)
    )(features)
    enlarged = keras.layers.UpSampling2D(SCALE, interpolation="bicubic")(inputs)
    outputs = keras.layers.Add()([enlarged, details])
    return keras.Model(inputs, outputs, name="generator")


def build_discriminator(filters=32):
    """Returns a network that scores the parts of an image."""
    inputs = keras.Input((None, None, 3), name="image")
    around = keras.layers.AveragePooling2D(3, strides=1, padding="same")(inputs)
    details = keras.layers.Subtract()([inputs, around])
    x = keras.layers.Rescaling(10.0)(details)
    x = convolve(filters, activation="leaky_relu")(x)
    for factor in (2, 4):
        x = convolve(factor * filters, 4, strides=2, activation="leaky_relu")(x)
        x = convolve(factor * filters, activation="leaky_relu")(x)
    return keras.Model(inputs, convolve(1)(x), name="discriminator")


"""
## The training step

First the discriminator learns from photographs and from what the generator
makes of their small versions, then the generator learns from its three losses.
Their means go to the progress bar.
"""


class AdversarialModel(keras.Model):
    """A generator and its adversary, trained in turn.

    Args:
        generator: Model from small images to large ones.
        discriminator: Model from images to scores, high for photographs.
        losses: Dictionary from names to pairs of a loss between the large
            images and its weight.
        adversarial_weight: Float, what it is worth to pass as a photograph.
    """

    def __init__(self, generator, discriminator, losses, adversarial_weight):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.losses_of_images = losses
        self.adversarial_weight = adversarial_weight
        self.cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
        self.means = {
            name: keras.metrics.Mean(name)
            for name in (*losses, "adversarial", "discriminator")
        }

    def compile(self, generator_optimizer, discriminator_optimizer):
        super().compile()
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer

    @property
    def metrics(self):
        return list(self.means.values())

    def call(self, images):
        return self.generator(images)

    def says(self, photograph, scores):
        """Returns how far scores are from a verdict."""
        verdict = ops.ones_like if photograph else ops.zeros_like
        return self.cross_entropy(verdict(scores), scores)

    def train_step(self, data):
        small, large = data
        made = self.generator(small, training=True)
        with tf.GradientTape() as tape:
            real = self.discriminator(large, training=True)
            fake = self.discriminator(made, training=True)
            found_out = self.says(True, real) + self.says(False, fake)
        apply(self.discriminator_optimizer, self.discriminator, tape, found_out)

        with tf.GradientTape() as tape:
            made = self.generator(small, training=True)
            values = {
                name: weight * loss(large, made)
                for name, (loss, weight) in self.losses_of_images.items()
            }
            values["adversarial"] = self.adversarial_weight * self.says(
                True, self.discriminator(made, training=True)
            )
            total = sum(values.values())
        apply(self.generator_optimizer, self.generator, tape, total)

        for name, value in {**values, "discriminator": found_out}.items():
            self.means[name].update_state(value)
        return {name: mean.result() for name, mean in self.means.items()}


def apply(optimizer, network, tape, loss):
    """Lets an optimizer take a step."""
    variables = network.trainable_variables
    gradients = tape.gradient(loss, variables)
    optimizer.apply(gradients, variables)


"""
## Judging
"""


def print_table(truth, images):
    """Prints decibels, and the distance for a network that judges only."""
    judge = kp.PerceptualLoss("alexnet", normalize_features=True)
    print(f"\nHeld-out photograph: {HELD_OUT}")
    print(f"{'':20}{'PSNR, dB':>10}{'AlexNet distance':>18}")
    for name, image in images.items():
        decibels = -10.0 * np.log10(np.mean((truth - image) ** 2))
        distance = float(judge(truth, image))
        print(f"{name:20}{decibels:10.2f}{distance:18.4f}")


def draw_comparison(panels, path):
    """Draws a part of each picture."""
    top, left, side = ZOOM
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(3 * len(panels), 3.3), layout="constrained"
    )
    for axis, (title, image) in zip(axes, panels.items(), strict=True):
        axis.imshow(
            image[top : top + side, left : left + side],
            interpolation="nearest",
        )
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


"""
## All of it

The generator starts from a training on pixels alone, as in the paper: an
adversary of an untrained network learns nothing that is worth knowing.
"""


def main():
    parser = argparse.ArgumentParser(
        description="Trains a generator against a discriminator."
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("outputs/gan_super_resolution.png"),
        help="the picture to write",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps, to see that it runs; its numbers mean nothing",
    )
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    num_pixels, num_crops = (32, 32) if arguments.quick else (8000, 2400)
    started = time.time()
    keras.utils.set_random_seed(0)

    photographs = load_photographs()
    truth = photographs.pop(HELD_OUT)[None]
    small = shrink(truth)
    crops = cut_crops(list(photographs.values()), num_pixels + num_crops)
    small_crops = shrink(crops)

    print("\nThe generator, on pixels:")
    generator = build_generator()
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, num_pixels // 8)
    generator.compile(keras.optimizers.Adam(schedule), "mean_absolute_error")
    generator.fit(small_crops[:num_pixels], crops[:num_pixels], batch_size=8)
    images = {
        "bicubic": enlarge(small, truth.shape[1:3]),
        "pixel loss": in_eight_bits(generator.predict(small, verbose=0)),
    }

    print("\nBoth networks, in turn:")
    features = kp.PerceptualLoss(
        "vgg16", {"relu1_2": 0.57, "relu2_2": 0.11, "relu3_3": 0.07}
    )
    model = AdversarialModel(
        generator,
        build_discriminator(),
        {
            "pixels": (keras.losses.MeanAbsoluteError(), 1.0),
            "perceptual": (features, 0.2),
        },
        adversarial_weight=0.01,
    )
    schedule = keras.optimizers.schedules.CosineDecay(5e-4, num_crops // 8)
    model.compile(
        generator_optimizer=keras.optimizers.Adam(schedule, beta_1=0.5),
        discriminator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
    )
    model.fit(
        small_crops[num_pixels:],
        crops[num_pixels:],
        batch_size=8,
        callbacks=[kp.GradientSanityCallback()],
    )
    images["with an adversary"] = in_eight_bits(
        generator.predict(small, verbose=0)
    )

    print_table(truth, images)
    draw_comparison(
        {name: image[0] for name, image in {**images, "truth": truth}.items()},
        arguments.output,
    )
    seconds = time.time() - started
    print(f"\nWrote {arguments.output} after {seconds:.0f} s")


if __name__ == "__main__":
    main()
