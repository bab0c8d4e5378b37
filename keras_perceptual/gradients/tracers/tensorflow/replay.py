"""Taking a training step once more, operation by operation, for TensorFlow.

It runs eagerly, so that loops, branches and functions are taken apart. A step
that needs a graph is traced instead.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.replay import (
    Derivative,
    Operation,
    Replay,
    is_due_to_none,
)
from keras_perceptual.gradients.tracers.tensorflow import (
    graph_replay,
    graph_steps,
)
from keras_perceptual.gradients.tracers.tensorflow.graph_frames import (
    CalledFrames,
)
from keras_perceptual.gradients.tracers.tensorflow.inlining import inlined
from keras_perceptual.gradients.tracers.tensorflow.op_gradients import (
    OpGradients,
    is_stateful,
)
from keras_perceptual.gradients.tracers.tensorflow.op_recorder import (
    OpRecorder,
    Record,
    native,
)
from keras_perceptual.gradients.tracers.tensorflow.random_state import (
    random_numbers_kept,
)
from keras_perceptual.gradients.tracers.tensorflow.shadow_tapes import (
    ShadowTapes,
)
from keras_perceptual.gradients.tracers.tensorflow.tensor_numbers import (
    Contributions,
    TensorNumbers,
    has_numbers,
)
from keras_perceptual.gradients.tracers.tensorflow.writes import (
    writes_put_back,
)

__all__ = ["random_numbers_kept", "replay_function", "replay_step"]

# How many branches that were not taken are looked into.
MOST_BRANCHES = 32


def replay_step(
    step: Callable[..., Any],
    arguments: tuple[Any, ...],
    variables: Sequence[Any],
    others: Sequence[Any] = (),
) -> Replay:
    """Takes a training step once more, operation by operation.

    Args:
        step: The training step, called as `step(*arguments)`.
        arguments: A tuple with the data of one batch, of one replica.
        variables: The variables to follow, of Keras or TensorFlow.
        others: The other variables that are known.

    Returns:
        A `Replay`. The key of a variable is its `id`.
    """
    arguments = tf.nest.map_structure(_as_tensor, arguments)
    # As Keras does: its code has frames of its own in generated files.
    step = tf.autograph.experimental.do_not_convert(step)
    names = name_data(*arguments)
    try:
        with writes_put_back():
            return _run(step, arguments, names, variables, others)
    except Exception as error:
        try:
            return graph_replay.trace_replay(step, arguments, names, variables)
        except Exception:
            raise error from None


def replay_function(
    function: Callable[[], Any], variables: Sequence[Any]
) -> Replay:
    """Computes a loss and its gradients once more, operation by operation.

    Args:
        function: Function without arguments that returns the loss.
        variables: The variables to follow, of Keras or TensorFlow.

    Returns:
        A `Replay` with one `Derivative`.
    """

    def step() -> None:
        with tf.GradientTape() as tape:
            loss = function()
        tape.gradient(loss, [native(variable) for variable in variables])

    return replay_step(step, (), variables)


def name_data(*data: Any) -> Any:
    """Returns pairs of a tensor and of the name of its place in the batch."""
    if len(data) != 1:
        return _name("data", data) if data else []
    (data,) = data
    if not isinstance(data, tuple | list) or hasattr(data, "_fields"):
        return _name("x", data)
    if len(data) > 3:
        return _name("data", data)
    return [
        pair
        for name, part in zip(("x", "y", "sample_weight"), data, strict=False)
        for pair in _name(name, part)
    ]


def _name(name: str, data: Any) -> Any:
    """Returns the tensors in nested data with their names."""
    if data is None:
        return []
    if isinstance(data, dict):
        parts = [(f"{name}[{key!r}]", part) for key, part in data.items()]
    elif isinstance(data, tuple | list):
        parts = [(f"{name}[{place}]", part) for place, part in enumerate(data)]
    else:
        leaves = tf.nest.flatten(data, expand_composites=True)
        return [(leaf, name) for leaf in leaves if tf.is_tensor(leaf)]
    return [pair for part in parts for pair in _name(*part)]


def _as_tensor(value: Any) -> Any:
    """Returns a tensor for an array, and anything else as it is."""
    if hasattr(value, "__array__") and not tf.is_tensor(value):
        return tf.convert_to_tensor(value)
    return value


def _run(
    step: Any,
    arguments: tuple[Any, ...],
    names: Any,
    variables: Any,
    others: Any,
) -> Replay:
    """Returns the `Replay` of a step that is run."""
    recorder = OpRecorder(variables)
    for tensor, _ in names:
        recorder.keep(tensor)
    tapes = ShadowTapes(recorder)
    with contextlib.ExitStack() as stack:
        choices = stack.enter_context(inlined(recorder))
        stack.enter_context(tapes.recording())
        stack.enter_context(recorder.recording(sys._getframe()))
        try:
            step(*arguments)
        except Exception as error:
            # What is wrong with the gradients may have ended it.
            if tapes.error is None and not (
                tapes.questions and is_due_to_none(error)
            ):
                raise
    _look_into_branches(recorder, choices)
    return _describe(recorder, tapes.questions, names, others)


def _look_into_branches(recorder: OpRecorder, choices: Any) -> None:
    """Notes what the branches that were not taken would let through."""
    for records, functions in choices[:MOST_BRANCHES]:
        found: set[int] = set()
        for function in functions:
            # It may be unfit for where it was not called.
            with contextlib.suppress(Exception):
                found |= graph_replay.connected_captures(function)
        found &= recorder.tensors.keys()
        for record in records:
            if record.conditional or record.kind == "If":
                given = record.alternatives or ()
                record.alternatives = frozenset(found).union(given)
    for record in recorder.records:
        if recorder.branches.chose(record.frames.lines):
            # What Python would have done otherwise is not known.
            record.conditional = True
            given = recorder.dependent.intersection(record.inputs)
            record.alternatives = given.union(record.alternatives or ())


def _describe(
    recorder: OpRecorder, questions: Any, names: Any, others: Any
) -> Replay:
    """Returns what was written down as a `Replay`."""
    tensors = recorder.tensors
    failed = {kind for question in questions for kind in question.failed}
    differentiable = OpGradients(tensors, failed)
    gradients = [_gradients(recorder.records, q) for q in questions]
    operations: list[Any] = []
    for record in recorder.records:
        operation = Operation(
            kind=record.kind,
            inputs=record.inputs,
            outputs=record.outputs,
            scope=record.scope,
            frames=record.frames,
            differentiable=differentiable(record),
            varies=is_stateful(record.kind),
            own_gradient=record.kind == "CustomGradient",
            conditional=record.conditional,
            alternatives=record.alternatives,
        )
        inner = None
        if record.graph is not None:
            inner = _look_into_call(recorder, record, operation, gradients)
        operations += inner or [operation]
    return Replay(
        operations=tuple(operations),
        holders=recorder.holders,
        derivatives=tuple(
            Derivative(
                question.targets,
                question.variables,
                found,
                Contributions(operations, tensors, found.tensors),
                question.frames,
            )
            for question, found in zip(questions, gradients, strict=True)
        ),
        values=TensorNumbers(
            {key: t for key, t in tensors.items() if has_numbers(t)}
        ),
        data={id(tensor): name for tensor, name in names},
        changeable=frozenset(
            key
            for key, tensor in tensors.items()
            if tensor.dtype == tf.resource and key not in recorder.handles
        )
        | {id(native(variable).handle) for variable in others},
    )


def _gradients(records: Any, question: Any) -> Any:
    """Returns the gradients, those of what was written to variables too.

    What was written has the gradient of what is read.
    """
    gradients = dict(question.gradients)
    for record in reversed(records):
        for key in record.inputs:
            if isinstance(key, tuple) and record.outputs[0] in gradients:
                gradients[key] = gradients[record.outputs[0]]
    return TensorNumbers(gradients)


def _look_into_call(
    recorder: OpRecorder, record: Record, operation: Any, gradients: Any
) -> Any:
    """Returns the operations of a function that loses a gradient.

    Args:
        recorder: The `OpRecorder`.
        record: The `Record` of the call.
        operation: The `Operation` of it.
        gradients: The gradients of each derivative by key. What is known of
            the values in the function is added.

    Returns:
        A list of `Operation`s, or `None` where all gradients come through.
    """
    asked = [g for g in gradients if any(key in g for key in record.outputs)]
    depending = [
        key
        for key in record.inputs
        if key in recorder.dependent and key in recorder.tensors
    ]
    if all(key in g and not g[key].zero for g in asked for key in depending):
        return None
    steps = graph_steps.GraphSteps()
    place = graph_steps.place_of_call(
        ("call", id(record)), record.scope, record.conditional
    )
    known = {
        tensor.name: key
        for tensor, key in zip(record.graph.inputs, record.inputs, strict=False)
    }
    made = steps.read(record.graph, known, place)
    inner = [
        dataclasses.replace(
            step, frames=CalledFrames(record.frames, step.frames)
        )
        for step in steps.operations
    ]
    for found in asked:
        there = [
            key
            for key, output in zip(made, record.outputs, strict=False)
            if output in found
        ]
        for key in steps.spread(there):
            if key not in found:
                found.know(key)
    inner += [
        dataclasses.replace(operation, inputs=(key,), outputs=(output,))
        for key, output in zip(made, record.outputs, strict=False)
    ]
    return inner
