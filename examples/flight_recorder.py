"""
Title: A training that breaks at night
Author: keras_perceptual developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Three faults begin in the middle of a training, and are found.
Accelerator: None

## Introduction

A training runs for hours, and in the morning the loss is NaN, or has not moved
since midnight. By then it is too late to look: the batch is gone, and the
weights are what the fault has made of them.

`GradientMonitor` records a training as a flight recorder does. Here, a small
network takes noise out of images, three times, and each time something else
goes wrong on the way:

1. One image of the data is black. The network divides by the contrast of each
   image, which is zero there.
2. Somebody wrote `1.0` for `1e-3` in the schedule of the learning rate.
3. A layer dies: its ReLU returns zeros for all images from some step on.

Each time, the monitor says what happened, where and when, and keeps the step in
a folder. The first one is run again from there, in a model that was never
trained, and shows the image that did it.

A few seconds on a CPU, on any backend. Nothing is downloaded:

    pip install -e ".[examples]"
    python examples/flight_recorder.py
"""

import argparse
import pathlib
import tempfile
import warnings

import keras
import numpy as np
from keras import layers, ops
from matplotlib import pyplot

import keras_perceptual as kp

BATCH = 8
SIZE = 16

"""
## Data

Smooth images, and the same with noise. One of 128 can be made black.
"""


def make_images(black=None):
    """Returns images with noise, and without.

    Args:
        black: The number of an image to make black, or `None`.
    """
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0.1, 1.0, (128, 4, 4, 1)).astype("float32")
    clean = ops.image.resize(coarse, (SIZE, SIZE), data_format="channels_last")
    clean = ops.convert_to_numpy(clean)
    noisy = clean + generator.normal(0, 0.1, clean.shape).astype("float32")
    if black is not None:
        noisy[black] = 0.0
    return noisy, clean


"""
## Model

The network sees each image with a mean of zero and a contrast of one. That is
the line with the first fault: a black image has no contrast.
"""


class Normalize(layers.Layer):
    """Gives each image the same brightness and contrast."""

    def call(self, images):
        """Returns the images, normalized."""
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        contrast = ops.std(images, axis=(1, 2, 3), keepdims=True)
        return (images - mean) / contrast


def build_model(rate=1e-3):
    """Returns a compiled network, always with the same first weights."""
    keras.utils.set_random_seed(0)
    settings = {"padding": "same", "data_format": "channels_last"}
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            Normalize(name="normalize"),
            layers.Conv2D(8, 3, activation="relu", name="first", **settings),
            layers.Conv2D(8, 3, activation="relu", name="second", **settings),
            layers.Conv2D(1, 3, name="out", **settings),
        ],
        name="denoiser",
    )
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


"""
## Recording

Every second step is read, which is often: the default is one in a hundred. What
the monitor has to say comes as a warning, which is printed here.
"""


def record(model, data, epochs, *others):
    """Trains a model, prints what was said, and returns the monitor."""
    monitor = kp.GradientMonitor(every=2, log_dir=tempfile.mkdtemp())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(
            *data,
            batch_size=BATCH,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[*others, monitor],
        )
    for warning in said:
        if "GradientMonitor" in str(warning.message):
            lines = str(warning.message).splitlines()
            print("\n".join(f"    {line}" for line in lines))
    return monitor


def black_image(epochs):
    """Returns the step that broke, run again from its folder."""
    monitor = record(build_model(), make_images(black=77), epochs)
    step = kp.replay(monitor.incident_folder, build_model())
    print(
        f"  Run again: step {step.step}, sample {step.samples}, every bit the "
        f"same: {step.same}"
    )
    return step


def wrong_schedule(epochs):
    """Returns the monitor of a training whose learning rate leaps."""
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [BATCH * epochs], [1e-3, 1.0]
    )
    return record(build_model(rate), make_images(), epochs)


class Kill(keras.callbacks.Callback):
    """Closes a ReLU for good, as one step that is too large does."""

    def on_epoch_begin(self, epoch, logs=None):
        """Lowers a bias, once."""
        if epoch == 1:
            bias = self.model.get_layer("second").bias
            bias.assign(bias - 50.0)


def dead_layer(epochs):
    """Returns the monitor of a training in which a layer dies."""
    return record(build_model(), make_images(), epochs, Kill())


"""
## Looking at it

Above, the batch of the step that broke, with a frame around the image that did
it. In the middle, how much of each variable a step changes: the schedule leaps
where all of them turn bright. Below, the share of dead units.
"""


def draw(step, leapt, died, path):
    """Draws all three into one picture."""
    figure, rows = pyplot.subplots(
        3, 1, figsize=(9, 8), layout="constrained", height_ratios=(1, 2, 1)
    )
    images = step.batches[0][0][..., 0]
    strip = np.pad(images, ((0, 0), (1, 1), (1, 1)), constant_values=1.0)
    rows[0].imshow(np.hstack(list(strip)), cmap="gray", vmin=0, vmax=1)
    for sample in step.samples:
        corner = sample * (SIZE + 2) - 0.5, -0.5
        frame = pyplot.Rectangle(
            corner, SIZE + 2, SIZE + 2, fill=False, color="red", linewidth=3
        )
        rows[0].add_patch(frame)
    rows[0].set_title(f"The batch of step {step.step}, and the image to blame")
    rows[0].set_axis_off()
    leapt.plot("update", rows[1])
    rows[1].set_title("A learning rate that was raised a thousandfold")
    died.plot("dead", rows[2])
    rows[2].set_title("A layer that died")
    figure.savefig(path, dpi=100)


def main():
    """Plants the three faults and draws what was recorded."""
    parser = argparse.ArgumentParser(
        description="Three faults in the middle of a training, and their place."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="three epochs of each training in place of eight",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("outputs/flight_recorder.png"),
        help="the picture to write",
    )
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    epochs = 3 if arguments.quick else 8
    print("1. A black image")
    step = black_image(epochs)
    print("2. A wrong schedule")
    leapt = wrong_schedule(epochs)
    print("3. A dead layer")
    died = dead_layer(epochs)
    draw(step, leapt, died, arguments.output)
    print(f"Drawn into {arguments.output}")


"""
## Conclusion

A training that is recorded is the same as one that is not, to the last bit. The
folders in `log_dir` hold the batch, the weights and the state of the optimizer
before the step: `keras_perceptual.replay` runs it again on another machine with
the same code, as often as it takes to mend the line.
"""

if __name__ == "__main__":
    main()
