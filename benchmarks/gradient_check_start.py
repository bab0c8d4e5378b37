"""What the gradient check costs at the start of a training, on TensorFlow.

- The first step, in which the train function is traced and the gradients are
  judged, with the callback and without: the same model made anew, in turns;
  medians of the ratios of the processor time.
- How long it takes to explain why 338 variables have no gradient, in a model
  of 387 layers that is cut behind the last one.
- The most memory that a process holds which trains for some steps, all of them
  checked, with the callback and without: medians of processes of their own.

    python benchmarks/gradient_check_start.py [--rounds 5]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_perceptual import GradientSanityCallback, GradientSanityError
from keras_perceptual.gradients.explain import StepExplainer

SHAPE = (64, 64, 3)
STEPS = 3


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


def first_step(make, callbacks):
    """Returns the processor time of the first step of a new model."""
    keras.backend.clear_session()
    model = make()
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    start = time.process_time()
    fit(model, callbacks=callbacks)
    return time.process_time() - start


def compare_first_steps(rounds):
    """Prints how much longer the first step takes."""
    for name, make in MODELS.items():
        first_step(make, [])
        seconds = [
            [first_step(make, []), first_step(make, [GradientSanityCallback()])]
            for _ in range(rounds)
        ]
        print(
            f"first step, {name} ({len(make().layers)} layers): "
            f"{in_words(seconds, 's')}"
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
    original = StepExplainer.explain_missing

    def timed(explainer, variables):
        start = time.process_time()
        try:
            return original(explainer, variables)
        finally:
            seconds.append(time.process_time() - start)

    StepExplainer.explain_missing = timed
    for _ in range(rounds):
        keras.backend.clear_session()
        cut = layers.Lambda(keras.ops.stop_gradient, name="cut")
        model = application("EfficientNetB3", cut)
        model.compile("adam", "mse", jit_compile=False)
        try:
            fit(model, callbacks=[GradientSanityCallback()])
        except GradientSanityError as error:
            report = error.report
    StepExplainer.explain_missing = original
    print(
        f"explaining {len(report.missing)} variables, {len(model.layers)} "
        f"layers: {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f} to {max(seconds):.2f})"
    )


def peak(worker):
    """Returns the peak of a process of its own, in MB."""
    command = [sys.executable, __file__, "--worker", worker]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def work(worker):
    """Trains for some steps and prints the peak of this process."""
    model = MODELS["MobileNetV2"]()
    model.compile("adam", "mse", jit_compile=False)
    callback = GradientSanityCallback(steps=STEPS)
    fit(model, STEPS, 32, callbacks=[callback] if worker == "check" else [])
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(usage / (2**20 if sys.platform == "darwin" else 2**10))


def compare_memory(rounds):
    """Prints how much more memory the checked steps hold."""
    pairs = [(peak("plain"), peak("check")) for _ in range(rounds)]
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
    compare_memory(options.rounds)
    time_explanation(options.rounds)
    compare_first_steps(options.rounds)


if __name__ == "__main__":
    main()
