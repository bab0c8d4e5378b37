"""Listening to the reading of Keras variables."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_perceptual.gradients.patches import intercepted


@contextlib.contextmanager
def reads_noted(note: Any, note_failure: Any = lambda: None) -> Iterator[None]:
    """Has `note` called with every Keras variable that is read.

    Only what is read in this thread is noted. Where Keras has no such property
    any more, nothing is.

    Args:
        note: Function of the variable.
        note_failure: Function without arguments, called where the variable
            has no value: while `fit` runs, its state goes through the step.
    """

    def read(original: Any, variable: Any) -> Any:
        note(variable)
        try:
            return original(variable)
        except TypeError:
            note_failure()
            raise

    with contextlib.ExitStack() as stack:
        if isinstance(getattr(keras.Variable, "value", None), property):
            stack.enter_context(intercepted(keras.Variable, "value", read))
        yield
