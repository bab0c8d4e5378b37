"""The part of the gradient check that talks to TensorFlow, JAX or PyTorch.

Each backend has a package here with the same modules and the same functions
in them; only the one of the backend that Keras runs on is ever imported.
"""

import importlib

import keras


def load(topic):
    """Returns the module `topic` of the backend that Keras runs on."""
    return importlib.import_module(
        f"{__name__}.{keras.backend.backend()}.{topic}"
    )
