"""Walks through a replay: what is computed from what.

All variables are followed at once: an integer says by its bits from which of
them a value comes. No walk takes more than one turn through the operations.
"""

import enum
from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from typing import Any

from keras_perceptual.gradients.kinds import (
    BRANCHES,
    INDEXING,
    READERS,
    RELUS,
    SHAPE_READERS,
    kind_of,
)
from keras_perceptual.gradients.replay import Operation, Replay


class Origin(enum.IntFlag):
    """What a value is computed from. A constant is computed from none."""

    CONSTANT = 0
    HOLDER = 1
    DATA = 2
    CHANGEABLE = 4
    VARYING = 8


def values_of(
    replay: Replay, variables: Sequence[Any]
) -> dict[Any, list[Hashable]]:
    """Returns for each variable the keys of the values that stand for it."""
    values: dict[Any, list[Hashable]] = {variable: [] for variable in variables}
    for value, variable in replay.holders.items():
        if variable in values:
            values[variable].append(value)
    return values


def makers_of(operations: Sequence[Operation]) -> dict[Hashable, Operation]:
    """Returns the operation that made each value last."""
    return {value: o for o in operations for value in o.outputs}


def users_of(
    operations: Sequence[Operation],
) -> dict[Hashable, list[tuple[Operation, int]]]:
    """Returns for each value the operations that take it, and as which input.

    Args:
        operations: The operations to look at.

    Returns:
        A dictionary from the key of a value to a list of pairs.
    """
    users: dict[Hashable, list[tuple[Operation, int]]] = {}
    for operation in operations:
        for place, value in enumerate(operation.inputs):
            users.setdefault(value, []).append((operation, place))
    return users


def follow(
    operations: Sequence[Operation],
    beginnings: Iterable[Iterable[Hashable]],
    carries: Callable[[Operation, int, int], bool] | None = None,
    stop: Collection[Hashable] = frozenset(),
) -> dict[Hashable, int]:
    """Follows several sets of values through operations at once.

    Args:
        operations: The operations to go through, in their order.
        beginnings: A list of collections of keys of values.
        carries: Function of an operation, the place of an input and that of
            an output, that tells whether to go from one to the other.
            Defaults to going everywhere.
        stop: Keys of values to keep out of.

    Returns:
        A dictionary from the key of each value that is reached to an integer,
        whose bits say from which beginning.
    """
    found: dict[Hashable, int] = {}
    for index, values in enumerate(beginnings):
        for value in values:
            if value not in stop:
                found[value] = found.get(value, 0) | 1 << index
    for operation in operations:
        arriving = [
            (place, found[value])
            for place, value in enumerate(operation.inputs)
            if value in found
        ]
        for output, value in enumerate(operation.outputs if arriving else ()):
            bits = 0
            for place, more in arriving:
                if carries is None or carries(operation, place, output):
                    bits |= more
            if bits and value not in stop:
                found[value] = found.get(value, 0) | bits
    return found


def carries_values(operation: Operation, place: int, output: int) -> bool:
    """Whether something of what goes in comes out, if only its shape.

    A condition chooses what comes out, and is no part of it.
    """
    chooses = kind_of(operation) in BRANCHES
    return not chooses or place == len(operation.inputs) - 1


def carries_gradient(operation: Operation, place: int, output: int) -> bool:
    """Whether an operation is made to hand back a gradient."""
    kind = kind_of(operation)
    if not operation.differentiable or kind in SHAPE_READERS:
        return False
    if not carries_values(operation, place, output):
        return False
    return not output or kind not in INDEXING or place == output


def carries_numbers(operation: Operation, place: int, output: int) -> bool:
    """Whether what comes out depends on the numbers that go in."""
    return kind_of(operation) not in SHAPE_READERS


def relus_of(operations: Sequence[Operation]) -> dict[Hashable, Operation]:
    """Returns the ReLU that makes a value, or else one that takes it."""
    relus: dict[Hashable, Operation] = {}
    for operation in operations:
        if kind_of(operation) in RELUS:
            relus |= dict.fromkeys(operation.outputs, operation)
            for value in operation.inputs:
                relus.setdefault(value, operation)
    return relus


def needed_for(
    operations: Sequence[Operation], values: Iterable[Hashable]
) -> list[Operation]:
    """Returns those of `operations` that `values` are computed by."""
    wanted, found = set(values), []
    for operation in reversed(operations):
        if not wanted.isdisjoint(operation.outputs):
            wanted.update(operation.inputs)
            found.append(operation)
    return found[::-1]


def computed_with(replay: Replay) -> Set[Hashable]:
    """Returns what is computed from variables that are followed."""
    return follow(replay.operations, [replay.holders], carries_values).keys()


def origins_of(replay: Replay) -> dict[Hashable, Origin]:
    """Returns the `Origin` of each value that is no constant."""
    origins = dict.fromkeys(replay.changeable, Origin.CHANGEABLE)
    origins |= dict.fromkeys(replay.data, Origin.DATA)
    origins |= dict.fromkeys(replay.holders, Origin.HOLDER)
    for operation in replay.operations:
        kind = kind_of(operation)
        # What a variable holds, and which branch is taken, varies with what
        # goes in.
        varies = operation.varies and kind not in READERS | BRANCHES
        found = Origin.VARYING if varies else Origin.CONSTANT
        if kind not in SHAPE_READERS:
            for value in operation.inputs:
                found |= origins.get(value, Origin.CONSTANT)
        if found:
            for value in operation.outputs:
                # To read a followed variable is to have it, and no more.
                if value not in replay.holders:
                    origins[value] = origins.get(value, found) | found
    return origins


def layers_around(
    operation: Operation, layers: Mapping[str, Any]
) -> Iterator[str]:
    """Yields the names of the layers an operation runs in.

    Args:
        operation: The `Operation`.
        layers: The layers of the model by name.
    """
    for names in operation.around:
        yield from [name for name in names if name in layers][:1]


def single_bits(bits: int) -> Iterator[int]:
    """Yields the bits of which an integer is made up."""
    while bits:
        yield bits & -bits
        bits &= bits - 1
