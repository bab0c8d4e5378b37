"""What a recorded training costs: the step with `GradientMonitor` and without.

Models of 10, 100 and 400 variables train on noise, in one process, in turns
with and without the monitor. Printed is the processor time of a step with it
divided by that of one without, the median over the rounds, and in brackets the
smallest and the largest. `--by-hand` measures in the same way what people use
where they have no monitor: a callback that computes the gradients of a batch
every hundred steps, and what the backend has to find NaN in every step.
`--memory` prints the most memory that a process holds that trains SRResNet on
images of 96 pixels, with the monitor and without, each in one of its own.

    KERAS_BACKEND=jax python benchmarks/gradient_monitor.py
        [--variables 10,100,400] [--every 100,1] [--rounds 7] [--steps 300]
        [--xla] [--eager] [--by-hand] [--memory]
"""

import argparse
import contextlib
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from generators import srresnet
from peaks import peak, print_peak

from keras_perceptual import GradientMonitor

BACKEND = keras.backend.backend()
# Width and batch for each number of variables: steps of about the same size.
SIZES = {10: (512, 256), 100: (256, 128), 400: (128, 128)}


def make_model(variables, arguments):
    """Returns a model of dense layers."""
    width, _ = SIZES[variables]
    inputs = x = keras.Input((width,))
    for _ in range(variables // 2):
        x = x + keras.layers.Dense(width, activation="gelu")(x) * 0.1
    model = keras.Model(inputs, x)
    model.compile("adam", "mse", **arguments)
    return model


class Norms(keras.callbacks.Callback):
    """Computes the gradients of a batch, as one does by hand, and their norms.

    Args:
        batch: The batch.
        every: Every how many steps.
    """

    def __init__(self, batch, every=100):
        super().__init__()
        self.batch, self.every = batch, every

    def on_train_batch_end(self, batch, logs=None):
        if batch % self.every == 0:
            gradients = getattr(self, f"_on_{BACKEND}")(*self.batch)
            self.norms = [float(keras.ops.norm(g)) for g in gradients]

    def _on_tensorflow(self, x, y):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self.model.compute_loss(x, y, self.model(x, training=True))
        return tape.gradient(loss, self.model.trainable_variables)

    def _on_jax(self, x, y):
        import jax

        variables = self.model.trainable_variables
        others = [v.value for v in self.model.non_trainable_variables]

        def loss(values):
            found, _ = self.model.stateless_call(values, others, x)
            return keras.ops.mean((found - y) ** 2)

        return jax.grad(loss)([v.value for v in variables])

    def _on_torch(self, x, y):
        self.model.zero_grad()
        found = self.model(x, training=True)
        keras.ops.mean((found - keras.ops.array(y)) ** 2).backward()
        return [v.value.grad for v in self.model.trainable_variables]


def nan_finder():
    """Returns the name of what the backend has, and functions to switch it."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        debugging = tf.debugging
        return (
            "tf.debugging.enable_check_numerics",
            debugging.enable_check_numerics,
            debugging.disable_check_numerics,
        )
    if BACKEND == "jax":
        import jax

        def switch(value):
            return lambda: jax.config.update("jax_debug_nans", value)

        return "jax_debug_nans", switch(True), switch(False)
    import torch

    def turn(value):
        return lambda: torch.autograd.set_detect_anomaly(value)

    return "torch.autograd.set_detect_anomaly", turn(True), turn(False)


@contextlib.contextmanager
def switched(on, off):
    """Has something on inside."""
    on()
    try:
        yield
    finally:
        off()


def measure(model, data, batch, callback, around=contextlib.nullcontext):
    """Returns the seconds of processor time of a step."""
    begin = time.process_time()
    with around():
        model.fit(
            *data,
            batch_size=batch,
            verbose=0,
            shuffle=False,
            callbacks=[callback] if callback else [],
        )
    return (time.process_time() - begin) / (len(data[0]) / batch)


def compare(variables, make_callback, around, options, arguments):
    """Returns the ratios of all rounds, and the milliseconds of a step."""
    width, batch = SIZES[variables]
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, batch * options.steps, width)).astype("float32")
    plain, watched = (make_model(variables, arguments) for _ in range(2))
    callback = make_callback(data[:, :batch])
    ratios, times = [], []
    for number in range(options.rounds + 1):
        pair = [
            lambda: measure(plain, data, batch, None),
            lambda: measure(watched, data, batch, callback, around),
        ]
        # Each goes first half of the time.
        order = (0, 1) if number % 2 else (1, 0)
        found = dict(zip(order, [pair[i]() for i in order], strict=True))
        # The first round compiles.
        if number:
            ratios.append(found[1] / found[0])
            times.append(found[0] * 1e3)
    return ratios, statistics.median(times)


def train_for_memory(is_watched, options):
    """Trains a network for images, and prints the most memory it took."""
    rng = np.random.default_rng(0)
    small, large = (
        rng.random((4 * options.steps, side, side, 3), dtype="float32")
        for side in (24, 96)
    )
    model = srresnet(96)
    model.compile("adam", "mae", run_eagerly=options.eager)
    callbacks = [GradientMonitor(every=100)] if is_watched else []
    model.fit(small, large, batch_size=4, verbose=0, callbacks=callbacks)
    print_peak()


def compare_memory(options):
    """Prints the peaks of processes with the monitor and without."""
    peaks = {"without": [], "with": []}
    for _ in range(options.rounds):
        for kind, found in peaks.items():
            found.append(peak(*sys.argv[1:], "--peak", kind))
    plain, watched = (statistics.median(x) for x in peaks.values())
    print(
        f"{BACKEND}, {options.steps} steps of SRResNet: {plain:.0f} MB "
        f"without, {watched:.0f} MB with, {watched / plain:.3f}"
    )


def what_is_measured(options):
    """Yields names, functions that make a callback, and contexts."""
    for every in map(int, options.every.split(",")):

        def make_monitor(batch, every=every):
            return GradientMonitor(every=every)

        yield f"every={every:3}", make_monitor, contextlib.nullcontext
    if options.by_hand:
        yield "gradients of a batch, every 100", Norms, contextlib.nullcontext
        name, on, off = nan_finder()
        yield name, lambda batch: None, lambda: switched(on, off)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variables", default="10,100,400")
    parser.add_argument("--every", default="100,1")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--by-hand", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", choices=["with", "without"])
    options = parser.parse_args()
    if options.peak:
        return train_for_memory(options.peak == "with", options)
    if options.memory:
        return compare_memory(options)
    arguments = {"run_eagerly": options.eager}
    if BACKEND == "tensorflow":
        arguments["jit_compile"] = options.xla
    print(f"{BACKEND}, {arguments}")
    for variables in map(int, options.variables.split(",")):
        for name, *how in what_is_measured(options):
            ratios, step = compare(variables, *how, options, arguments)
            print(
                f"{variables:4} variables, {name}: "
                f"{statistics.median(ratios):.3f} "
                f"({min(ratios):.3f} to {max(ratios):.3f}), "
                f"{step:.1f} ms a step without",
                flush=True,
            )


if __name__ == "__main__":
    main()
