"""Putting back what a program writes to variables, for TensorFlow."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.patches import intercepted


@contextlib.contextmanager
def writes_put_back() -> Iterator[None]:
    """Puts back the variables that are written to, whoever they belong to."""
    former = {}

    def write(original: Any, variable: Any, *args: Any, **kwargs: Any) -> Any:
        if tf.executing_eagerly() and id(variable) not in former:
            former[id(variable)] = variable, variable.numpy()
        return original(variable, *args, **kwargs)

    kind = type(tf.Variable(0.0, trainable=False))
    with contextlib.ExitStack() as stack:
        for name in ("assign", "assign_add", "assign_sub"):
            stack.enter_context(intercepted(kind, name, write))
        try:
            yield
        finally:
            for variable, value in former.values():
                variable.assign(value)
