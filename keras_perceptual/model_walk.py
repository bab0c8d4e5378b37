"""Walking through a model: its layers, wherever they are held."""

from collections.abc import Iterator
from typing import Any

import keras


def walk_parts(model: Any) -> Iterator[Any]:
    """Yields the layers and optimizers held by a model, itself included.

    Attributes are followed through layers, lists, tuples, sets and
    dictionaries; an optimizer is not looked into.
    """
    seen = set()
    stack = [model]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, keras.optimizers.Optimizer):
            yield part
        elif isinstance(part, keras.Layer):
            yield part
            stack.extend(reversed(list(vars(part).values())))
        elif isinstance(part, dict):
            stack.extend(reversed(list(part.values())))
        elif isinstance(part, (list, tuple, set, frozenset)):
            stack.extend(reversed(list(part)))
