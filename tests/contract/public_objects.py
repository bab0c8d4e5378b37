"""What the package shows to the outside, found from the package itself."""

import importlib.util
import inspect
import os
import pathlib
import pkgutil
import re
import subprocess
import sys

import keras

import keras_perceptual

PACKAGE = pathlib.Path(keras_perceptual.__file__).parent
REPOSITORY = pathlib.Path(__file__).parents[2]

# Importing those of another backend would import that backend.
BACKEND_MODULES = re.compile(r"\._backend|\.tracers\.")

# Folders of the checkout that no commit has.
NOT_SOURCE = {
    ".git", ".venv", "venv", "build", "dist", "site", "__pycache__",
    ".pytest_cache", ".ruff_cache",
}  # fmt: skip

# Public classes that Keras never has to write down and revive.
NOT_SAVED = {
    "GradientSanityError": "an exception",
    "GradientReport": "the outcome of one run",
}

KERAS_BASES = (
    keras.losses.Loss,
    keras.layers.Layer,
    keras.callbacks.Callback,
    keras.metrics.Metric,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
)


def public_classes():
    """Returns every class among the top-level names, by name."""
    return {
        name: value
        for name, value in sorted(vars(keras_perceptual).items())
        if not name.startswith("_") and inspect.isclass(value)
    }


def saved_classes():
    """Returns the public classes that Keras can save and revive, by name."""
    return {
        name: cls
        for name, cls in public_classes().items()
        if name not in NOT_SAVED
    }


def package_modules():
    """Returns the names of all modules that can be imported here."""
    return sorted(
        module.name
        for module in pkgutil.walk_packages(
            [str(PACKAGE)], prefix="keras_perceptual."
        )
        if not BACKEND_MODULES.search(module.name)
    )


def load_tool(name):
    """Returns a script of the folder `tools` as a module."""
    path = REPOSITORY / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # As when it is run: scripts of the folder find each other.
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def run_python(code, *arguments, backend=None, cwd=None, **environment):
    """Runs code in a fresh interpreter and returns what it printed."""
    variables = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", **environment)
    variables["KERAS_BACKEND"] = backend or keras.backend.backend()
    finished = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=variables,
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout
