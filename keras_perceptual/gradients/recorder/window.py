"""The last steps of a training, kept so that they can be taken again."""

import dataclasses
from collections.abc import Callable, Generator
from typing import Any

from keras_perceptual.gradients.tracers import Steps

# How many steps lie between two copies of the state. A copy takes about as
# long as a step, so that copies take a hundredth of the time.
LENGTH = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Retaken:
    """A step that was taken again.

    Attributes:
        number: How many steps came before it in the window.
        before: The state it began with.
        batches: Its batches, more than one with `steps_per_execution`.
        outputs: What the train function returned.
        arguments: Those of the next step.
    """

    number: int
    before: Any
    batches: list[Any]
    outputs: Any
    arguments: tuple[Any, ...]


class Window:
    """Keeps one state of a training, and the batches of the steps since.

    Args:
        steps: The `Steps` of the backend.
        most_bytes: How much memory the state and the batches may take.

    Attributes:
        is_open: Whether steps are being kept.
        count: How many were, since it was opened.
        note: Why none are, or `""`.
    """

    def __init__(self, steps: Steps, most_bytes: int) -> None:
        self._steps = steps
        self._most_bytes = most_bytes
        self._state: Any = None
        self.count: int = 0
        self._room: int | None = None
        self.is_open: bool = False
        self.note: str = ""
        if not steps.can_record:
            self.note = "the batches of this training cannot be kept"

    @property
    def is_full(self) -> bool:
        """Whether the next step would be one too many."""
        # The first batch shows how much room batches take.
        return self.count >= (self._room or 1)

    def open(self, arguments: tuple[Any, ...]) -> None:
        """Begins anew with the step that is to come.

        Args:
            arguments: What the train function is to be called with.
        """
        if self.note:
            return
        self._state = self._steps.copy(arguments)
        if self._room is None and self.count:
            self._measure(arguments)
            if self.note:
                return
        self.count = 0
        self._steps.start()
        self.is_open = True

    def _measure(self, arguments: tuple[Any, ...]) -> None:
        """Finds out how many steps there is room for."""
        state = self._steps.bytes_of(self._state)
        # While steps are taken again there are two states.
        left = self._most_bytes - 2 * state
        batches = self._steps.taken(arguments)
        each = max(self._steps.bytes_of(batches) // max(len(batches), 1), 1)
        self._room = min(LENGTH, left // each)
        if self._room < 1:
            self.close()
            self.note = (
                f"a state of {state:,} bytes, twice, and a batch of {each:,} "
                f"do not fit into max_bytes={self._most_bytes:,}"
            )

    def hear(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Keeps the batches of a step, and returns its arguments."""
        if not self.is_open:
            return arguments
        self.count += 1
        return self._steps.hear(arguments)

    def unhear(self) -> None:
        """Forgets a step that was not taken."""
        if self.is_open:
            self.count -= 1

    @property
    def is_whole(self) -> bool:
        """Whether the steps can be taken again."""
        # What a step has built was not there when the state was copied.
        return self.is_open and self._steps.covers(self._state)

    def close(self) -> None:
        """Forgets everything."""
        if self.is_open:
            self._steps.stop()
        self.is_open, self._state = False, None

    def retake(
        self, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> Generator[Retaken, Any, tuple[Any, ...]]:
        """Takes the steps of the window again, one after the other.

        Args:
            function: The train function.
            arguments: Those of the next step.

        Yields:
            A `Retaken` for each. Where it is sent a state, the next step
            begins with that.

        Returns:
            The arguments of the step after the last one.
        """
        calls = self._steps.taken(arguments)
        # What is taken again is not to be kept once more.
        self._steps.stop()
        arguments = self._steps.put(self._state, arguments)
        for number, batches in enumerate(calls):
            before = self._steps.copy(arguments)
            outputs, arguments = self._steps.take(function, arguments, batches)
            instead = yield Retaken(number, before, batches, outputs, arguments)
            if instead is not None:
                arguments = self._steps.put(instead, arguments)
        return arguments
