"""Where gradients end: the operations that hand none on to some variables.

An end lies where something comes back to what an operation makes and nothing
to what goes into it. Where that input is made of integers or booleans, it is
an operation before it that is to blame.
"""

import dataclasses
from collections.abc import (
    Collection,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
    Set,
)
from types import ModuleType
from typing import Any, Self

from keras_perceptual.gradients import diagnoses, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.creations import locate_creation
from keras_perceptual.gradients.kinds import (
    COMPARISONS,
    RELUS,
    SHAPE_READERS,
    STOPS,
    kind_of,
)
from keras_perceptual.gradients.places import (
    Place,
    innermost,
    locate,
    runs_in_graph,
)
from keras_perceptual.gradients.replay import Operation


class Locator:
    """Finds the places of operations, each once.

    Args:
        layers: The layers of the model by name.
        functions: As for `places.locate`.
    """

    def __init__(
        self,
        layers: Mapping[str, Any],
        functions: Sequence[tuple[str, ModuleType]] = (),
    ) -> None:
        self.layers = layers
        self._functions = functions
        self._places: dict[Operation, Place] = {}
        self._created: dict[int, Place | None] = {}

    def locate(self, operation: Operation) -> Place:
        """Returns the `Place` of an `Operation`."""
        if operation not in self._places:
            self._places[operation] = self._locate(operation)
        return self._places[operation]

    def _locate(self, operation: Operation) -> Place:
        """Returns a `Place`, in a Functional model that of the whole layer."""
        place = locate(operation, self.layers, self._functions)
        if place.file and not runs_in_graph(operation.frames):
            return place
        layer, _ = innermost(operation, self.layers)
        if layer is None or place.keras_operation:
            return place
        if id(layer) not in self._created:
            self._created[id(layer)] = locate_creation(layer)
        created = self._created[id(layer)]
        if created is None:
            return place
        return dataclasses.replace(
            place,
            file=created.file,
            line=created.line,
            code=created.code,
            within=created.within,
            created=True,
        )

    def locate_last(self, operations: Sequence[Operation]) -> tuple[Place, ...]:
        """Returns, in a tuple, where the last in a layer or a user's line is.

        It is empty where none of them is in either.
        """
        for operation in reversed(operations):
            place = self.locate(operation)
            if place.layer or place.file:
                return (place,)
        return ()

    def locate_cuts(self, operations: Sequence[Operation]) -> tuple[Place, ...]:
        """Returns a tuple of the places of cuts, the most likely one first.

        What only looks at shapes is left out, unless there is nothing else.
        What stops gradients is meant to, so that it comes after what does by
        its nature, and comparisons come last. Of several operations that make
        up one function of the user's code, the last is what it is about.
        """
        cuts = [o for o in operations if kind_of(o) not in SHAPE_READERS]
        named: dict[tuple[str, ...], Place] = {}
        stopped: dict[tuple[str, ...], Place] = {}
        compared: dict[tuple[str, ...], Place] = {}
        for operation in cuts or operations:
            place = self.locate(operation)
            called = (
                place.function or place.operation,
                place.source,
                place.layer,
            )
            kind = kind_of(operation)
            if kind in COMPARISONS:
                compared[called] = place
            else:
                (stopped if kind in STOPS else named)[called] = place
        first = named | stopped
        return tuple((first | compared | first).values())


@dataclasses.dataclass(frozen=True)
class Reach:
    """How far variables reach, as integers whose bits stand for variables.

    Attributes:
        any: Which variables a value depends on in any way, by key.
        differentiable: On which it depends through operations that are made
            to hand back a gradient.
    """

    any: Mapping[Hashable, int]
    differentiable: Mapping[Hashable, int]

    @classmethod
    def of(
        cls,
        operations: Sequence[Operation],
        beginnings: Iterable[Iterable[Hashable]],
        stop: Collection[Hashable] = frozenset(),
    ) -> Self:
        """Follows the values that stand for each variable.

        Args:
            operations: The operations to go through, in their order.
            beginnings: A list of collections of keys of values.
            stop: Keys of values to keep out of.
        """
        return cls(
            ways.follow(operations, beginnings, ways.carries_values, stop),
            ways.follow(operations, beginnings, ways.carries_gradient, stop),
        )


