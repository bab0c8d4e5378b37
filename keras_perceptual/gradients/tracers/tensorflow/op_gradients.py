"""Whether TensorFlow has a gradient for operations, asked by calling it."""

import functools
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.tracers.tensorflow.op_recorder import Record
from keras_perceptual.gradients.tracers.tensorflow.tensor_numbers import (
    is_differentiable,
)

# A gradient of nothing but zeros is none, and that of Python is noted as what
# is called there.
NO_GRADIENT = frozenset(("Sign", "PyFunc", "EagerPyFunc"))
# Not operations of TensorFlow, or with a gradient of their own.
_OWN = frozenset(("If", "While", "CustomGradient", "PartitionedCall"))


class OpGradients:
    """Tells whether there is a gradient for operations that ran.

    TensorFlow is asked once for operations of one kind and of the same types.

    Args:
        tensors: The tensors that went in and came out, by key.
        failed: Types of operations whose gradient is known to fail.
    """

    def __init__(self, tensors: Any, failed: Any = ()) -> None:
        self._tensors = tensors
        self._failed = frozenset(failed)
        self._answers: dict[Any, Any] = {}

    def __call__(self, record: Record) -> bool:
        """Returns whether there is one for the operation of a `Record`."""
        inputs, outputs = (
            [self._tensors[key] for key in keys if key in self._tensors]
            for keys in (record.inputs, record.outputs)
        )
        if record.kind in self._failed | NO_GRADIENT:
            return False
        if not any(map(_may_have_gradient, outputs)):
            return False
        if record.kind in _OWN:
            return True
        key = record.kind, *(tensor.dtype for tensor in [*inputs, *outputs])
        if key not in self._answers:
            self._answers[key] = _ask(record, inputs, outputs)
        return self._answers[key]


def _may_have_gradient(tensor: Any) -> Any:
    return is_differentiable(tensor) or tensor.dtype == tf.variant


def _ask(record: Record, inputs: Any, outputs: Any) -> Any:
    from tensorflow.python.eager import backprop
    from tensorflow.python.eager import record as recording

    if not has_gradient_function(record.kind):
        return False
    if not any(_may_have_gradient(t) or t.dtype == tf.resource for t in inputs):
        return True  # What goes in has lost its gradient before.
    try:
        with recording.stop_recording():
            gradients = backprop._gradient_function(
                record.kind,
                record.attributes,
                len(inputs),
                inputs,
                outputs,
                [
                    tf.zeros_like(o) if _may_have_gradient(o) else None
                    for o in outputs
                ],
                (),
                "",
            )
    except Exception:
        return True  # There is one, and it is not known to fail.
    if not isinstance(gradients, list | tuple):
        gradients = [gradients]
    return any(gradient is not None for gradient in gradients)


def has_gradient_function(kind: str) -> bool:
    """Whether TensorFlow knows a gradient for a type of operation."""
    from tensorflow.python.framework import ops

    try:
        return ops._gradient_registry.lookup(kind) is not None
    except LookupError:
        return False
    except AttributeError:
        return True  # Not known, and most have one.


@functools.cache
def is_stateful(kind: str) -> bool:
    """Whether something else may come out of the same inputs."""
    try:
        return definition_of(kind).is_stateful
    except Exception:  # Such as the name of a function.
        return False


@functools.cache
def definition_of(kind: str) -> Any:
    """Returns how TensorFlow describes a kind of operation.

    Raises:
        Exception: Of TensorFlow, where it has no such operation.
    """
    return _definitions().op_def_for_type(kind)


@functools.cache
def _definitions() -> Any:
    return tf.Graph()
