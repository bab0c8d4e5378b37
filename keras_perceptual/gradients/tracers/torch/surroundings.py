"""Where in the program a call is made."""

import functools
import pathlib
import sys
import traceback

import keras

from keras_perceptual.gradients import patches
from keras_perceptual.gradients.places import is_library

_is_library = functools.cache(is_library)
_OWN_FILES = (str(pathlib.Path(__file__).parent), patches.__file__)
# Where one of several branches is called.
_CHOOSING = frozenset(("cond", "switch"))


def look_around(root):
    """Returns what is around a call.

    Args:
        root: The Python frame in which the step was called.

    Returns:
        The names of the layers and operations of Keras, and the frames, both
        with the innermost last; and whether it is in a branch that a condition
        chose.
    """
    callers, frames, conditional = [], [], False
    for frame in _frames_below(root):
        code = frame.f_code
        summary = _summarize(code, frame.f_lineno)
        if summary is not None:
            frames.append(summary)
        conditional = conditional or _chooses(code)
        if code.co_name == "__call__":
            caller = frame.f_locals.get("self")
            # A layer calls itself once more, as an operation.
            if isinstance(caller, keras.Operation) and caller not in callers:
                callers.append(caller)
    scope = tuple(caller.name for caller in reversed(callers))
    return scope, tuple(reversed(frames)), conditional


def code_of_user(root):
    """Returns the innermost code around a call that the user wrote."""
    for frame in _frames_below(root):
        if not _is_library(frame.f_code.co_filename):
            return frame.f_code
    return None


def is_called_by_user(root):
    """Whether it is in code of the user that a call is made."""
    for frame in _frames_below(root):
        if not frame.f_code.co_filename.startswith(_OWN_FILES):
            return not _is_library(frame.f_code.co_filename)
    return False


def _frames_below(root):
    """Yields the frames of the step, the innermost first."""
    frame = sys._getframe(2)
    while frame is not None and frame is not root:
        yield frame
        frame = frame.f_back


@functools.lru_cache(maxsize=100_000)
def _summarize(code, line):
    """Returns what is said of a frame, `None` for one of ours.

    The lines of the source are only read once they are asked for.
    """
    if code.co_filename.startswith(_OWN_FILES):
        return None
    return traceback.FrameSummary(
        code.co_filename, line, code.co_name, lookup_line=False
    )


@functools.cache
def _chooses(code):
    """Whether it is the code of Keras, or ours, that calls a branch."""
    path = pathlib.PurePath(code.co_filename)
    return code.co_name in _CHOOSING and (
        path.parts[-3:] == ("backend", "torch", "core.py")
        or code.co_filename.startswith(_OWN_FILES)
    )
