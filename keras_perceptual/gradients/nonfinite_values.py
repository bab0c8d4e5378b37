"""Where values that are NaN, infinite or huge were computed first."""

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from keras_perceptual.gradients import ways
from keras_perceptual.gradients.kinds import (
    ADDITIONS,
    GROWING,
    MOVING,
    PRODUCTS,
    kind_of,
)
from keras_perceptual.gradients.replay import Numbers, Operation, Replay

# Numbers of this size come from steps that are too large, and overflow as soon
# as they are multiplied.
HUGE = 1e15
_UNKNOWN = Numbers()


@dataclasses.dataclass(frozen=True)
class Trace:
    """Where values come from.

    Attributes:
        operations: The operations that make such values out of others, those
            that make infinity before those that make NaN.
        sources: Keys of the values that were so before the step.
    """

    operations: tuple[Operation, ...] = ()
    sources: tuple[Hashable, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations or self.sources)


class Values:
    """The values of a step, and what makes them.

    Args:
        replay: The `Replay` of the step.
    """

    def __init__(self, replay: Replay) -> None:
        self._values = replay.values
        self._holders = replay.holders
        self._makers = ways.makers_of(replay.operations)
        self._origins = ways.origins_of(replay)
        self._positions = {o: i for i, o in enumerate(replay.operations)}
        self._meant = self._find_meant(replay.operations)

    def is_finite(self, value: Any) -> bool:
        """Whether a value is not known to hold NaN or infinity."""
        return self._values.get(value, _UNKNOWN).finite

    def is_huge(self, value: Any) -> bool:
        """Whether a value holds numbers about to overflow."""
        return (self._values.get(value, _UNKNOWN).size or 0) >= HUGE

    def is_constant(self, value: Any) -> bool:
        """Whether a value is a constant of the program."""
        return value not in self._origins

    def trace_nonfinite(self, values: Iterable[Hashable]) -> Trace:
        """Returns the `Trace` of the NaN and infinity in some values.

        Infinity that stands in the program as a constant, as it does in the
        masks of attention, comes from where NaN is made of it.
        """
        found: dict[Operation, None] = {}
        entries: dict[Operation, None] = {}
        sources: dict[Hashable, None] = {}
        seen: set[Hashable] = set()
        wanted = [v for v in values if not self.is_finite(v)]
        while wanted:
            value = wanted.pop()
            if value in seen:
                continue
            seen.add(value)
            maker = self._makers.get(value)
            if value in self._meant:
                entries |= dict.fromkeys(self._meant[value])
            elif maker is None or value in self._holders:
                sources[value] = None
            elif ahead := self._made_for(maker):
                wanted += ahead
            else:
                found |= dict.fromkeys(self._blame(maker))
        if not (found or sources):
            found = entries
        ordered = sorted(
            found, key=lambda o: (self._makes_nan(o), self._positions[o])
        )
        return Trace(tuple(ordered), tuple(sources))

    def trace_huge(self, values: Iterable[Hashable]) -> Trace:
        """Returns the `Trace` of the huge numbers in some values."""
        found: dict[Operation, None] = {}
        sources: dict[Hashable, None] = {}
        seen: set[Hashable] = set()
        wanted = [v for v in values if self.is_huge(v)]
        while wanted:
            value = wanted.pop()
            if value in seen:
                continue
            seen.add(value)
            maker = self._makers.get(value)
            # To read a variable makes no numbers.
            if maker is None or value in self._holders:
                sources[value] = None
                continue
            ahead = [v for v in maker.inputs if self.is_huge(v)]
            wanted += ahead
            if not ahead:
                found[maker] = None
        return Trace(tuple(found), tuple(sources))

    def _find_meant(
        self, operations: Sequence[Operation]
    ) -> dict[Hashable, tuple[Operation, ...]]:
        """Returns the values whose infinity was a constant of the program.

        Returns:
            A dictionary from the key of each such value to the operations
            where that constant went in.
        """
        meant: dict[Hashable, tuple[Operation, ...]] = {}
        for operation in operations:
            if all(self.is_constant(value) for value in operation.outputs):
                continue
            entries: dict[Operation, None] = {}
            others = False
            for value in operation.inputs:
                if value in meant:
                    entries |= dict.fromkeys(meant[value])
                elif not self.is_finite(value):
                    entries[operation] = None
                    others |= not self.is_constant(value)
            for value in operation.outputs if entries and not others else ():
                numbers = self._values.get(value, _UNKNOWN)
                if numbers.infinite and not numbers.nan:
                    meant[value] = tuple(entries)
        return meant

    def _made_for(self, operation: Operation) -> list[Hashable]:
        """Returns the values that made the result of an operation not finite.

        Infinity is one that an exponential has turned into zero before a
        logarithm of that.
        """
        made = [v for v in operation.inputs if self._is_made(v)]
        maker: Operation | None = operation
        while not made and maker is not None and maker.inputs:
            value = maker.inputs[0]
            if kind_of(maker) == "exp":
                return [value] * self._is_made(value)
            maker = self._makers.get(value)
            if kind_of(operation) != "log" or not maker:
                break
            if kind_of(maker) not in MOVING | GROWING:
                break
        return made

    def _is_made(self, value: Any) -> bool:
        """Whether a value is not finite, and not meant to be so."""
        return not (
            self.is_finite(value)
            or self.is_constant(value)
            or value in self._meant
        )

    def _blame(self, operation: Operation) -> tuple[Operation, ...]:
        """Returns the operations to be named for what one makes not finite."""
        entries: dict[Operation, None] = {}
        for value in operation.inputs:
            entries |= dict.fromkeys(self._meant.get(value, ()))
        # To a softmax, infinity is no news. A product was not made for it.
        if entries and kind_of(operation) in PRODUCTS | ADDITIONS:
            return tuple(entries)
        return (operation,)

    def _makes_nan(self, operation: Operation) -> bool:
        return all(
            not self._values.get(value, _UNKNOWN).infinite
            for value in operation.outputs
        )
