"""A training step as a graph of operations, and ways through it.

Every backend describes its computations by these classes; what is found out
with them does not depend on the backend.
"""

import dataclasses
from collections.abc import Callable, Hashable
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
    frames: tuple = ()
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
        The keys of all values that are connected to the first ones, and the
        operations at which the way ends: they take such a value and pass no
        gradient back to it.
    """
    connected, ends = set(values), []
    for operation in operations:
        places = [
            place
            for place, value in enumerate(operation.inputs)
            if value in connected
        ]
        if not places:
            continue
        beyond = {
            operation.outputs[output]
            for output in range(len(operation.outputs))
            if any(flow.passes(operation, place, output) for place in places)
        }
        connected |= beyond
        if not beyond:
            ends.append(operation)
    return connected, ends


def find_cuts(operations, connected, targets):
    """Returns the operations that keep gradients from getting any further.

    An operation that only takes part in a way around itself, as the one that
    holds the largest number in a softmax fast, is none of them.

    Args:
        operations: The operations to go through, in their order.
        connected: Keys of the values that gradients come back from.
        targets: Keys of the values to reach, none of which is connected.

    Returns:
        Those that make a value on the way to a target, which is not connected,
        out of one that is.
    """
    wanted, cuts = set(targets), []
    for operation in reversed(operations):
        if wanted.isdisjoint(operation.outputs):
            continue
        if not connected.isdisjoint(operation.inputs):
            cuts.append(operation)
        wanted.update(set(operation.inputs) - connected)
    return cuts[::-1]
