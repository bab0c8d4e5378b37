"""Listening to the reading of Keras variables."""

import contextlib

import keras

from keras_perceptual.gradients.patches import intercepted


@contextlib.contextmanager
def reads_noted(note):
    """Has `note` called with every Keras variable that is read.

    Only what is read in this thread is noted. Where Keras has no such property
    any more, nothing is.
    """

    def read(original, variable):
        note(variable)
        return original(variable)

    with contextlib.ExitStack() as stack:
        if isinstance(getattr(keras.Variable, "value", None), property):
            stack.enter_context(intercepted(keras.Variable, "value", read))
        yield
