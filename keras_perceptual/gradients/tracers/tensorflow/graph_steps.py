"""The operations of a graph of TensorFlow, and the gradients between them.

What the graph calls is taken apart; both branches of a condition stand there,
and two turns of each loop, so that what one turn hands to the next is seen.
"""

import dataclasses
import re
from collections.abc import Hashable
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.replay import Operation
from keras_perceptual.gradients.tracers.tensorflow.graph_frames import (
    GraphFrames,
)
from keras_perceptual.gradients.tracers.tensorflow.op_gradients import (
    NO_GRADIENT,
    is_stateful,
)

_FUNCTIONS = re.compile(r"(Stateful|TPU)?PartitionedCall$")
_IFS = re.compile(r"(Stateless)?If$")
_CASES = re.compile(r"(Stateless)?Case$")
_LOOPS = re.compile(r"(Stateless)?While$")
_TURNS = 2
# What such operations let through is not known from their kind and types.
_SINGULAR = frozenset(("IdentityN",))


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a graph is called.

    Attributes:
        path: What tells this call from all others.
        scope: The names of the scopes around it.
        conditional: Whether a condition chose to call it.
    """

    path: tuple[Any, ...] = ()
    scope: tuple[Any, ...] = ()
    conditional: bool = False

    def at(self, *path: Any, **changes: Any) -> Any:
        """Returns a place in this one."""
        return dataclasses.replace(self, path=(*self.path, *path), **changes)


class GraphSteps:
    """The operations of a graph, with those of what it calls.

    Attributes:
        operations: The list of all `Operation`s.
    """

    def __init__(self) -> None:
        self.operations: list[Any] = []
        # `None` for one that hands on what a branch or a turn of a loop made.
        self._natives: dict[Any, Any] = {}
        self._answers: dict[Any, Any] = {}
        self._written: dict[Any, Any] = {}

    def read(self, graph: Any, known: Any = (), place: Any = _Place()) -> Any:
        """Adds the operations of a graph.

        Args:
            graph: The graph of a function.
            known: The keys of tensors that come in, by name.
            place: Where it is called.

        Returns:
            The keys of what the graph returns.
        """
        known = dict(known)

        def key(tensor: Any) -> Any:
            return known.get(tensor.name, (*place.path, tensor.name))

        for number, op in enumerate(graph.get_operations()):
            if op.outputs and op.outputs[0].name in known:
                continue  # What comes in.
            inputs = [key(tensor) for tensor in op.inputs]
            outputs = [key(tensor) for tensor in op.outputs]
            here = place.at(number)
            if not self._read_call(op, inputs, outputs, here):
                self._add(op, inputs, outputs, here)
        return [key(tensor) for tensor in getattr(graph, "outputs", ())]

    def _read_call(self, op: Any, inputs: Any, outputs: Any, place: Any) -> Any:
        """Adds what an operation calls, unless that is not to be had."""
        try:
            graphs = _graphs_called(op)
        except Exception:
            return False
        if not graphs:
            return False
        inner = place.at(scope=_scope_of(op, place))
        given, found = [], []
        if _FUNCTIONS.match(op.type):
            found.append(self._read_part(graphs[0], inputs, inner))
        elif _LOOPS.match(op.type):
            # That it might not turn at all is no way for a gradient.
            for turn in range(_TURNS):
                inputs = self._read_part(graphs[0], inputs, inner.at(turn))
                found.append(inputs)
        else:
            given = inputs[:1]
            for number, graph in enumerate(graphs):
                branch = inner.at(number, conditional=True)
                found.append(self._read_part(graph, inputs[1:], branch))
        kind = op.type.removeprefix("Stateless")
        for position, output in enumerate(outputs):
            made = [part[position] for part in found if position < len(part)]
            self._note(kind, [*given, *made], [output], op, place, None)
        return True

    def _read_part(self, graph: Any, inputs: Any, place: Any) -> Any:
        known = {
            tensor.name: key
            for tensor, key in zip(graph.inputs, inputs, strict=False)
        }
        return self.read(graph, known, place)

    def _add(self, op: Any, inputs: Any, outputs: Any, place: Any) -> None:
        """Adds one operation, and what is written to a variable by it.

        What was written goes into what is read later on, by a value that no
        gradient passes.
        """
        for tensor, key in zip(op.inputs, list(inputs), strict=True):
            if tensor.dtype == tf.resource and key in self._written:
                inputs.append(self._written[key])
        if op.type.startswith(("Assign", "ResourceScatter")):
            outputs.append(("written", *place.path))
            self._written[inputs[0]] = outputs[-1]
        self._note(op.type, inputs, outputs, op, place, op)

    def _note(
        self,
        kind: str,
        inputs: Any,
        outputs: Any,
        op: Any,
        place: Any,
        native: Any,
    ) -> None:
        operation = Operation(
            kind=kind,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            scope=_scope_of(op, place),
            counts_scopes=True,
            frames=GraphFrames(op),
            differentiable=native is None or self._has_gradient(native),
            varies=native is not None and is_stateful(op.type),
            conditional=place.conditional,
            # All branches are read, so that no other one is left.
            alternatives=frozenset(),
        )
        self.operations.append(operation)
        self._natives[operation] = native

    def _has_gradient(self, op: Any) -> bool:
        """Whether TensorFlow has a gradient for operations of this kind."""
        if op.type in NO_GRADIENT:
            return False
        if not any(map(_may_have_gradient, op.outputs)):
            return False
        if any(
            _may_have_gradient(tensor) or tensor.dtype == tf.resource
            for tensor in op.inputs
        ):
            return any(self._gradients_of(op))
        return True  # What goes in has lost its gradient before.

    def passes(self, operation: Any, place: Any, output: int) -> bool:
        """Whether a gradient gets from an output to an input."""
        op = self._natives[operation]
        if op is None:
            # The choice itself has no gradient.
            return place > 0 or operation.kind not in ("If", "Case")
        if place >= len(op.inputs) or output >= len(op.outputs):
            return False
        if op.inputs[place].dtype == tf.resource:
            return op.outputs[output].dtype.is_floating
        if not _may_have_gradient(op.inputs[place]):
            return False
        if not _may_have_gradient(op.outputs[output]):
            return False
        return self._gradients_of(op)[place]

    def _gradients_of(self, op: Any) -> Any:
        """Returns for each input whether a gradient comes through to it."""
        key = op
        if op.type not in _SINGULAR and not _calls_functions(op):
            tensors = [*op.inputs, *op.outputs]
            key = (op.type, *(tensor.dtype for tensor in tensors))
        if key not in self._answers:
            self._answers[key] = _ask(op)
        return self._answers[key]

    def spread(self, targets: Any) -> set[Hashable]:
        """Returns the keys of all values that have a gradient.

        Args:
            targets: Keys of what is differentiated.
        """
        found = set(targets)
        for operation in reversed(self.operations):
            there = [
                output
                for output, key in enumerate(operation.outputs)
                if key in found
            ]
            for place, key in enumerate(operation.inputs if there else ()):
                if key in found:
                    continue
                if any(self.passes(operation, place, o) for o in there):
                    found.add(key)
            # What is read is what was written.
            if there and operation.kind == "ReadVariableOp":
                found.update(operation.inputs[1:])
        return found


def place_of_call(path: Any, scope: Any, conditional: bool) -> Any:
    """Returns the place of a call for `GraphSteps.read`."""
    return _Place(path, scope, conditional)


def _scope_of(op: Any, place: Any) -> Any:
    """Returns the names of the scopes around an operation.

    In the branches of a condition they begin with those around it.
    """
    scope, around = tuple(op.name.split("/")[:-1]), place.scope
    return scope if scope[: len(around)] == around else (*around, *scope)


def _may_have_gradient(tensor: Any) -> Any:
    dtype = tensor.dtype
    return dtype.is_floating or dtype.is_complex or dtype == tf.variant


def _calls_functions(op: Any) -> Any:
    return any(
        value.HasField("func") or value.list.func
        for value in op.node_def.attr.values()
    )


def _graphs_called(op: Any) -> Any:
    """Returns the graphs that an operation calls; of a loop, its body."""
    attributes = op.node_def.attr
    if _FUNCTIONS.match(op.type):
        functions = [attributes["f"].func]
    elif _IFS.match(op.type):
        functions = [
            attributes["then_branch"].func,
            attributes["else_branch"].func,
        ]
    elif _CASES.match(op.type):
        functions = attributes["branches"].list.func
    elif _LOOPS.match(op.type):
        functions = [attributes["body"].func]
    else:
        return []
    return [op.graph._get_function(f.name).graph for f in functions]


def _ask(op: Any) -> Any:
    """Returns for each input whether a gradient comes through to it."""
    from tensorflow.python.framework import ops

    # What `tf.gradients` does, without looking at all the graph.
    with op.graph.as_default():
        try:
            function = ops.get_gradient_function(op)
            gradients = function and function(
                op,
                *(
                    tf.zeros_like(o) if _may_have_gradient(o) else None
                    for o in op.outputs
                ),
            )
        except LookupError:
            gradients = None
    if not isinstance(gradients, list | tuple):
        gradients = [gradients] * len(op.inputs)
    return [gradient is not None for gradient in gradients]
