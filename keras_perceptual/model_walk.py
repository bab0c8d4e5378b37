"""Walking through a model: its layers, wherever they are held."""

from collections.abc import Iterator
from typing import Any

import keras


def walk_parts(
    model: Any,
    kinds: tuple[type, ...] = (keras.Layer, keras.optimizers.Optimizer),
) -> Iterator[Any]:
    """Yields the layers and optimizers held by a model, itself included.

    Attributes are followed through layers, lists, tuples, sets and
    dictionaries; nothing else is looked into.

    Args:
        model: The model, or a layer.
        kinds: Tuple of the classes whose objects are yielded.
    """
    seen = set()
    stack = [model]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, kinds):
            yield part
        if isinstance(part, keras.Layer):
            stack.extend(reversed(list(vars(part).values())))
        elif isinstance(part, dict):
            stack.extend(reversed(list(part.values())))
        elif isinstance(part, (list, tuple, set, frozenset)):
            stack.extend(reversed(list(part)))
