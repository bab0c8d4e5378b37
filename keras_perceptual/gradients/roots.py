"""Where a value that is zero everywhere comes from."""

import dataclasses
import enum
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from keras_perceptual.gradients.kinds import (
    BOUNDS,
    BRANCHES,
    CHOICES,
    COMPARISONS,
    DIFFERENCES,
    LEVEL,
    MULTIPLICATIONS,
    READERS,
    SHAPE_READERS,
    STOPS,
    kind_of,
)
from keras_perceptual.gradients.replay import Numbers, Operation
from keras_perceptual.gradients.ways import Origin


class Source(enum.Enum):
    """What makes a value zero."""

    DATA = enum.auto()  # The batch itself.
    VARIABLE = enum.auto()  # A variable that is followed.
    CHANGEABLE = enum.auto()  # A variable that is not.
    CONSTANT = enum.auto()  # A constant of the program.
    FACTOR = enum.auto()  # A product with one, or a value less itself.
    LEVEL = enum.auto()  # An operation that is level where it is used.
    CHOICE = enum.auto()  # A branch, a comparison or the like.
    OTHER = enum.auto()


@dataclasses.dataclass(frozen=True)
class Root:
    """What makes a value zero, and the operation where it begins.

    Attributes:
        source: What it is.
        operation: The first operation on the way from there, or `None` where
            the value itself comes from there.
    """

    source: Source
    operation: Operation | None = None


@dataclasses.dataclass(frozen=True)
class Roots:
    """Finds the roots of values of a step that are zero everywhere.

    Attributes:
        values: The `Numbers` of each value.
        makers: The operation that made each value.
        origins: The `Origin` of each value that is no constant.
    """

    values: Mapping[Hashable, Numbers]
    makers: Mapping[Hashable, Operation]
    origins: Mapping[Hashable, Origin]

    def is_zero(self, value: Any) -> bool:
        """Whether all numbers in a value are known to be zero."""
        return value in self.values and self.values[value].zero

    def find(self, value: Any) -> Root:
        """Returns the `Root` of a value that is zero everywhere."""
        first, seen = None, set()
        while (maker := self.makers.get(value)) and maker not in seen:
            seen.add(maker)
            if not maker.inputs and not maker.varies:
                return Root(Source.CONSTANT, first)
            kind = kind_of(maker)
            if kind in SHAPE_READERS:
                return Root(Source.CONSTANT, maker)
            if kind in STOPS:
                value, first = maker.inputs[0], maker
                continue
            if kind in COMPARISONS | BRANCHES or not maker.differentiable:
                return Root(Source.CHOICE, maker)
            if self._is_chosen(maker, kind):
                return Root(Source.CHOICE, maker)
            if kind in DIFFERENCES and len(set(maker.inputs)) == 1:
                return Root(Source.FACTOR, maker)
            zeros = self._zeros_in(maker, kind)
            moving = [v for v in zeros if self._is_moving(v)]
            if kind in LEVEL | BOUNDS:
                if not moving:
                    return Root(Source.LEVEL, maker)
                zeros = moving
            elif kind in MULTIPLICATIONS and len(moving) < len(zeros):
                return Root(Source.FACTOR, maker)
            else:
                # To a sum, a constant of zero adds nothing.
                zeros = moving or zeros
            if not zeros:
                # Numbers are not read of what is true or false.
                unread = any(map(self._is_unread, maker.inputs))
                return Root(Source.CHOICE if unread else Source.OTHER, maker)
            # What the step computes tells more than a variable it reads.
            value = max(zeros, key=self._priority)
            first = maker
        return Root(self._source_of(value), first)

    def _is_unread(self, value: Any) -> bool:
        numbers = self.values.get(value)
        return self._is_moving(value) and (
            numbers is None or numbers.size is None
        )

    def _is_chosen(self, operation: Operation, kind: str) -> bool:
        """Whether another batch may choose something that is not zero."""
        if kind not in CHOICES or len(operation.inputs) < 2:
            return False
        if not self._is_moving(operation.inputs[CHOICES[kind]]):
            return False
        others = _without_chooser(operation, kind)
        # What is filled in need not be a value.
        return len(others) < 2 or not all(map(self.is_zero, others))

    def _zeros_in(self, operation: Operation, kind: str) -> Sequence[Hashable]:
        """Returns the inputs that can make the result of an operation zero.

        A number of Python that a tensor is multiplied by is `None`.
        """
        inputs = _without_chooser(operation, kind)
        if kind in READERS:
            return inputs[:1]
        zeros = [value for value in inputs if self.is_zero(value)]
        if not zeros and kind in MULTIPLICATIONS:
            zeros = [value for value in [*inputs, None][:2] if value is None]
        return zeros

    def _is_moving(self, value: Any) -> bool:
        return bool(self.origins.get(value, Origin.CONSTANT))

    def _priority(self, value: Any) -> tuple[bool, bool]:
        origin = self.origins.get(value, Origin.CONSTANT)
        return bool(origin & Origin.DATA), value in self.makers

    def _source_of(self, value: Any) -> Source:
        origin = self.origins.get(value, Origin.CONSTANT)
        if value in self.makers or origin & Origin.VARYING:
            return Source.OTHER
        if origin & Origin.DATA:
            return Source.DATA
        if origin & Origin.HOLDER:
            return Source.VARIABLE
        return Source.CHANGEABLE if origin else Source.CONSTANT


def _without_chooser(operation: Operation, kind: str) -> Sequence[Hashable]:
    """Returns what goes into an operation besides what makes its choice."""
    chooser = CHOICES.get(kind) if len(operation.inputs) > 1 else None
    return [v for p, v in enumerate(operation.inputs) if p != chooser]
