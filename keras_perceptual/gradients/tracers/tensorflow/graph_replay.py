"""A replay of a step that TensorFlow traced and did not run.

What gradients there are is known, and no number in them.
"""

import contextlib
from collections.abc import Hashable
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.gradients.replay import Derivative, Numbers, Replay
from keras_perceptual.gradients.tracers.tensorflow.custom_gradients import (
    forgettable_custom_gradients,
)
from keras_perceptual.gradients.tracers.tensorflow.graph_frames import (
    current_frames,
)
from keras_perceptual.gradients.tracers.tensorflow.graph_steps import GraphSteps
from keras_perceptual.gradients.tracers.tensorflow.inlining import (
    without_recomputing,
)
from keras_perceptual.gradients.tracers.tensorflow.op_recorder import native


def trace_replay(
    step: Any, arguments: tuple[Any, ...], names: Any, variables: Any
) -> Replay:
    """Returns the `Replay` of a step that is traced.

    The gradients that it asks for are not computed: it is given zeros.

    Args:
        step: The training step, called as `step(*arguments)`.
        arguments: A tuple with the data of one batch.
        names: Pairs of a tensor of the data and of the name of its place.
        variables: The variables to follow, of Keras or TensorFlow.
    """
    asked = []

    def answer(
        original: Any,
        tape: Any,
        target: Any,
        sources: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        flat = [native(source) for source in tf.nest.flatten(sources)]
        if not all(isinstance(source, tf.Variable) for source in flat):
            return original(tape, target, sources, *args, **kwargs)
        asked.append((target, sources, current_frames()))
        return tf.nest.map_structure(
            lambda source: tf.zeros(source.shape, source.dtype), sources
        )

    traced = tf.function(step, autograph=False)
    with (
        intercepted(tf.GradientTape, "gradient", answer),
        _nothing_recomputed(),
        forgettable_custom_gradients(),
    ):
        graph = traced.get_concrete_function(*arguments).graph
    places = {id(tensor): name for tensor, name in names}
    leaves = [
        leaf
        for leaf in tf.nest.flatten(arguments, expand_composites=True)
        if tf.is_tensor(leaf)
    ]
    data = [
        (inner, places[id(leaf)])
        for leaf, inner in zip(leaves, graph.inputs, strict=False)
        if id(leaf) in places
    ]
    return _describe(graph, variables, asked, data)


def _nothing_recomputed() -> Any:
    """Returns a context in which `tf.recompute_grad` only calls a function."""
    try:
        from tensorflow.python.ops import custom_gradient

        custom_gradient._graph_mode_decorator  # noqa: B018
    except (ImportError, AttributeError):
        return contextlib.nullcontext()
    return intercepted(
        custom_gradient, "_graph_mode_decorator", without_recomputing
    )


def connected_captures(function: Any) -> Any:
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


def _describe(graph: Any, variables: Any, asked: Any, data: Any) -> Replay:
    """Returns a graph as a `Replay`.

    Args:
        graph: The graph of a function.
        variables: The variables to follow.
        asked: For each call that asked for gradients the target, the sources
            and the frames.
        data: Pairs of a placeholder and of the name of what comes in there.
    """
    steps = GraphSteps()
    coming = {tensor.name: (tensor.name,) for tensor in graph.inputs}
    steps.read(graph, coming)
    followed = {id(native(v).handle): id(v) for v in variables}
    holders: dict[Hashable, Hashable] = {}
    changeable: set[Hashable] = set()
    for outer, inner in graph.captures:
        if id(outer) in followed:
            holders[(inner.name,)] = followed[id(outer)]
        elif inner.dtype == tf.resource:
            changeable.add((inner.name,))
    for operation in steps.operations:
        if operation.kind in ("ReadVariableOp", "Cast"):
            source = holders.get(operation.inputs[0])
            if source is not None and operation.differentiable:
                holders[operation.outputs[0]] = source
    return Replay(
        operations=tuple(steps.operations),
        holders=holders,
        derivatives=tuple(
            _derivative(steps, followed, *question) for question in asked
        ),
        data={(tensor.name,): name for tensor, name in data},
        changeable=frozenset(changeable),
    )


def _derivative(
    steps: Any, followed: Any, target: Any, sources: Any, frames: Any
) -> Any:
    targets = tuple(
        (tensor.name,)
        for tensor in tf.nest.flatten(target)
        if tf.is_symbolic_tensor(tensor)
    )
    natives = [native(source) for source in tf.nest.flatten(sources)]
    handles = [id(v.handle) for v in natives if isinstance(v, tf.Variable)]
    return Derivative(
        targets,
        frozenset(followed[h] for h in handles if h in followed),
        dict.fromkeys(steps.spread(targets), Numbers()),
        frames=frames,
    )
