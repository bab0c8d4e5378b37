"""The values in a step, and the gradients by them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_perceptual.gradients.replay import Operation
from keras_perceptual.gradients.tracers.jax.blocks import Block, Blocks, Call
from keras_perceptual.gradients.tracers.jax.rules import Rules
from keras_perceptual.gradients.tracers.jax.sizes import numbers_of, size_of


@dataclasses.dataclass(frozen=True)
class _Route:
    """An operation that hands numbers on as they are.

    Attributes:
        operation: The operation.
        pull: Function of a list of the gradients by its outputs, `None` where
            there is none, that returns such a list for its inputs.
    """

    operation: Operation
    pull: Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Gradients:
    """The gradients of something.

    Attributes:
        numbers: The `Numbers` of the gradient of each value that has one.
        contributions: The largest size of what an operation adds to the
            gradient of one of its inputs, by both.
        arrays: The gradients of what nothing in that part of the tape made.
    """

    numbers: dict[Any, Any]
    contributions: dict[Any, Any]
    arrays: dict[Any, Any]


class Tape:
    """Computes operations as they are written down.

    Attributes:
        arrays: The values by their keys.
        numbers: Their `Numbers`.
        rules: The `Rules` that gradients follow.
    """

    def __init__(self) -> None:
        self.arrays: dict[Any, Any] = {}
        self.numbers: dict[Any, Any] = {}
        self._blocks = Blocks()
        self.rules: Rules = self._blocks.rules
        self._waiting: list[Any] = []
        self._entries: list[Any] = []

    def put(self, key: Any, array: Any) -> None:
        """Keeps a value that is there."""
        self.arrays[key] = array
        self.numbers[key] = numbers_of(array)

    def call(self, operation: Any, equation: Any) -> None:
        """Has an equation computed, soon."""
        self._waiting.append(Call(equation, operation))

    def route(self, operation: Any, function: Any, pull: Any) -> None:
        """Hands numbers on.

        Args:
            operation: The operation.
            function: Function of a list of arrays that returns such a list.
            pull: As in `_Route`.
        """
        self.position()
        given = [self.arrays[key] for key in operation.inputs]
        for key, array in zip(operation.outputs, function(given), strict=True):
            self.put(key, array)
        self._entries.append(_Route(operation, pull))

    def position(self) -> Any:
        """Computes what is waiting, and returns the place on the tape."""
        if self._waiting:
            block = self._blocks.make(self._waiting)
            self._waiting = []
            for key, array in self._blocks.run(block, self.arrays).items():
                self.put(key, array)
            self._entries.append(block)
        return len(self._entries)

    def read(self, key: Any) -> Any:
        """Returns a value."""
        if key not in self.arrays:
            self.position()
        return self.arrays[key]

    def gradients(self, start: Any, end: Any, cotangents: Any) -> Any:
        """Returns the `Gradients` by all values in a part of the tape.

        Args:
            start: The place where it begins.
            end: The place where it ends.
            cotangents: The gradients to begin with, by the keys of values.
        """
        waiting = dict(cotangents)
        found = Gradients({}, {}, waiting)
        for entry in reversed(self._entries[start:end]):
            pull = self._route if isinstance(entry, _Route) else self._block
            pull(entry, found)
        found.numbers.update(
            (key, numbers_of(gradient)) for key, gradient in waiting.items()
        )
        return found

    def _block(self, block: Block, found: Any) -> None:
        made = block.keys[block.given :]
        above = {k: found.arrays.pop(k) for k in made if k in found.arrays}
        if not above:
            return
        gradients, parts = self._blocks.pull(block, self.arrays, above)
        for key in block.keys[: block.given]:
            if key in gradients:
                add_to(found.arrays, key, gradients.pop(key))
        for key, gradient in gradients.items():
            found.numbers[key] = numbers_of(gradient)
        for where, part in parts.items():
            found.contributions[where] = size_of(part)

    def _route(self, route: Any, found: Any) -> None:
        operation = route.operation
        above = [found.arrays.pop(key, None) for key in operation.outputs]
        for key, gradient in zip(operation.outputs, above, strict=True):
            if gradient is not None:
                found.numbers[key] = numbers_of(gradient)
        if all(gradient is None for gradient in above):
            return
        for place, part in enumerate(route.pull(above)):
            if part is not None:
                found.contributions[operation, place] = size_of(part)
                add_to(found.arrays, operation.inputs[place], part)


def add_to(arrays: Any, key: Any, part: Any) -> None:
    """Adds to one of `arrays`, which costs JAX a compilation."""
    if key in arrays:
        part = np.add(np.asarray(arrays[key]), np.asarray(part))
    arrays[key] = part
