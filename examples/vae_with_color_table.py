"""
Title: An autoencoder with a color table in its decoder
Author: keras_perceptual developers
Date created: 2026/11/22
Last modified: 2026/11/22
Description: A table in NumPy, which cannot be trained, and one that can.
Accelerator: None

## Introduction

A variational autoencoder squeezes small pictures into a few numbers and paints
them again from these. Its decoder ends in a table of colors: what it paints is
looked up in there, and the table is to be learned with the rest.

**First as many have written it.** SciPy can read from a table, and
`tf.numpy_function` takes SciPy into the graph. The pictures come out right.
But a gradient cannot pass: neither the table nor anything of the decoder ever
learns. Where no weight is left to train, Keras says "No gradients provided for
any variable"; here it warns and goes on, because the encoder still gets the
gradient of its own penalty, which drives all that it knows out of it.
`GradientSanityCallback` stops the first step and names the line.

**Then with `LookupColorLayer`**, which gives the same picture for the same
table, to the last digits, and has a gradient for the table and for what comes
before it.

`tf.numpy_function` is TensorFlow's. On PyTorch `keras.ops.convert_to_numpy` in
its place does the same harm. JAX has `jax.pure_callback`, and does no harm: it
refuses to differentiate it, with an error of its own, which is shown.

One run took a photograph on which nothing had been chosen from 10.17 dB to
21.33 dB; without a gradient the decoder would stay at the gray it begins with.
The table does not make the pictures better, and can make them worse. On another
photograph, while this was written, three epochs gave 20.3 dB without a table,
18.2 dB with one that is trained from the first step, and 20.1 dB with one that
is held still for the first epoch, as it is here.

The photographs come with scikit-image and scikit-learn. Nothing is downloaded.
"""

import argparse
import pathlib
import time

import keras
import numpy as np
import skimage.data
import sklearn.datasets
from keras import layers, ops
from matplotlib import pyplot
from scipy import ndimage

import keras_perceptual as kp

HELD_OUT = "coffee"
SIDE = 32
CODE = 64
TABLE = 9
NUM_DRAWN = 9

"""
## Data

Squares out of photographs at half their size, side by side and overlapping by
half, and the same mirrored.
"""


