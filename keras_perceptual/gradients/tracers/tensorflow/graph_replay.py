"""A replay of a step that TensorFlow traced and did not run.

What gradients there are is known, and no number in them. What the graph calls
is taken apart; both branches of a condition stand there, and two turns of each
loop, so that what one turn hands to the next is seen.
"""

import collections.abc
import contextlib
import functools
import os
import re
import sys
import traceback

import tensorflow as tf

from keras_perceptual.gradients.replay import (
    Derivative,
    Numbers,
    Operation,
    Replay,
)
from keras_perceptual.gradients.tracers.tensorflow.op_gradients import (
    is_stateful,
)
from keras_perceptual.gradients.tracers.tensorflow.op_recorder import native

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep
_FUNCTIONS = re.compile(r"(Stateful|TPU)?PartitionedCall$")
_BRANCHES = re.compile(r"(Stateless)?(If|Case)$")
_LOOPS = re.compile(r"(Stateless)?While$")
_TURNS = 2
# What such operations let through is not known from their kind and types.
_SINGULAR = frozenset(("IdentityN", "PyFunc", "EagerPyFunc"))
# What `tf.vectorized_map` makes of an operation is named after it.
_VECTORIZED = "/pfor/"


class GraphSteps:
    """The operations of a graph, with those of what it calls.

    Attributes:
        operations: The list of all `Operation`s.
        natives: The operation of TensorFlow behind each of them; `None` for
            one that hands on what a branch or a turn of a loop made.
    """

    def __init__(self):
        self.operations = []
        self.natives = {}
        self._answers = {}
        self._written = {}

    def read(self, graph, known=(), path=(), end=None, conditional=False):
        """Adds the operations of a graph.

        Args:
            graph: The graph of a function.
            known: The keys of tensors that come in, by name.
            path: Where the graph is called.
            end: How many operations to read. Defaults to all.
            conditional: Whether it is a branch.

        Returns:
            The keys of what the graph returns.
        """
        known = dict(known)

        def key(tensor):
            return known.get(tensor.name, (*path, tensor.name))

        for number, op in enumerate(graph.get_operations()[:end]):
            if op.outputs and op.outputs[0].name in known:
                continue  # What comes in.
            here = (*path, number)
            inputs = [key(tensor) for tensor in op.inputs]
            outputs = [key(tensor) for tensor in op.outputs]
            if not self._read_call(op, inputs, outputs, here, conditional):
                self._add(op, inputs, outputs, here, conditional)
        return [key(tensor) for tensor in getattr(graph, "outputs", ())]

    def _read_call(self, op, inputs, outputs, path, conditional):
        """Adds what an operation calls, unless that is not to be had."""
        try:
            graphs = _graphs_called(op)
        except Exception:
            return False
        if not graphs:
            return False
        if _FUNCTIONS.match(op.type):
            (graph,) = graphs
            found = [[], self._read_part(graph, inputs, path, conditional)]
            given = []
        elif _BRANCHES.match(op.type):
            given, *inputs = inputs
            given = [given]
            found = [
                self._read_part(graph, inputs, (*path, place), True)
                for place, graph in enumerate(graphs)
            ]
        else:
            given, found = [], [inputs]
            for turn in range(_TURNS):
                inputs = self._read_part(
                    graphs[0], inputs, (*path, turn), conditional
                )
                found.append(inputs)
        kind = op.type.removeprefix("Stateless")
        for place, output in enumerate(outputs):
            made = [part[place] for part in found if place < len(part)]
            self._note(kind, [*given, *made], [output], op, None, conditional)
        return True

    def _read_part(self, graph, inputs, path, conditional):
        known = {
            tensor.name: key
            for tensor, key in zip(graph.inputs, inputs, strict=False)
        }
        return self.read(graph, known, path, conditional=conditional)

    def _add(self, op, inputs, outputs, here, conditional):
        """Adds one operation, and what is written to a variable by it.

        What was written goes into what is read later on, by a value that no
        gradient passes.
        """
        for tensor, key in zip(op.inputs, list(inputs), strict=True):
            if tensor.dtype == tf.resource and key in self._written:
                inputs.append(self._written[key])
        if op.type.startswith(("Assign", "ResourceScatter")):
            outputs.append(("written", *here))
            self._written[inputs[0]] = outputs[-1]
        self._note(op.type, inputs, outputs, op, op, conditional)

    def _note(self, kind, inputs, outputs, op, passed_by, conditional):
        operation = Operation(
            kind=kind,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            scope=tuple(op.name.split("/")[:-1]),
            frames=_Frames(op),
            differentiable=passed_by is None or self._has_gradient(passed_by),
            varies=is_stateful(op.type) and passed_by is not None,
            conditional=conditional,
        )
        self.operations.append(operation)
        self.natives[operation] = passed_by

    def _has_gradient(self, op):
        outputs = [o for o in op.outputs if _may_have_gradient(o)]
        if not outputs or op.type == "Sign":
            return False
        if not any(
            _may_have_gradient(t) or t.dtype == tf.resource for t in op.inputs
        ):
            return True
        return any(self._gradients_of(op))

    def passes(self, operation, place, output):
        """Whether a gradient gets from an output to an input."""
        op = self.natives[operation]
        if op is None:
            # The choice itself has no gradient.
            choice = operation.kind in ("If", "Case") and place == 0
            return not choice
        if place >= len(op.inputs) or output >= len(op.outputs):
            return False
        value = op.inputs[place]
        if value.dtype == tf.resource:
            return op.outputs[output].dtype.is_floating
        if not (
            _may_have_gradient(value) and _may_have_gradient(op.outputs[output])
        ):
            return False
        return self._gradients_of(op)[place]

    def _gradients_of(self, op):
        """Returns for each input whether a gradient comes through to it."""
        key = op
        if op.type not in _SINGULAR and not _calls_functions(op):
            tensors = [*op.inputs, *op.outputs]
            key = (op.type, *(tensor.dtype for tensor in tensors))
        if key not in self._answers:
            self._answers[key] = _ask(op)
        return self._answers[key]

    def spread(self, targets):
        """Returns the keys of all values that have a gradient.

        Args:
            targets: Keys of what is differentiated.
        """
        found = set(targets)
        for operation in reversed(self.operations):
            there = [
                place
                for place, key in enumerate(operation.outputs)
                if key in found
            ]
            if self.natives[operation] is not None:
                there = [p for p in there if p < len(operation.outputs)]
            for place, key in enumerate(operation.inputs):
                if key not in found and any(
                    self.passes(operation, place, output) for output in there
                ):
                    found.add(key)
            # What is read has been written.
            if there and operation.kind == "ReadVariableOp":
                found.update(operation.inputs[1:])
        return found


