"""Where in the program a call is made."""

import dataclasses
import functools
import pathlib
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import keras

from keras_perceptual.gradients import patches
from keras_perceptual.gradients.places import is_library

_is_library = functools.cache(is_library)
_OWN_FILES = (str(pathlib.Path(__file__).parent), patches.__file__)
# Where one of several branches is called.
_CHOOSING = frozenset(("cond", "switch"))


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """What a condition chooses from.

    Attributes:
        functions: The branches, or none where they are not known.
        taken: The place of the one that is called.
        operands: What it is called with.
    """

    functions: tuple[Any, ...] = ()
    taken: int = 0
    operands: tuple[Any, ...] = ()

    @property
    def others(self) -> Any:
        """The branches that are not called."""
        functions = enumerate(self.functions)
        return [f for place, f in functions if place != self.taken]


def look_around(root: Any) -> Any:
    """Returns what is around a call.

    Args:
        root: The Python frame in which the step was called.

    Returns:
        The names of the layers and operations of Keras, and the frames, both
        with the innermost last; and each `Choice` that put it in a branch.
    """
    callers, frames, choices = [], [], []
    for frame in _frames_below(root):
        code = frame.f_code
        summary = _summarize(code.co_filename, frame.f_lineno, code.co_name)
        if summary is not None:
            frames.append(summary)
        if _chooses(code.co_filename, code.co_name):
            choices.append(_choice_in(frame.f_locals))
        if code.co_name == "__call__":
            caller = frame.f_locals.get("self")
            # A layer calls itself once more, as an operation.
            if isinstance(caller, keras.Operation) and caller not in callers:
                callers.append(caller)
    scope = tuple(caller.name for caller in reversed(callers))
    return scope, tuple(reversed(frames)), choices


def code_of_user(root: Any) -> Any:
    """Returns the innermost code around a call that the user wrote."""
    for frame in _frames_below(root):
        if not _is_library(frame.f_code.co_filename):
            return frame.f_code
    return None


def is_called_by_user(root: Any) -> bool:
    """Whether it is in code of the user that a call is made."""
    for frame in _frames_below(root):
        if not frame.f_code.co_filename.startswith(_OWN_FILES):
            return not _is_library(frame.f_code.co_filename)
    return False


def _frames_below(root: Any) -> Iterator[FrameType]:
    """Yields the frames of the step, the innermost first."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame is not root:
        yield frame
        frame = frame.f_back


# Code is equal to that of another file with the same lines.
@functools.lru_cache(maxsize=100_000)
def _summarize(
    path: str, line: int, name: str
) -> traceback.FrameSummary | None:
    """Returns what is said of a frame, `None` for one of ours.

    The lines of the source are only read once they are asked for.
    """
    if path.startswith(_OWN_FILES):
        return None
    return traceback.FrameSummary(path, line, name, lookup_line=False)


def _choice_in(names: Any) -> Any:
    """Returns the `Choice` in what a function that makes one knows."""
    try:
        if "branches" in names:
            functions, taken = names["branches"], int(names["index"])
        else:
            functions = names["true_fn"], names["false_fn"]
            taken = 0 if names["pred"] else 1
        return Choice(tuple(functions), taken, names.get("operands", ()))
    except KeyError:
        return Choice()


@functools.cache
def _chooses(path: str, name: str) -> bool:
    """Whether it is the code of Keras, or ours, that calls a branch."""
    return name in _CHOOSING and (
        pathlib.PurePath(path).parts[-3:] == ("backend", "torch", "core.py")
        or path.startswith(_OWN_FILES)
    )
