"""How long an L1 Sobel loss and its gradient take, against TensorFlow's own.

Both are run in turn in one process, and the printed figures are medians of
the ratios of neighbouring runs: what else the machine does slows down both.

    python benchmarks/sobel_gradient_loss.py [--rounds 25] [--size 256]
"""

import argparse
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_perceptual.losses import SobelGradientLoss


def with_sobel_edges(y_true, y_pred):
    true, pred = tf.image.sobel_edges(y_true), tf.image.sobel_edges(y_pred)
    return tf.reduce_mean(tf.abs(true - pred))


def value_and_gradient(loss, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def step(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    return step


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--channels", type=int, default=3)
    options = parser.parse_args()

    shape = (options.batch, options.size, options.size, options.channels)
    rng = np.random.default_rng(0)
    pair = [
        tf.constant(rng.uniform(0, 1, shape).astype("float32"))
        for _ in range(2)
    ]
    base = "tf.image.sobel_edges, graph"
    loss = SobelGradientLoss()
    candidates = {
        base: value_and_gradient(with_sobel_edges, False),
        "tf.image.sobel_edges, XLA": value_and_gradient(with_sobel_edges, True),
        "SobelGradientLoss, graph": value_and_gradient(loss, False),
        "SobelGradientLoss, XLA": value_and_gradient(loss, True),
    }
    value, gradient = candidates[base](*pair)
    for name, step in candidates.items():
        found, slope = step(*pair)
        np.testing.assert_allclose(found, value, rtol=1e-5, err_msg=name)
        # Where two slopes agree to the last digit, rounding picks the sign.
        off = np.abs(slope - gradient) > 1e-6 * np.max(np.abs(gradient))
        if np.mean(off) > 1e-4:
            raise SystemExit(f"{name}: the gradient is another one")

    times = {name: [] for name in candidates}
    for _ in range(options.rounds):
        for name, step in candidates.items():
            start = time.perf_counter()
            step(*pair)[1].numpy()
            times[name].append(time.perf_counter() - start)
    print(f"Loss and gradient, images {shape}, {options.rounds} rounds")
    for name, seconds in times.items():
        ratio = np.median(np.array(seconds) / np.array(times[base]))
        print(
            f"{name:28} {ratio:6.2f} times the first, "
            f"median {1e3 * np.median(seconds):7.1f} ms"
        )


if __name__ == "__main__":
    main()