def structural_replay(
    graph, variables, target, sources, end=None, data=(), others=()
):
    """Returns a `Replay` of a step out of its graph.

    Args:
        graph: The graph of the function that the step was traced into.
        variables: The variables to follow, of Keras or TensorFlow.
        target: What was differentiated there.
        sources: What it was differentiated by.
        end: How many operations the graph had then. Defaults to all.
        data: Pairs of a placeholder and the name of what comes in there.
        others: Other variables that are known.
    """
    return replay_graph(graph, variables, [(target, sources, ())], end, data)


def replay_graph(graph, variables, asked, end=None, data=()):
    """The same for several calls that asked for gradients.

    Args:
        graph: As for `structural_replay`.
        variables: As for `structural_replay`.
        asked: For each call the target, the sources and the frames.
        end: As for `structural_replay`.
        data: As for `structural_replay`.
    """
    steps = GraphSteps()
    coming = {
        tensor.name: (tensor.name,) for tensor in getattr(graph, "inputs", ())
    }
    steps.read(graph, coming, end=end)
    followed = {id(native(v).handle): id(v) for v in variables}
    holders = {
        (inner.name,): followed[id(outer)]
        for outer, inner in graph.captures
        if id(outer) in followed
    }
    changeable = {
        (inner.name,)
        for outer, inner in graph.captures
        if inner.dtype == tf.resource and id(outer) not in followed
    }
    for operation in steps.operations:
        if operation.kind in ("ReadVariableOp", "Cast"):
            if operation.inputs[0] in holders and operation.differentiable:
                source = holders[operation.inputs[0]]
                holders[operation.outputs[0]] = source
    derivatives = []
    for target, sources, frames in asked:
        targets = tuple(
            (tensor.name,)
            for tensor in tf.nest.flatten(target)
            if tf.is_symbolic_tensor(tensor)
        )
        handles = [_handle_of(s) for s in tf.nest.flatten(sources)]
        derivatives.append(
            Derivative(
                targets,
                frozenset(followed[h] for h in handles if h in followed),
                dict.fromkeys(steps.spread(targets), Numbers()),
                frames=frames,
            )
        )
    return Replay(
        operations=tuple(steps.operations),
        holders=holders,
        derivatives=tuple(derivatives),
        data={(tensor.name,): name for tensor, name in data},
        changeable=frozenset(changeable),
    )