@dataclasses.dataclass(frozen=True)
class Ends:
    """Where gradients end, in the order of the operations.

    What they are found with are integers, whose bits stand for the variables
    that lie behind.

    Attributes:
        direct: By the operation and the place of its input, where that could
            be differentiated by the variables.
        cuts: By the operation, where it could not: the first operations on
            the way from the variables that have no gradient.
    """

    direct: Mapping[tuple[Operation, int], int]
    cuts: Mapping[Operation, int]

    def by_operation(
        self, positions: Mapping[Operation, int]
    ) -> list[tuple[Operation, int]]:
        """Returns pairs of an operation and the variables behind it.

        Args:
            positions: The position of each operation in the step.
        """
        found = dict(self.cuts)
        for (operation, _), bits in self.direct.items():
            found[operation] = found.get(operation, 0) | bits
        return sorted(found.items(), key=lambda item: positions[item[0]])


class Choices:
    """What the branches would let through that a step did not take.

    Args:
        operations: The operations of the step.
        reach: The `Reach` of the variables in question.
    """

    def __init__(self, operations: Sequence[Operation], reach: Reach) -> None:
        self._differentiable = reach.differentiable
        self._bits = 0
        for operation in operations:
            self._bits |= self._let_through(operation)

    def may_open(self, operation: Operation, bit: int) -> bool:
        """Whether another branch may let through what an operation cuts.

        Args:
            operation: The `Operation`.
            bit: The bit of the variable in question.
        """
        return bool(self._let_through(operation) & bit)

    def may_reach(self, bit: int) -> bool:
        """Whether a variable may be used in a branch that was not taken."""
        return bool(self._bits & bit)

    def _let_through(self, operation: Operation) -> int:
        if operation.alternatives is None:
            return -1 if operation.conditional else 0  # All of them, or none.
        bits = 0
        for value in operation.alternatives:
            bits |= self._differentiable.get(value, 0)
        return bits


def find_ends(
    operations: Sequence[Operation],
    beginnings: Iterable[Iterable[Hashable]],
    arrives: Set[Hashable],
) -> Ends:
    """Finds where gradients end.

    What lies behind a value that a gradient comes back to is no matter: it
    ends on this side of it.

    Args:
        operations: The operations of a step, in their order.
        beginnings: For each variable without a gradient, keys of the values
            that stand for it.
        arrives: Keys of the values that a gradient comes back to, the targets
            among them.

    Returns:
        The `Ends`, in the order of the operations.
    """
    reach = Reach.of(operations, beginnings, arrives)
    direct: dict[tuple[Operation, int], int] = {}
    cuts: dict[Operation, int] = {}
    wanted: dict[Hashable, int] = {}
    for operation in reversed(operations):
        is_reached = not arrives.isdisjoint(operation.outputs)
        behind = 0
        for value in operation.outputs:
            behind |= wanted.get(value, 0)
        if not (is_reached or behind):
            continue
        for place, value in enumerate(operation.inputs):
            # No gradient is due to a condition.
            is_part = ways.carries_values(operation, place, 0)
            if value in arrives or not is_part:
                continue
            bits = reach.any.get(value, 0)
            connected = bits & reach.differentiable.get(value, 0)
            if is_reached and connected:
                direct[operation, place] = connected
            # The way from here to those of `behind` was found to be cut.
            if connected & behind:
                cuts[operation] = cuts.get(operation, 0) | connected & behind
            ahead = bits & ~connected
            if not is_reached:
                ahead &= behind
            if ahead:
                wanted[value] = wanted.get(value, 0) | ahead
    return Ends(dict(reversed(direct.items())), dict(reversed(cuts.items())))


def explain_cut(
    operations: Sequence[Operation], may_open: Sequence[bool], locator: Locator
) -> Cause:
    """Returns the `Cause` of gradients that end at operations without one.

    Args:
        operations: The operations, in their order.
        may_open: For each of them, whether another branch may be taken that
            lets gradients through.
        locator: The `Locator`.
    """
    places = locator.locate_cuts(operations)
    cuts = {
        operation: opens
        for operation, opens in zip(operations, may_open, strict=True)
        if kind_of(operation) not in SHAPE_READERS
    }
    # Whether a ReLU is open is a comparison, and only its derivative asks.
    if cuts and all(
        kind_of(operation) in COMPARISONS
        and locator.locate(operation).function.rpartition(".")[2] in RELUS
        for operation in cuts
    ):
        return Cause(diagnoses.SECOND_DERIVATIVE, places)
    if all(cuts.values() if cuts else may_open):
        return Cause(diagnoses.CUT_IN_BRANCH, places)
    return Cause(diagnoses.CUT, places)
