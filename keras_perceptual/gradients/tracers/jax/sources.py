"""Where in a program an operation of JAX comes from."""

import functools
import itertools
import operator
import os
import re
import traceback
from typing import Any

from keras_perceptual.gradients import patches

# Function in this package that calls the step; what is below is not its.
OUTERMOST = "the_step_itself"
# What JAX writes around the names of scopes it has transformed.
_TRANSFORMED = re.compile(r"\b(?:jvp|vmap|transpose|checkpoint)\(|[()]")


def scope_of(equation: Any) -> Any:
    """Returns the names of the scopes in which an equation was made."""
    names = str(_looked_up(equation, "source_info.name_stack", ""))
    return tuple(filter(None, _TRANSFORMED.sub("", names).split("/")))


def frames_of(equation: Any, called: Any) -> Any:
    """Returns the Python frames in which an equation was made.

    Args:
        equation: The equation.
        called: Whether it is in a function that JAX has traced by itself, and
            keeps: who called that first is of no interest.

    Returns:
        A tuple of frames, the innermost last.
    """
    return _frames(_looked_up(equation, "source_info.traceback", None), called)


def _looked_up(equation: Any, name: str, default: Any) -> Any:
    """Returns what an equation is not promised to have."""
    try:
        return operator.attrgetter(name)(equation)
    except AttributeError:
        return default


# Many equations are made on the same line.
@functools.lru_cache(maxsize=10_000)
def _frames(trace: Any, called: Any) -> Any:
    frames = getattr(trace, "frames", ())

    def goes_on(frame: Any) -> Any:
        name = frame.function_name.rpartition(".")[2]
        return name != OUTERMOST and not (
            called and frame.file_name.endswith("linear_util.py")
        )

    # The innermost comes first.
    return tuple(
        traceback.FrameSummary(
            frame.file_name,
            frame.line_num,
            frame.function_name.rpartition(".")[2],
            lookup_line=False,
        )
        for frame in reversed(list(itertools.takewhile(goes_on, frames)))
        if not is_own(frame.file_name)
    )


@functools.lru_cache(maxsize=1_000)
def is_own(path: Any) -> bool:
    """Whether a file only listens to the calls that pass through it."""
    return os.path.dirname(path) == os.path.dirname(__file__) or (
        path == patches.__file__
    )
