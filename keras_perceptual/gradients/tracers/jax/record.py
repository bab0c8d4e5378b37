"""What is written down of a step while it is taken apart."""

import dataclasses
import functools
import itertools
from collections.abc import Hashable
from typing import Any

import numpy as np

from keras_perceptual.gradients.replay import Operation, Replay
from keras_perceptual.gradients.tracers.jax import sources
from keras_perceptual.gradients.tracers.jax.tape import Tape


@dataclasses.dataclass(frozen=True)
class Where:
    """Where in the program and in the computation something stands.

    Attributes:
        scope: Names of the scopes it is called in.
        frames: The Python frames it is called in.
        called: Whether it is in something that an equation holds.
        conditional: Whether it is in a branch that a condition chose.
        alternatives: As in `replay.Operation`.
    """

    scope: tuple[str, ...] = ()
    frames: tuple[Any, ...] = ()
    called: bool = False
    conditional: bool = False
    alternatives: frozenset[Any] | None = None

    def at(self, equation: Any) -> Any:
        """Returns where an equation stands that stands in here."""
        return dataclasses.replace(
            self,
            scope=(*self.scope, *sources.scope_of(equation)),
            frames=(*self.frames, *sources.frames_of(equation, self.called)),
        )


@dataclasses.dataclass
class Region:
    """A part of a step that is differentiated.

    Attributes:
        start: Where on the tape it starts.
        first: No key that is made in it is smaller.
        inputs: Keys, inside, of what it is differentiated by.
        asked: The variables among that, as bits.
        closed_over: The keys, inside, of values from outside that depend on
            these variables, by their keys outside.
        end: Where on the tape it ends.
        targets: Keys of what is differentiated.
    """

    start: int
    first: int
    inputs: tuple[Any, ...] = ()
    asked: int = 0
    closed_over: dict[Any, Any] = dataclasses.field(default_factory=dict)
    end: int = 0
    targets: tuple[Any, ...] = ()


class Record:
    """The operations of a step, and the values in it.

    Attributes:
        tape: The `Tape` that computes the values.
        holders: As in `Replay`.
        data: As in `Replay`.
        changeable: A set of keys, as in `Replay`.
        derivatives: A list, as in `Replay`.
        state: The keys of what a step is given to train, in its order.
        region: The `Region` that is being written down, or `None`.
    """

    def __init__(self) -> None:
        self.tape: Tape = Tape()
        self.holders: dict[Any, Any] = {}
        self.data: dict[Any, Any] = {}
        self.changeable: set[Any] = set()
        self.derivatives: list[Any] = []
        self.state: list[Any] = []
        self.region: Region | None = None
        self._operations: list[Any] = []
        self._new_key = itertools.count().__next__
        # By the address of an array.
        self._known: dict[Any, Any] = {}
        self._stored: dict[Any, Any] = {}
        self._changing: set[Any] = set()
        # What is told apart by its address stays where it is.
        self._kept: list[Any] = []
        self._variables: list[Any] = []
        self._roots: dict[Any, Any] = {}

    @property
    def length(self) -> Any:
        """The number of operations."""
        return len(self._operations)

    def finish(self) -> Replay:
        """Returns the `Replay` of what has been written down."""
        self.tape.position()
        return Replay(
            operations=tuple(self._operations),
            holders=self.holders,
            derivatives=tuple(self.derivatives),
            values=self.tape.numbers,
            data=self.data,
            changeable=frozenset(self.changeable),
        )

    def new_key(self) -> Any:
        """Returns a key that is larger than all others."""
        return self._new_key()

    def add_value(self, array: Any) -> Any:
        """Returns a key for a value that no operation makes."""
        key = self._new_key()
        self.tape.put(key, array)
        return key

    def hold(self, key: Any, variable: Any) -> None:
        """Has a value stand for a variable."""
        if variable not in self._variables:
            self._variables.append(variable)
        self.holders[key] = variable
        self._roots[key] = 1 << self._variables.index(variable)

    def know(self, array: Any, key: Any) -> None:
        """Has an array that occurs as a constant be a known value."""
        self._known[id(array)] = key
        self._kept.append(array)

    def know_stored(self, array: Any, key: Any) -> None:
        """Has an array be known as what is stored in a variable.

        Args:
            array: The array.
            key: The key of the value that stands for the variable.
        """
        self._stored[id(array)] = key
        self._kept.append(array)

    def know_changing(self, array: Any) -> None:
        """Has an array be known as one that may be different next time."""
        self._changing.add(id(array))
        self._kept.append(array)

    def constant(self, array: Any, where: Where) -> Hashable:
        """Returns the key of an array that occurs as a constant."""
        if id(array) not in self._known:
            key = self.add_value(array)
            if id(array) in self._stored:
                # What is stored is not what gradients are asked by.
                key = self.cut("stored_value", self._stored[id(array)], where)
            elif id(array) in self._changing:
                self.changeable.add(key)
            self.know(array, key)
        return self._known[id(array)]

    def literal(self, atom: Any) -> Hashable:
        """Returns the key of a number that is written into an equation."""
        if id(atom) not in self._known:
            dtype = getattr(atom.aval, "dtype", None)
            self.know(atom, self.add_value(np.asarray(atom.val, dtype)))
        return self._known[id(atom)]

    def add(
        self, kind: str, inputs: Any, count: int, where: Where, **options: Any
    ) -> Any:
        """Writes down an operation and returns it.

        Args:
            kind: As in `Operation`.
            inputs: Keys of the values that go in.
            count: How many come out.
            where: Where it stands.
            **options: Further attributes of the `Operation`.
        """
        return self._write(
            kind,
            [self.inside(key, where) for key in inputs],
            count,
            where,
            **options,
        )

    def _write(
        self, kind: str, inputs: Any, count: int, where: Where, **options: Any
    ) -> Any:
        operation = Operation(
            kind=kind,
            inputs=tuple(inputs),
            outputs=tuple(self._new_key() for _ in range(count)),
            scope=where.scope,
            frames=where.frames,
            conditional=where.conditional,
            alternatives=where.alternatives,
            **options,
        )
        roots = functools.reduce(int.__or__, map(self.roots, inputs), 0)
        if roots:
            self._roots.update(dict.fromkeys(operation.outputs, roots))
        self._operations.append(operation)
        return operation

    def roots(self, key: Any) -> Any:
        """Returns the variables that a value depends on, as bits."""
        return self._roots.get(key, 0)

    def variables(self, roots: Any) -> Any:
        """Returns the variables for bits."""
        return [
            variable
            for index, variable in enumerate(self._variables)
            if roots >> index & 1
        ]

    def inside(self, key: Any, where: Where) -> Hashable:
        """Returns the key of a value in the region that is written down.

        What has been computed from a variable before is a constant to the
        function that is differentiated by this variable.
        """
        region = self.region
        if (
            region is None
            or key >= region.first
            or not self.roots(key) & region.asked
        ):
            return key
        if key not in region.closed_over:
            region.closed_over[key] = self.cut("closed_over", key, where)
        return region.closed_over[key]

    def cut(self, kind: str, key: Any, where: Where) -> Any:
        """Has a value go on without a gradient; returns its new key."""
        operation = self._write(kind, [key], 1, where, differentiable=False)
        self.tape.route(operation, list, lambda gradients: [None])
        return operation.outputs[0]