def connected_captures(function):
    """Returns the values from outside that a function has gradients for.

    Args:
        function: Function without arguments. It is traced, not run.

    Returns:
        The `id` of each tensor.
    """
    graph = tf.function(function, autograph=False).get_concrete_function().graph
    steps = GraphSteps()
    coming = {tensor.name: (tensor.name,) for tensor in graph.inputs}
    found = steps.spread(steps.read(graph, coming))
    return {
        id(outer) for outer, inner in graph.captures if (inner.name,) in found
    }


class _Frames(collections.abc.Sequence):
    """The frames within the step that an operation was created in.

    To bring them from TensorFlow takes a while, and few are looked at.
    """

    def __init__(self, op):
        self._op = op

    @functools.cached_property
    def _frames(self):
        op = self._op
        if _VECTORIZED in op.name:
            with contextlib.suppress(KeyError):
                name = op.name.partition(_VECTORIZED)[0]
                op = op.graph.get_operation_by_name(name)
        frames = list(op.traceback)
        own = [i for i, f in enumerate(frames) if f.filename.startswith(_OURS)]
        return frames[own[-1] + 1 :] if own else frames

    def __getitem__(self, index):
        return self._frames[index]

    def __len__(self):
        return len(self._frames)


def within(outer, inner):
    """Returns the frames in a function, as seen from where it is called."""
    return _Within(outer, inner)


class _Within(collections.abc.Sequence):
    """Frames of a call, and those in what is called."""

    def __init__(self, outer, inner):
        self._outer, self._inner = outer, inner

    @functools.cached_property
    def _frames(self):
        seen = {(f.filename, f.lineno) for f in self._outer}
        # A function that was traced here has the frames of the call as well.
        return [
            *self._outer,
            *(f for f in self._inner if (f.filename, f.lineno) not in seen),
        ]

    def __getitem__(self, index):
        return self._frames[index]

    def __len__(self):
        return len(self._frames)


def current_frames():
    """Returns the frames of the step that is being traced."""
    frames = traceback.extract_stack(sys._getframe(1))
    own = [i for i, f in enumerate(frames) if f.filename.startswith(_OURS)]
    inside = [i for i in own if i + 1 not in own and i + 1 < len(frames)]
    return [
        f
        for f in frames[inside[-1] + 1 if inside else 0 :]
        if not f.filename.startswith(_OURS)
    ]


def _handle_of(source):
    source = native(source)
    return id(source.handle) if isinstance(source, tf.Variable) else None


def _may_have_gradient(tensor):
    dtype = tensor.dtype
    return dtype.is_floating or dtype.is_complex or dtype == tf.variant


def _calls_functions(op):
    return any(
        value.HasField("func") or value.list.func
        for value in op.node_def.attr.values()
    )


def _graphs_called(op):
    """Returns the graphs that an operation calls; of a loop, its body."""
    attributes = op.node_def.attr
    if _FUNCTIONS.match(op.type):
        names = [attributes["f"].func.name]
    elif op.type.endswith("If"):
        names = [
            attributes[k].func.name for k in ("then_branch", "else_branch")
        ]
    elif op.type.endswith("Case"):
        names = [function.name for function in attributes["branches"].list.func]
    elif _LOOPS.match(op.type):
        names = [attributes["body"].func.name]
    else:
        return []
    return [op.graph._get_function(name).graph for name in names]


def _ask(op):
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
