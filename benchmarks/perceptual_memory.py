"""The most memory that a process holds, with our losses and without.

Each figure is the peak resident size of a process of its own, which does
nothing else; the median of several. Two comparisons, on TensorFlow:

- training steps with PerceptualLoss by `fit`, and in the least loop that
  computes the same, written by hand for this network;
- one large pair of images compared by LPIPSMetric, in windows and at once.

    python benchmarks/perceptual_memory.py [--repeat 3]
"""

import argparse
import os
import statistics
import sys

from peaks import peak, print_peak

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STEPS = 3


def images(*shape):
    """Returns two batches of noise."""
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.uniform(size=shape).astype("float32") for _ in range(2)]


def small_model():
    """Returns what is trained: small beside the network of the loss."""
    import keras

    return keras.Sequential(
        [
            keras.layers.Input((None, None, 3)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )


def train(options, loss):
    """Trains for some steps."""
    x, y = images(options.batch, options.side, options.side, 3)
    model = small_model()
    model.compile("adam", loss=loss)
    for _ in range(STEPS):
        model.train_on_batch(x, y)


def train_with_nothing_else(options):
    """Trains with a loss on pixels: what else the process needs."""
    train(options, "mse")


def train_with_loss(options):
    """Trains with our loss."""
    from perceptual_loss import TAPS

    import keras_perceptual as kp

    train(options, kp.PerceptualLoss("vgg16", dict.fromkeys(TAPS, 1.0)))


def train_by_hand(options):
    """Trains in a loop of its own, with the same network and weights."""
    import keras
    import tensorflow as tf
    from perceptual_loss import frozen_network, handwritten_loss

    x, y = map(
        tf.constant, images(options.batch, options.side, options.side, 3)
    )
    model = small_model()
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    loss = handwritten_loss(frozen_network())

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(value, variables), variables)
        return value

    for _ in range(STEPS):
        float(step(x, y))


def compare(options, tile):
    """Compares one large pair of images."""
    import keras_perceptual as kp

    loss = kp.LPIPS(options.backbone)
    metric = kp.LPIPSMetric(loss, tile=tile)
    metric.update_state(*images(1, options.large, options.large, 3))
    print(f"value={float(metric.result()):.7f}", file=sys.stderr)


WORKERS = {
    "training, loss on pixels": train_with_nothing_else,
    "training, by hand": train_by_hand,
    "training, PerceptualLoss": train_with_loss,
    "metric, whole images": lambda options: compare(options, None),
    "metric, windows": lambda options: compare(options, options.tile),
}


def main():
    """Measures all and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--large", type=int, default=2048)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--backbone", default="alexnet")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        WORKERS[options.worker](options)
        print_peak()
        return

    found = {name: [] for name in WORKERS}
    for _ in range(options.repeat):
        for name in WORKERS:
            found[name].append(peak(*sys.argv[1:], "--worker", name))
    medians = {name: statistics.median(peaks) for name, peaks in found.items()}
    for name, peaks in found.items():
        print(
            f"{name:>26}: {medians[name]:6.0f} MB "
            f"({min(peaks):.0f} to {max(peaks):.0f})"
        )
    base, hand, loss, whole, tiled = medians.values()
    print(
        f"training of {options.batch} images of {options.side} x "
        f"{options.side}, PerceptualLoss / by hand: {loss / hand:.3f}; of what "
        f"a loss on pixels does not need: {(loss - base) / (hand - base):.3f}"
    )
    print(
        f"LPIPS, {options.backbone}, {options.large} x {options.large}, "
        f"windows of {options.tile} / whole images: {tiled / whole:.3f}"
    )


if __name__ == "__main__":
    main()
