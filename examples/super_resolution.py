"""
Title: Sharp photographs from small, faded ones
Author: keras_perceptual developers
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Two networks, a pixel loss and a perceptual one, and who wins.
Accelerator: None

## Introduction

A photograph comes in at half its size and faded: low in contrast, pale, with a
yellow cast. A network has to give back the original. Two questions decide how
good the result looks.

**What does the loss ask for?** A pixel loss asks for the average of all
pictures that could have been there, and the average of all ways in which fur
can lie is a smear. `PerceptualLoss` compares what a recognition network sees,
`SobelGradientLoss` compares edges, and a little of the pixel loss keeps the
colors in place.

**Who undoes the fading?** It is the same map from color to color at every
pixel. That is what `LookupColorLayer` is: a cube of colors, indexed by red,
green and blue, which starts as the identity and is trained with the network
before it. The convolutions are then free for what depends on the neighbors:
trained on pixels for as many steps, this network ends one decibel higher with
the table than without (33.0 against 32.0).

`GradientSanityCallback` watches the first steps and stops the training if some
weight cannot learn. Two networks are trained from the same start, for the same
number of steps, on the same crops: one on pixels alone, one on all three
losses. A photograph that neither has seen decides between them, and the judge
is not the network that was trained on: distances are measured with AlexNet.

The photographs come with scikit-image and scikit-learn. Nothing is downloaded.
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

import keras_perceptual

SCALE = 2
HELD_OUT = "chelsea"
# Top, left, height and width of the part of it that is drawn.
ZOOM = (10, 95, 100, 140)

"""
## Data

Six photographs to learn from, one to be judged on. Some of them have an odd
number of rows or columns, which half the size cannot give back: the last row or
column is left out.
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


def fade(images):
    """Makes colors pale, contrast low and the whole a little yellow."""
    luminance = images @ np.array([0.299, 0.587, 0.114], "float32")
    images = 0.55 * images + 0.45 * luminance[..., None]
    darkest = np.array([0.24, 0.20, 0.22], "float32")
    brightest = np.array([0.92, 0.86, 0.72], "float32")
    return darkest + (brightest - darkest) * images**0.85


def shrink_and_fade(images):
    """Returns what the network receives: half the size, faded, in 8 bits."""
    height, width = images.shape[1] // SCALE, images.shape[2] // SCALE
    small = ops.image.resize(
        images, (height, width), interpolation="bicubic", antialias=True
    )
    small = np.clip(ops.convert_to_numpy(small), 0.0, 1.0)
    return np.round(fade(small) * 255.0).astype("float32") / 255.0


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
## The network

A few residual blocks at the small size, then two convolutions at the full one.
Their result is added to the bicubic enlargement, so that the network begins as
that and learns only what is missing. The features are enlarged by repeating
each of them: layers that turn channels into pixels tend to leave a checkerboard
behind, to which feature losses are rather blind. The last layer is the color
table.
"""


def build_network(filters=32, blocks=4, table_size=9):
    """Returns a network for faded images of any size."""
    inputs = keras.Input((None, None, 3), name="small_and_faded")
    features = keras.layers.Conv2D(
        filters, 5, padding="same", activation="relu"
    )(inputs)
    for _ in range(blocks):
        change = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu"
        )(features)
        change = keras.layers.Conv2D(filters, 3, padding="same")(change)
        features = keras.layers.Add()([features, change])
    features = keras.layers.UpSampling2D(SCALE)(features)
    features = keras.layers.Conv2D(
        filters // 2, 3, padding="same", activation="relu"
    )(features)
    details = keras.layers.Conv2D(
        3,
        3,
        padding="same",
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
    )(features)
    enlarged = keras.layers.UpSampling2D(SCALE, interpolation="bicubic")(inputs)
    faded = keras.layers.Add()([enlarged, details])
    outputs = keras_perceptual.LookupColorLayer(table_size, name="color_table")(
        faded
    )
    return keras.Model(inputs, outputs, name="super_resolution")


"""
## The loss

Pixels, edges and three taps of VGG16. The shallow taps are what texture is made
of; deeper ones add little here and cost as much again. The weights of the taps
make them count about alike.
"""


def photograph_loss():
    """Pixels for the colors, edges for outlines, features for textures."""
    features = keras_perceptual.PerceptualLoss(
        "vgg16", {"relu1_2": 0.57, "relu2_2": 0.11, "relu3_3": 0.07}
    )
    return keras_perceptual.WeightedSumLoss(
        {
            "pixels": keras.losses.MeanAbsoluteError(),
            "edges": (keras_perceptual.SobelGradientLoss(), 0.05),
            "features": (features, 0.3),
        }
    )


"""
## Training

Both networks share a first part on pixels, in which the colors are found and
which costs little. Then they part: the same steps at the same learning rates on
the same crops, and only the loss differs.
"""


def train(network, loss, crops, learning_rate, batch_size=8):
    """Sees each crop once, while the learning rate falls to zero."""
    keras.utils.set_random_seed(0)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate, decay_steps=len(crops) // batch_size
    )
    terms = []
    if isinstance(loss, keras_perceptual.WeightedSumLoss):
        terms = [keras_perceptual.LossTerms(loss)]
    network.compile(keras.optimizers.Adam(schedule), loss, metrics=terms)
    network.fit(
        shrink_and_fade(crops),
        crops,
        batch_size=batch_size,
        callbacks=[keras_perceptual.GradientSanityCallback()],
    )


"""
## Judging

