"""Finding what a step computes with and nobody trains."""

import gc
from collections.abc import Mapping, Sequence
from typing import Any

import keras


def find_untracked(
    used: Mapping[int, Any], known: Sequence[Any], strategy: Any
) -> list[Any]:
    """Finds variables that are computed with, and not known.

    Args:
        used: The variables of TensorFlow that tapes have watched, by their
            `id`.
        known: The Keras variables that are known.
        strategy: The `tf.distribute.Strategy` of the model.

    Returns:
        A list of Keras variables, and of the variables of TensorFlow that no
        Keras variable holds.
    """
    known = {k for v in known for k in _keys_of_copies(v.value, strategy)}
    found = {k: v for k, v in used.items() if k not in known}
    if not found:
        return []
    owners = {
        key: variable
        for variable in gc.get_objects()
        # Not `isinstance`: some objects answer for others, and warn.
        if issubclass(type(variable), keras.Variable)
        for key in _keys_of_copies(variable._value, strategy)
    }
    found = [owners.get(key, variable) for key, variable in found.items()]
    # Every device has used its own copy.
    found = {id(variable): variable for variable in found}
    return [variable for variable in found.values() if variable.trainable]


def _keys_of_copies(native: Any, strategy: Any) -> set[int]:
    """Returns the `id` of a variable and of its copies on devices."""
    copies = strategy.experimental_local_results(native)
    return {id(native), *map(id, copies)}
