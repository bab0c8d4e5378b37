"""The Python frames that operations of a graph were created in."""

import collections.abc
import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

# The check itself: its frames are nobody's business.
OURS = os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep
# What `tf.vectorized_map` makes of an operation is named after it.
_VECTORIZED = "/pfor/"


class LazyFrames(collections.abc.Sequence[Any]):
    """Frames that are fetched once somebody looks at them."""

    @functools.cached_property
    def _frames(self) -> Any:
        return self.fetch()

    def fetch(self) -> Sequence[Any]:
        """Returns the frames, the innermost last."""
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Any:
        return self._frames[index]

    def __len__(self) -> int:
        return len(self._frames)


class GraphFrames(LazyFrames):
    """The frames within the step that an operation was created in.

    To bring them from TensorFlow takes a while, and few are looked at.
    """

    def __init__(self, op: Any) -> None:
        self._op = op

    def fetch(self) -> Sequence[Any]:
        """Returns the frames, the innermost last."""
        op = self._op
        if _VECTORIZED in op.name:
            with contextlib.suppress(KeyError):
                name, _, _ = op.name.partition(_VECTORIZED)
                op = op.graph.get_operation_by_name(name)
        return [
            traceback.FrameSummary(
                frame.filename, frame.lineno, frame.name, lookup_line=False
            )
            for frame in within_step(op.traceback)
        ]


class CalledFrames(LazyFrames):
    """The frames in a function, as seen from where it is called.

    Args:
        call: The frames of the call.
        inner: The frames in the function, with those of its own caller.
    """

    def __init__(self, call: Any, inner: Any) -> None:
        self._call, self._inner = call, inner

    def fetch(self) -> Sequence[Any]:
        """Returns the frames, the innermost last."""
        # One that was traced by this call has the frames of it as well.
        known = {(frame.filename, frame.lineno) for frame in self._call}
        return [
            *self._call,
            *(f for f in self._inner if (f.filename, f.lineno) not in known),
        ]


def current_frames() -> Sequence[Any]:
    """Returns the frames of the step that is being traced."""
    frames = traceback.extract_stack(sys._getframe(1))
    while frames and frames[-1].filename.startswith(OURS):
        frames.pop()
    return within_step(frames)


def within_step(frames: Any) -> Sequence[Any]:
    """Returns what of some frames is not outside the step."""
    frames = list(frames)
    own = [i for i, f in enumerate(frames) if f.filename.startswith(OURS)]
    return frames[own[-1] + 1 :] if own else frames
