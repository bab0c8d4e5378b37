"""The one place that talks to TensorFlow, JAX or PyTorch directly.

Everything else speaks `keras.ops`. Each backend has a package here with the
same modules and the same functions in them; `load` returns the module of the
backend that Keras runs on, and only that one is ever imported.
"""

import importlib

import keras


def load(topic):
    """Returns the module `topic` of the backend that Keras runs on."""
    return importlib.import_module(
        f"{__name__}.{keras.backend.backend()}.{topic}"
    )
