"""Layers that a model has and never calls, so that they have no weights."""

import inspect
import re
from typing import Any

import keras

from keras_perceptual.gradients.forgotten_parts import (
    is_conditional,
    locate_mention,
)
from keras_perceptual.gradients.places import Place
from keras_perceptual.model_walk import walk_parts

_MAKES_WEIGHTS = re.compile(r"\badd_(weight|variable)\(|\.build\(")


def find_uncalled(model: keras.Model) -> list[tuple[Any, Place]]:
    """Finds layers that would have weights, had they ever been called.

    Args:
        model: The model, of which some steps were taken.

    Returns:
        A list of pairs: the layer, and the `Place` of the line of the user's
        that names it or makes it. One that code names behind a condition is
        left out, and so is what a layer of Keras holds.
    """
    found = []
    inside: set[int] = set()
    for layer in walk_parts(model, (keras.Layer,)):
        # Some layers are not built when they are called.
        if id(layer) in inside or layer.built or layer.weights:
            continue
        parts = list(walk_parts(layer, (keras.Layer,)))
        inside.update(map(id, parts))
        if not layer.trainable or not any(map(_makes_weights, parts)):
            continue
        place = locate_mention(model, layer, lambda other: other.built)
        if place is not None and not is_conditional(model, layer):
            found.append((layer, place))
    return found


def _makes_weights(layer: Any) -> bool:
    """Whether a layer creates weights when it is built."""
    try:
        source = inspect.getsource(type(layer).build)
    except (OSError, TypeError):
        return False
    return bool(_MAKES_WEIGHTS.search(source))
