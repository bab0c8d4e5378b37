"""`keras-perceptual doctor`: versions, and what works with them."""

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_perceptual as kp
from keras_perceptual.command.compare import METRICS

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "h5py")
# And what is better with them.
OPTIONAL = {
    "pillow": "reading and writing pictures",
    "matplotlib": "plots",
    "keras-hub": "features of its backbones",
}


def add_arguments(commands: Any) -> None:
    """Adds the command to those that the parser knows."""
    parser = commands.add_parser(
        "doctor",
        help="print versions, and try what works here",
        description="Ends with status 1 if something does not work.",
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Runs the command with parsed arguments."""
    facts = {
        "keras_perceptual": kp.__version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "backend": keras.backend.backend(),
        "devices": _devices(),
        **{name: _version(name) or "not installed" for name in PACKAGES},
    }
    for name, use in OPTIONAL.items():
        missing = f"not installed (pip install {name}), needed for {use}"
        facts[name] = _version(name) or missing
    for name, fact in facts.items():
        sys.stdout.write(f"{name:18}{fact}\n")
    failures = 0
    for name, check in CHECKS.items():
        # Whatever it is: to say so is what this command is for.
        try:
            check()
            outcome = "works"
        except Exception as error:
            failures += 1
            text = " ".join(str(error).split())
            outcome = f"FAILS: {type(error).__name__}: {text}"
        sys.stdout.write(f"{name:18}{outcome}\n")
        sys.stdout.flush()
    return int(failures > 0)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> str:
    # Keras cannot list those of every backend.
    try:
        return ", ".join(keras.distribution.list_devices())
    except Exception:
        return "unknown"


def _check_metrics() -> None:
    """Looks whether the networks with packaged weights see a difference."""
    images = np.random.default_rng(0).uniform(0, 255, (1, 192, 192, 3))
    for name, measure in METRICS.items():
        value = measure(images, 0.9 * images)
        if not np.isfinite(value):
            raise ValueError(f"{name} of two images. Received: {value}")


def _check_training() -> None:
    """Trains a model with losses and a color table, and reloads it."""
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3))
    model = keras.Sequential([keras.Input((32, 32, 3)), kp.LookupColorLayer(5)])
    loss = kp.WeightedSumLoss(
        {
            "features": kp.PerceptualLoss("alexnet"),
            "edges": kp.SobelGradientLoss(),
        }
    )
    model.compile("adam", loss)
    callbacks = [kp.GradientSanityCallback()]
    model.fit(images, images**2, verbose=0, callbacks=callbacks)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        again = keras.saving.load_model(path)
    first, second = (m.predict(images, verbose=0) for m in (model, again))
    np.testing.assert_allclose(first, second, atol=1e-6)


def _check_gradients() -> None:
    """Looks whether a fault is found."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss=lambda y_true, y_pred: keras.ops.round(y_pred))
    x = np.random.default_rng(0).normal(size=(4, 4))
    try:
        callbacks = [kp.GradientSanityCallback()]
        model.fit(x, x[:, :1], verbose=0, callbacks=callbacks)
    except kp.GradientSanityError:
        return
    raise ValueError("A rounding in a loss was not found. Received: no error")


CHECKS: dict[str, Callable[[], None]] = {
    "metrics": _check_metrics,
    "training": _check_training,
    "gradient check": _check_gradients,
}
