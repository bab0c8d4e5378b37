"""What penalties on variables add to their gradients, computed on its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf


def find_penalized(
    variables: Sequence[Any], values: Sequence[Any], gradients: Sequence[Any]
) -> dict[int, tuple[Any, Any]]:
    """Returns variables and their values, by place, that have a penalty.

    Args:
        variables: Keras variables.
        values: What they hold in the step.
        gradients: The gradient of each.
    """
    return {
        place: (variable, values[place])
        for place, variable in enumerate(variables)
        if getattr(variable, "regularizer", None) is not None
        # Of a penalty all rows of a table have a share.
        and not isinstance(gradients[place], tf.IndexedSlices)
    }


def compute_penalties(penalized: Mapping[int, tuple[Any, Any]]) -> Any:
    """Returns what penalties add to gradients, by place.

    Args:
        penalized: What `find_penalized` returned.
    """
    return {
        place: _penalty_gradient(*pair) for place, pair in penalized.items()
    }


def _penalty_gradient(variable: Any, value: Any) -> Any:
    """Returns the gradient of the penalty on a variable."""
    value = tf.convert_to_tensor(value)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(value)
        penalty = variable.regularizer(value)
    gradient = tape.gradient(penalty, value)
    return tf.zeros_like(value) if gradient is None else gradient
