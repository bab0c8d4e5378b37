"""A training step as a graph of operations, and ways through it.

Every backend describes its computations by these classes; what is found out
with them does not depend on the backend.
"""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """One operation of a step.

    Attributes:
        kind: What the backend calls it, such as `"ArgMax"`.
        inputs: Keys of the values that go in.
        outputs: Keys of the values that come out.
        scope: Names of the scopes it was created in, the innermost last.
        frames: The Python frames it was created in, the innermost last, as
            objects with `filename`, `lineno`, `name` and `line`.
        native: The operation as the backend knows it.
    """

    kind: str
    inputs: tuple[Hashable, ...]
    outputs: tuple[Hashable, ...]
    scope: tuple[str, ...] = ()
    frames: Sequence = ()
    native: Any = None


@dataclasses.dataclass(frozen=True)
class Derivative:
    """One call that asked for the gradients of variables.

    Attributes:
        targets: Keys of the values that were differentiated.
        variables: Keys of the variables.
    """

    targets: tuple[Hashable, ...]
    variables: frozenset


@dataclasses.dataclass(frozen=True)
class Dataflow:
    """The operations of a step.

    Attributes:
        operations: All of them, each after those it takes values from.
        holders: Keys of the values that stand for a variable, with the key of
            that variable.
        derivatives: The calls that asked for gradients.
        passes: Function of an operation, of the position of an input and of
            the position of an output, that tells whether a gradient gets from
            that output to that input.
    """

    operations: tuple[Operation, ...]
    holders: dict
    derivatives: tuple[Derivative, ...]
    passes: Callable[[Operation, int, int], bool]

    def values_of(self, variable):
        """Returns the keys of the values that stand for a variable."""
        return {k for k, holder in self.holders.items() if holder == variable}

    def targets_for(self, variable):
        """Returns what was differentiated with respect to a variable."""
        return {
            target
            for derivative in self.derivatives
            if variable in derivative.variables
            for target in derivative.targets
        }


def needed_for(flow, values):
    """Returns the operations that some of `values` are computed by."""
    wanted = set(values)
    found = []
    for operation in reversed(flow.operations):
        if not wanted.isdisjoint(operation.outputs):
            wanted.update(operation.inputs)
            found.append(operation)
    return found[::-1]


def users_of(operations, values):
    """Returns those of `operations` that take one of `values` as input."""
    return [o for o in operations if not values.isdisjoint(o.inputs)]


def follow(flow, operations, values):
    """Follows values through `operations`, as far as gradients come back.

    Args:
        flow: The `Dataflow`.
        operations: The operations to go through, in their order.
        values: Keys of the values to begin with.

    Returns:
        The keys of all values that are connected to the first ones.
    """
    return set(follow_all(flow, operations, [values]))


def follow_all(flow, operations, beginnings):
    """Follows several sets of values at once.

    Args:
        flow: The `Dataflow`.
        operations: The operations to go through, in their order.
        beginnings: A list of sets of keys of values.

    Returns:
        A dictionary from the keys of all values that are connected to any of
        the first ones to an integer, whose bits say to which.
    """
    found = {}
    for index, values in enumerate(beginnings):
        for value in values:
            found[value] = found.get(value, 0) | 1 << index
    for operation in operations:
        places = [
            (place, found[value])
            for place, value in enumerate(operation.inputs)
            if value in found
        ]
        for output, value in enumerate(operation.outputs if places else ()):
            for place, bits in places:
                if flow.passes(operation, place, output):
                    found[value] = found.get(value, 0) | bits
    return found


def makers_of(operations):
    """Returns which of `operations` make a value, and their places in them."""
    makers = {}
    for place, operation in enumerate(operations):
        for value in operation.outputs:
            makers.setdefault(value, []).append((place, operation))
    return makers


def find_cuts(makers, is_connected, targets):
    """Returns the operations that keep gradients from getting any further.

    An operation that only takes part in a way around itself, as the one that
    holds the largest number in a softmax fast, is none of them.

    Args:
        makers: What `makers_of` returns of the operations to go through.
        is_connected: Function of the key of a value that says whether
            gradients come back from it.
        targets: Keys of the values to reach, none of which is connected.

    Returns:
        Those that make a value on the way to a target, which is not connected,
        out of one that is, in their order.
    """
    wanted, seen, cuts = list(targets), set(), {}
    while wanted:
        value = wanted.pop()
        for place, operation in makers.get(value, ()):
            if place in seen:
                continue
            seen.add(place)
            ahead = [v for v in operation.inputs if not is_connected(v)]
            if len(ahead) < len(operation.inputs):
                cuts[place] = operation
            wanted += ahead
    return [cuts[place] for place in sorted(cuts)]
