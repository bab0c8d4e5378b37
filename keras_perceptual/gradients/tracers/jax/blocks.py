"""Computing runs of equations, with all values in them and all gradients.

Equations that follow each other are compiled as one block: compiling each by
itself takes many times as long. Blocks that are alike, such as the turns of a
loop, are compiled once.
"""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import jax

from keras_perceptual.gradients.replay import Operation
from keras_perceptual.gradients.tracers.jax import jaxprs, rules
from keras_perceptual.gradients.tracers.jax.compilation import compile_fast


@dataclasses.dataclass(frozen=True)
class Call:
    """An equation, and the operation that it is in the list of all.

    Attributes:
        equation: The equation.
        operation: The operation, with the keys of the values.
    """

    equation: Any
    operation: Operation


@dataclasses.dataclass(frozen=True)
class Block:
    """Some calls that follow each other.

    Attributes:
        calls: The calls.
        keys: The keys of all values in them, each once. Those that go into
            the block come first.
        given: How many go into it.
        steps: The signature of each call, and the places of its inputs and
            outputs in `keys`: this is equal for blocks that do the same.
    """

    calls: Sequence[Call]
    keys: Sequence[Hashable]
    given: int
    steps: tuple[Any, ...]


class Blocks:
    """Makes blocks and computes them.

    Attributes:
        rules: The `Rules` that gradients follow.
    """

    def __init__(self) -> None:
        self.rules: rules.Rules = rules.Rules()
        self._compiled: dict[Any, Any] = {}

    def make(self, calls: Any) -> Any:
        """Returns a list of calls as a `Block`."""
        operations = [call.operation for call in calls]
        made = [key for o in operations for key in o.outputs]
        given = dict.fromkeys(key for o in operations for key in o.inputs)
        for key in made:
            given.pop(key, None)
        keys = [*given, *made]
        places = {key: place for place, key in enumerate(keys)}
        steps = tuple(
            (
                self.rules.signature(call.equation),
                tuple(places[key] for key in call.operation.inputs),
                tuple(places[key] for key in call.operation.outputs),
            )
            for call in calls
        )
        return Block(tuple(calls), keys, len(given), steps)

    def run(self, block: Block, arrays: Any) -> Any:
        """Returns the values that are made in a block, by their keys.

        Args:
            block: The block.
            arrays: The values that go in, by their keys.
        """
        if block.steps not in self._compiled:
            self._compiled[block.steps] = compile_fast(self._forward(block))
        made = self._compiled[block.steps](
            [arrays[key] for key in block.keys[: block.given]]
        )
        return dict(zip(block.keys[block.given :], made, strict=True))

    def _forward(self, block: Block) -> Any:
        """Returns a function that computes the calls of a block."""
        functions = [
            self.rules.run(call.equation, step[0])
            for call, step in zip(block.calls, block.steps, strict=True)
        ]

        def compute(given: Any) -> Any:
            arrays = list(given)
            for function, (_, inputs, _) in zip(
                functions, block.steps, strict=True
            ):
                arrays += function(*(arrays[place] for place in inputs))
            return arrays[block.given :]

        return compute

    def pull(self, block: Block, arrays: Any, cotangents: Any) -> Any:
        """Computes the gradients by all values in a block.

        Args:
            block: The block.
            arrays: All values in it, by their keys.
            cotangents: Those parts of the gradients by the values made in it
                that come from behind it, by their keys.

        Returns:
            A dictionary of the gradients by the keys of their values, and one
            of what the operations add to them, by the operation and the place
            of the input.
        """
        places = {key: place for place, key in enumerate(block.keys)}
        above = {places[key]: part for key, part in cotangents.items()}
        which = (block.steps, tuple(sorted(above)))
        if which not in self._compiled:
            alone: dict[Any, Any] = {}
            compiled = compile_fast(self._backward(block, alone))
            self._compiled[which] = compiled, alone
        compiled, alone = self._compiled[which]
        found, parts = compiled([arrays[key] for key in block.keys], above)
        parts |= {where: found[place] for where, place in alone.items()}
        return (
            {block.keys[place]: gradient for place, gradient in found.items()},
            {
                (block.calls[index].operation, place): part
                for (index, place), part in parts.items()
            },
        )

    def _backward(self, block: Block, alone: Any) -> Any:
        """Returns a function that computes the gradients in a block.

        Args:
            block: The block.
            alone: A dictionary to fill with the calls and the places of their
                inputs that nothing else adds a gradient to, as far as the
                block goes, and the places of these values.
        """

        def compute(arrays: Any, above: Any) -> Any:
            found = dict(above)
            parts: dict[Any, list[Any]] = {place: [None] for place in above}
            for index in reversed(range(len(block.calls))):
                equation = block.calls[index].equation
                signature, inputs, outputs = block.steps[index]
                present = tuple(
                    place
                    for place in rules.inexact(equation.outvars)
                    if outputs[place] in found
                )
                pull = self.rules.pull(equation, signature, present)
                gradients = pull.function(
                    [arrays[place] for place in inputs],
                    [found[outputs[place]] for place in present],
                )
                for place, gradient in zip(pull.places, gradients, strict=True):
                    if jaxprs.is_literal(equation.invars[place]):
                        continue
                    value = inputs[place]
                    parts.setdefault(value, []).append(
                        ((index, place), gradient)
                    )
                    if value in found:
                        gradient = jax.lax.add(found[value], gradient)
                    found[value] = gradient
            several: dict[Any, Any] = {}
            for value, added in parts.items():
                if len(added) == 1 and added[0]:
                    alone[added[0][0]] = value
                else:
                    several.update(filter(None, added))
            return found, several

        return compute