def load_photographs():
    """Returns photographs at half their size by name, in (0, 1)."""
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
    halved = {}
    for name, image in photographs.items():
        height, width = (side // 2 for side in image.shape[:2])
        image = image[: 2 * height, : 2 * width].astype("float32") / 255.0
        halved[name] = image.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    return halved


def cut_squares(image, step):
    """Returns squares of an image, each `step` pixels from the next."""
    height, width, _ = image.shape
    return np.stack(
        [
            image[top : top + SIDE, left : left + SIDE]
            for top in range(0, height - SIDE + 1, step)
            for left in range(0, width - SIDE + 1, step)
        ]
    )


"""
## The table in NumPy

It reads as a film tool does: from the entries around a color, in proportion.
The table is a weight, counted in the summary and saved in the file.
"""


def look_up_with_scipy(images, table):
    """Returns images in (0, 1) through a table, by trilinear interpolation."""
    places = np.moveaxis(images, -1, 0) * (len(table) - 1)
    channels = [
        ndimage.map_coordinates(table[..., channel], places, order=1)
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1).astype("float32")


class NumpyTable(layers.Layer):
    """What looks as if it could be trained."""

    def build(self, shape):
        """Makes the table that changes nothing."""
        entries = np.linspace(0, 1, TABLE, dtype="float32")
        grid = np.meshgrid(entries, entries, entries, indexing="ij")
        self.table = self.add_weight(
            name="table",
            shape=(TABLE, TABLE, TABLE, 3),
            initializer=lambda shape, dtype: ops.cast(
                np.stack(grid, -1), dtype
            ),
        )

    def call(self, images):
        """Returns the images in the colors of the table."""
        return LEAVE_THE_BACKEND[keras.backend.backend()](images, self.table)

    def compute_output_shape(self, shape):
        """Returns the shape of the images."""
        return shape


def with_tensorflow(images, table):
    import tensorflow as tf

    painted = tf.numpy_function(look_up_with_scipy, [images, table], tf.float32)
    return tf.ensure_shape(painted, images.shape)


def with_torch(images, table):
    images, table = ops.convert_to_numpy(images), ops.convert_to_numpy(table)
    return ops.convert_to_tensor(look_up_with_scipy(images, table))


def with_jax(images, table):
    import jax

    shape = jax.ShapeDtypeStruct(images.shape, images.dtype)
    return jax.pure_callback(look_up_with_scipy, shape, images, table.value)


LEAVE_THE_BACKEND = {
    "tensorflow": with_tensorflow,
    "torch": with_torch,
    "jax": with_jax,
}

"""
## The autoencoder

The encoder gives a mean and a spread for each number of the code, and in
training the code is drawn from these. The penalty on both is the divergence of
Kingma and Welling (2013), for pixels with a standard deviation of `NOISE`.
"""

NOISE = 0.1


@keras.saving.register_keras_serializable(package="vae_with_color_table")
class Sampling(layers.Layer):
    """Draws a code in training, and takes the mean elsewhere."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs, training=False):
        """Returns codes, and adds the penalty on what they are drawn from."""
        mean, log_variance = inputs
        divergence = 0.5 * ops.sum(
            ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0,
            axis=-1,
        )
        pixels = SIDE * SIDE * 3
        self.add_loss(ops.mean(divergence) * 2.0 * NOISE**2 / pixels)
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


def build_autoencoder(table):
    """Returns an autoencoder whose decoder ends in the given layer."""
    keras.utils.set_random_seed(0)
    decoder = keras.Sequential(
        [
            keras.Input((CODE,)),
            layers.Dense(4 * 4 * 64, activation="relu", name="unfold"),
            layers.Reshape((4, 4, 64)),
            *(
                layers.Conv2DTranspose(
                    filters,
                    4,
                    strides=2,
                    padding="same",
                    activation="relu",
                    name=f"paint_{filters}",
                )
                for filters in (64, 32, 16)
            ),
            layers.Conv2D(
                3, 3, padding="same", activation="sigmoid", name="ink"
            ),
            table,
        ],
        name="decoder",
    )
    images = keras.Input((SIDE, SIDE, 3), name="images")
    features = images
    for filters in (16, 32, 64):
        features = layers.Conv2D(
            filters,
            4,
            strides=2,
            padding="same",
            activation="relu",
            name=f"look_{filters}",
        )(features)
    features = layers.Flatten()(features)
    code = Sampling(name="sampling")(
        [
            layers.Dense(CODE, name="mean")(features),
            layers.Dense(CODE, name="log_variance")(features),
        ]
    )
    return keras.Model(images, decoder(code), name="autoencoder")


def train(autoencoder, images, epochs, batch_size=32):
    """Trains for some epochs, while the learning rate falls to zero."""
    steps = epochs * -(-len(images) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, decay_steps=steps)
    autoencoder.compile(keras.optimizers.Adam(schedule), "mse")
    autoencoder.fit(
        images,
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[kp.GradientSanityCallback()],
    )


"""
## What becomes of the one in NumPy
"""


def try_numpy(images):
    """Prints what is said of a table that NumPy reads from."""
    print("\nWith the table in NumPy:\n")
    try:
        train(build_autoencoder(NumpyTable(name="table")), images, epochs=1)
    except kp.GradientSanityError as error:
        said = str(error)
    except ValueError as error:
        if keras.backend.backend() != "jax":
            raise
        # Before there is a gradient that the callback could look at.
        said = f"JAX itself refuses:\n{error}"
    else:
        raise SystemExit("It was not noticed.")
    print("\n".join(f"    {line}" for line in said.splitlines()))


def compare_tables(images):
    """Prints how far the two tables are apart in what they give."""
    layer = kp.LookupColorLayer(TABLE)
    random = np.random.default_rng(0)
    table = random.random((TABLE, TABLE, TABLE, 3), "float32")
    layer.set_table(table)
    ours = ops.convert_to_numpy(layer(images))
    largest = np.max(np.abs(ours - look_up_with_scipy(images, table)))
    if largest > 1e-5:
        raise SystemExit(f"The layer gives other colors: {largest}")
    print(
        "\nFor a table of noise, LookupColorLayer gives the same colors as "
        f"SciPy: the largest difference is {largest:.0e}."
    )


"""
## The one that learns

For the first epoch the table is held still. A decoder that has learned nothing
yet paints everything in much the same gray; a table that is trained at once
turns this gray into the average of all pictures, and takes the differences away
by which the decoder is to learn.
"""


def decibels(truth, images):
    """Returns the peak signal-to-noise ratio, of which more is better."""
    return float(-10.0 * np.log10(np.mean((truth - images) ** 2)))


def save_and_reload(autoencoder, path, images):
    """Saves the autoencoder and makes sure that it can be had back."""
    autoencoder.save(path)
    expected = autoencoder.predict(images, verbose=0)
    found = keras.models.load_model(path).predict(images, verbose=0)
    if not np.allclose(found, expected, atol=1e-6):
        raise SystemExit("The loaded autoencoder gives other pictures.")
    print(
        f"Saved and loaded again ({path.stat().st_size / 1e6:.1f} MB): "
        "the same pictures"
    )


def draw_rows(rows, table, path):
    """Draws rows of pictures, and the table beside them."""
    figure = pyplot.figure(figsize=(13, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[2.1, 1])
    axes = left.subplots(len(rows), len(next(iter(rows.values()))))
    for row, (title, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(row, images, strict=True):
            axis.imshow(np.clip(image, 0.0, 1.0))
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(title)
    table.plot(axes=right.add_subplot(projection="3d"))
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


"""
## All of it
"""


def main():
    parser = argparse.ArgumentParser(
        description="Trains an autoencoder with a color table."
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("outputs/vae_with_color_table.png"),
        help="the picture to write; the model goes beside it",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps, to see that it runs; its numbers mean nothing",
    )
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()

    photographs = load_photographs()
    held_out = cut_squares(photographs.pop(HELD_OUT), SIDE)
    squares = np.concatenate(
        [cut_squares(image, SIDE // 4) for image in photographs.values()]
    )
    squares = np.concatenate([squares, squares[:, :, ::-1]])
    squares = np.random.default_rng(0).permutation(squares)
    if arguments.quick:
        squares = squares[:320]

    try_numpy(squares[:64])
    compare_tables(held_out)

    table = kp.LookupColorLayer(
        TABLE, table_regularizer=kp.TableSmoothness(1.0, order=2), name="table"
    )
    autoencoder = build_autoencoder(table)
    (identity,) = table.get_weights()
    before = autoencoder.predict(held_out, verbose=0)
    print("\nWith LookupColorLayer, which is held still at first:")
    table.trainable = False
    train(autoencoder, squares, epochs=1)
    print("\nWith all that it has:")
    table.trainable = True
    train(autoencoder, squares, epochs=1 if arguments.quick else 3)
    after = autoencoder.predict(held_out, verbose=0)
    moved = np.abs(table.get_weights()[0] - identity)
    print(
        f"\n{HELD_OUT}, which was held out: "
        f"{decibels(held_out, before):.2f} dB before, "
        f"{decibels(held_out, after):.2f} dB after.\n"
        f"Entries of the table have moved by {moved.mean():.3f} on average, "
        f"by {moved.max():.3f} at most."
    )

    saved_to = arguments.output.with_suffix(".keras")
    save_and_reload(autoencoder, saved_to, held_out)
    codes = np.random.default_rng(1).normal(size=(NUM_DRAWN, CODE))
    shown = np.linspace(0, len(held_out) - 1, NUM_DRAWN).astype(int)
    draw_rows(
        {
            "photograph": held_out[shown],
            "before": before[shown],
            "after": after[shown],
            "made up": autoencoder.get_layer("decoder").predict(
                codes, verbose=0
            ),
        },
        table,
        arguments.output,
    )
    seconds = time.time() - started
    print(f"Wrote {arguments.output} and {saved_to} after {seconds:.0f} s")


if __name__ == "__main__":
    main()
