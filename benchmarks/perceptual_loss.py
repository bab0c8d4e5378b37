"""PerceptualLoss against the least code that computes the same.

The rival is written by hand for one network: two passes through VGG16 cut off
behind the deepest tap, the target's stopped, and the gradient with respect to
the image alone. Ours runs with its check of the range of the images, without
it, and on targets encoded before. All run in graph mode on TensorFlow, in one
process, round by round in turn, so that what else the machine does hits all.
Printed are the convolutions that each needs, counted in the traced graphs, and
the ratios of the times.

    python benchmarks/perceptual_loss.py --rounds 30
"""

import argparse
import collections
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_perceptual as kp
from keras_perceptual.features import weights_loading

TAPS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3")


def frozen_network():
    """Returns VGG16 with the weights of the package, cut off."""
    full = keras.applications.VGG16(include_top=False, weights=None)
    arrays = weights_loading.read_packaged("vgg16.npz")
    weights_loading.assign(full, arrays, "the package")
    network = keras.Model(
        full.inputs[0], [full.get_layer(name).output for name in TAPS]
    )
    network.trainable = False
    return network


def handwritten_loss(network):
    """The loss as a person would write it for this case only."""
    mean = tf.constant([0.485, 0.456, 0.406])
    deviation = tf.constant([0.229, 0.224, 0.225])

    def loss(y_true, y_pred):
        true = network((y_true - mean) / deviation, training=False)
        pred = network((y_pred - mean) / deviation, training=False)
        return tf.add_n(
            [
                tf.reduce_mean(tf.square(tf.stop_gradient(x) - y))
                for x, y in zip(true, pred, strict=True)
            ]
        )

    return loss


def graph_step(loss):
    """Returns a traced function: the loss and its gradient by the image."""

    @tf.function
    def step(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    return step


def needed_convolutions(step, *arguments):
    """Counts the convolutions that the outputs of a step depend on."""
    graph = step.get_concrete_function(*arguments).graph
    waiting = [output.op for output in graph.outputs]
    seen = set(waiting)
    while waiting:
        op = waiting.pop()
        for source in (*(x.op for x in op.inputs), *op.control_inputs):
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    kinds = collections.Counter(op.type for op in seen)
    return {kind: n for kind, n in sorted(kinds.items()) if "Conv" in kind}


def seconds(step, *arguments):
    """Returns how long one step takes."""
    start = time.perf_counter()
    value, gradient = step(*arguments)
    float(value)
    gradient.numpy()
    return time.perf_counter() - start


def main():
    """Measures all in turn and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=128)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    shape = (options.batch, options.side, options.side, 3)
    images = [
        tf.constant(rng.uniform(size=shape).astype("float32")) for _ in range(2)
    ]
    taps = dict.fromkeys(TAPS, 1.0)
    loss = kp.PerceptualLoss("vgg16", taps)
    unchecked = kp.PerceptualLoss("vgg16", taps, check_range="off")
    by_hand = handwritten_loss(frozen_network())

    y_true, y_pred = images
    cases = {
        "by hand": (graph_step(by_hand), y_true, y_pred),
        "PerceptualLoss": (graph_step(loss), y_true, y_pred),
        "check_range='off'": (graph_step(unchecked), y_true, y_pred),
        "encoded targets": (graph_step(loss), loss.encode(y_true), y_pred),
    }
    values = {}
    for name, (step, *arguments) in cases.items():
        values[name] = float(step(*arguments)[0])
        print(f"{name:>17}: {values[name]:.6f}", end="  ")
        print(needed_convolutions(step, *arguments))
        seconds(step, *arguments)
    np.testing.assert_allclose(
        list(values.values()), values["by hand"], rtol=1e-4
    )

    spent = {name: [] for name in cases}
    for index in range(options.rounds):
        # The order changes, so that none always follows the same other.
        for name in np.roll(list(cases), index):
            spent[name].append(seconds(*cases[name]))
    print(
        f"Times, {options.rounds} rounds, {shape[0]} images of "
        f"{shape[1]} x {shape[2]}, median of the ratios and quartiles:"
    )
    for name, rival in (
        ("PerceptualLoss", "by hand"),
        ("encoded targets", "by hand"),
        ("PerceptualLoss", "check_range='off'"),
    ):
        ratios = np.divide(spent[name], spent[rival])
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"  {name} / {rival}: {middle:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