Decibels say how close the pixels are on average, which is what the pixel loss
asks for. The distance in the feature space of AlexNet, a network that took no
part in the training, says how alike two pictures look.
"""


def enlarge(images, size):
    """Returns the bicubic enlargement."""
    enlarged = ops.image.resize(images, size, interpolation="bicubic")
    return ops.convert_to_numpy(enlarged)


def in_eight_bits(images):
    """Returns images as they would come back from a file."""
    return np.round(255.0 * np.clip(images, 0.0, 1.0)) / 255.0


def peak_signal_to_noise_ratio(truth, images):
    """Returns decibels, of which more is better."""
    return float(-10.0 * np.log10(np.mean((truth - images) ** 2)))


def print_table(truth, images):
    """Prints what each picture is worth, and what the gain has cost."""
    judge = keras_perceptual.PerceptualLoss("alexnet", normalize_features=True)
    decibels = {
        name: peak_signal_to_noise_ratio(truth, image)
        for name, image in images.items()
    }
    distances = {
        name: float(judge(truth, image)) for name, image in images.items()
    }
    print(f"\nHeld-out photograph: {HELD_OUT}")
    print(f"{'':24}{'PSNR, dB':>10}{'AlexNet distance':>18}")
    for name in images:
        print(f"{name:24}{decibels[name]:10.2f}{distances[name]:18.4f}")
    pixel, ours = "pixel loss", "perceptual loss"
    closer = 100.0 * (1.0 - distances[ours] / distances[pixel])
    gained = decibels[ours] - decibels[pixel]
    print(
        f"Against the pixel loss, the perceptual loss is {abs(closer):.0f} % "
        f"{'closer to' if closer > 0 else 'farther from'} the truth for "
        f"AlexNet, and {'gains' if gained > 0 else 'costs'} "
        f"{abs(gained):.2f} dB."
    )


def draw_comparison(panels, path):
    """Draws the same part of four pictures, enlarged."""
    top, left, height, width = ZOOM
    figure, axes = pyplot.subplots(
        2, 2, figsize=(10, 7.6), layout="constrained"
    )
    for axis, (title, image) in zip(axes.flat, panels.items(), strict=True):
        axis.imshow(
            image[top : top + height, left : left + width],
            interpolation="bicubic",
        )
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


"""
## Saving

The file holds the network, its optimizer and the configuration of the loss. The
weights of VGG16 are not in it: they are in the package.
"""


def save_and_reload(network, path, images):
    """Saves the network and makes sure that it can be had back."""
    network.save(path)
    expected = network.predict(images, verbose=0)
    found = keras.models.load_model(path).predict(images, verbose=0)
    if not np.allclose(found, expected, atol=1e-6):
        raise SystemExit("The loaded network gives another picture.")
    print(
        f"\nSaved and loaded again ({path.stat().st_size / 1e6:.1f} MB): "
        "the same picture"
    )


"""
## All of it
"""


def main():
    parser = argparse.ArgumentParser(
        description="Trains two super-resolution networks and compares them."
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("outputs/super_resolution.png"),
        help="the picture to write; the model goes beside it",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps, to see that it runs; its numbers mean nothing",
    )
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)

    num_shared, num_crops = (32, 32) if arguments.quick else (12000, 3200)
    started = time.time()

    photographs = load_photographs()
    truth = photographs.pop(HELD_OUT)[None]
    small = shrink_and_fade(truth)
    crops = cut_crops(list(photographs.values()), num_shared + num_crops)

    print("\nBoth networks, on pixels:")
    shared = build_network()
    train(shared, "mean_absolute_error", crops[:num_shared], 1e-3)
    networks = {}
    for name, loss in {
        "pixel loss": "mean_absolute_error",
        "perceptual loss": photograph_loss(),
    }.items():
        print(f"\n{name}, from there:")
        networks[name] = build_network()
        networks[name].set_weights(shared.get_weights())
        train(networks[name], loss, crops[num_shared:], 1e-3)

    bicubic = enlarge(small, truth.shape[1:3])
    images = {"bicubic": bicubic}
    for name, network in networks.items():
        images[name] = network.predict(small, verbose=0)
    images = {name: in_eight_bits(image) for name, image in images.items()}
    print_table(truth, images)

    saved_to = arguments.output.with_suffix(".keras")
    save_and_reload(networks["perceptual loss"], saved_to, small)
    draw_comparison(
        {
            "input, enlarged": images["bicubic"][0],
            "truth": truth[0],
            "trained on pixels": images["pixel loss"][0],
            "trained on three losses": images["perceptual loss"][0],
        },
        arguments.output,
    )
    seconds = time.time() - started
    print(f"\nWrote {arguments.output} and {saved_to} after {seconds:.0f} s")


if __name__ == "__main__":
    main()
