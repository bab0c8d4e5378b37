"""What a recorded training costs: the step with `GradientMonitor` and without.

Models of 10, 100 and 400 variables train on noise, in one process, in turns
with and without the monitor. Printed is the processor time of a step with it
divided by that of one without, the median over the rounds, and in brackets the
smallest and the largest.

    KERAS_BACKEND=jax python benchmarks/gradient_monitor.py
        [--variables 10,100,400] [--every 100,1] [--rounds 7] [--steps 300]
        [--xla] [--eager]
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_perceptual import GradientMonitor

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


def measure(model, data, batch, monitor):
    """Returns the seconds of processor time of a step."""
    begin = time.process_time()
    model.fit(
        *data,
        batch_size=batch,
        verbose=0,
        shuffle=False,
        callbacks=[monitor] if monitor else [],
    )
    return (time.process_time() - begin) / (len(data[0]) / batch)


def compare(variables, every, options, arguments):
    """Returns the ratios of all rounds, and the milliseconds of a step."""
    width, batch = SIZES[variables]
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, batch * options.steps, width)).astype("float32")
    plain, watched = (make_model(variables, arguments) for _ in range(2))
    monitor = GradientMonitor(every=every)
    ratios, times = [], []
    for number in range(options.rounds + 1):
        pair = [
            lambda: measure(plain, data, batch, None),
            lambda: measure(watched, data, batch, monitor),
        ]
        # Each goes first half of the time.
        order = (0, 1) if number % 2 else (1, 0)
        found = dict(zip(order, [pair[i]() for i in order], strict=True))
        # The first round compiles.
        if number:
            ratios.append(found[1] / found[0])
            times.append(found[0] * 1e3)
    return ratios, statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variables", default="10,100,400")
    parser.add_argument("--every", default="100,1")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--eager", action="store_true")
    options = parser.parse_args()
    arguments = {"run_eagerly": options.eager}
    if keras.backend.backend() == "tensorflow":
        arguments["jit_compile"] = options.xla
    print(f"{keras.backend.backend()}, {arguments}")
    for variables in map(int, options.variables.split(",")):
        for every in map(int, options.every.split(",")):
            ratios, step = compare(variables, every, options, arguments)
            print(
                f"{variables:4} variables, every={every:3}: "
                f"{statistics.median(ratios):.3f} "
                f"({min(ratios):.3f} to {max(ratios):.3f}), "
                f"{step:.1f} ms a step without",
                flush=True,
            )


if __name__ == "__main__":
    main()
