"""What the gradient check costs at the start of a training.

- A whole short fit of six steps, of which the check looks at the first three
  (its default), with the callback and without: the same model made anew, in
  turns; medians of the ratios of the processor time, tracing included. How
  often the Python code of a step runs is printed beside it.
- The first step alone, likewise.
- On TensorFlow: how long it takes to explain why 338 variables have no
  gradient, in a model of 387 layers that is cut behind the last one.
- On TensorFlow: the most memory that a process holds which trains for some
  steps, all of them checked, with the callback and without: medians of
  processes of their own.

    KERAS_BACKEND=tensorflow python benchmarks/gradient_check_start.py
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from peaks import peak, print_peak

from keras_perceptual import GradientSanityCallback, GradientSanityError
from keras_perceptual.gradients.explain import Explainer

SHAPE = (64, 64, 3)
STEPS = 3
# Of the short fit, twice what the check looks at.
SHORT = 6


def plain_layers():
    """Returns a model of ten layers."""
    convolutions = [
        layers.Conv2D(16, 3, padding="same", activation="relu")
        for _ in range(8)
    ]
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            *convolutions,
            layers.GlobalAveragePooling2D(),
            layers.Dense(1),
        ]
    )


def application(name, last=None):
    """Returns a network of keras.applications with random weights."""
    network = getattr(keras.applications, name)(
        include_top=False, weights=None, pooling="avg", input_shape=SHAPE
    )
    x = network.output if last is None else last(network.output)
    return keras.Model(network.input, layers.Dense(1)(x))


MODELS = {
    "10 layers": plain_layers,
    "MobileNetV2": lambda: application("MobileNetV2"),
    "EfficientNetB3": lambda: application("EfficientNetB3"),
}


def fit(model, steps=1, batch=2, **arguments):
    """Trains on noise."""
    x = np.random.default_rng(0).random((steps * batch, *SHAPE), "float32")
    y = np.zeros((len(x), 1), "float32")
    model.fit(x, y, batch_size=batch, verbose=0, **arguments)


class Count(layers.Layer):
    """Counts how often it is called."""

    calls = 0

    def call(self, x):
        Count.calls += 1
        return x


def time_fit(make, callbacks, steps):
    """Returns the processor time of the first steps of a new model."""
    keras.backend.clear_session()
    model = make()
    model.compile("adam", "mse", jit_compile="auto")
    model.optimizer.build(model.trainable_variables)
    start = time.process_time()
    fit(model, steps, callbacks=callbacks)
    return time.process_time() - start


def compare_fits(steps, rounds):
    """Prints how much longer some first steps take."""
    for name, make in MODELS.items():
        time_fit(make, [], steps)
        seconds = [
            [
                time_fit(make, [], steps),
                time_fit(make, [GradientSanityCallback()], steps),
            ]
            for _ in range(rounds)
        ]
        print(
            f"{steps} step(s), {name} ({len(make().layers)} layers): "
            f"{in_words(seconds, 's')}"
        )


def count_traces():
    """Prints how often the Python code of a step runs in a short fit."""
    counts = []
    for callbacks in ([], [GradientSanityCallback()]):
        keras.backend.clear_session()
        Count.calls = 0
        model = keras.Sequential(
            [keras.Input(SHAPE), layers.Flatten(), Count(), layers.Dense(1)]
        )
        model.compile("adam", "mse")
        Count.calls = 0
        fit(model, SHORT, callbacks=callbacks)
        counts.append(Count.calls)
    print(
        f"Python code of the model runs {counts[1]} times, {counts[0]} without"
    )


def in_words(pairs, unit):
    """Describes pairs of what is measured without the callback and with it."""
    ratios = [checked / plain for plain, checked in pairs]
    plain, checked = map(statistics.median, zip(*pairs, strict=True))
    return (
        f"{statistics.median(ratios):.3f} of that without ({min(ratios):.3f} "
        f"to {max(ratios):.3f}; {checked:.1f} and {plain:.1f} {unit})"
    )


def time_explanation(rounds):
    """Prints how long it takes to say where gradients get lost."""
    seconds = []
    original = Explainer.missing

    def timed(explainer, variables):
        start = time.process_time()
        try:
            return original(explainer, variables)
        finally:
            seconds.append(time.process_time() - start)

    Explainer.missing = timed
    for _ in range(rounds):
        keras.backend.clear_session()
        cut = layers.Lambda(keras.ops.stop_gradient, name="cut")
        model = application("EfficientNetB3", cut)
        model.compile("adam", "mse", jit_compile=False)
        try:
            fit(model, callbacks=[GradientSanityCallback()])
        except GradientSanityError as error:
            report = error.report
    Explainer.missing = original
    print(
        f"explaining {len(report.missing)} variables, {len(model.layers)} "
        f"layers: {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f} to {max(seconds):.2f})"
    )


def work(worker):
    """Trains for some steps and prints the peak of this process."""
    model = MODELS["MobileNetV2"]()
    model.compile("adam", "mse", jit_compile=False)
    callback = GradientSanityCallback(steps=STEPS)
    fit(model, STEPS, 32, callbacks=[callback] if worker == "check" else [])
    print_peak()


def compare_memory(rounds):
    """Prints how much more memory the checked steps hold."""
    pairs = [
        tuple(peak("--worker", worker) for worker in ("plain", "check"))
        for _ in range(rounds)
    ]
    print(f"memory, MobileNetV2, batch of 32: {in_words(pairs, 'MB')}")


def main():
    """Measures all and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    count_traces()
    compare_fits(SHORT, options.rounds)
    compare_fits(1, options.rounds)
    if keras.backend.backend() == "tensorflow":
        time_explanation(options.rounds)
        compare_memory(options.rounds)


if __name__ == "__main__":
    main()
