"""The operations of a training step, for TensorFlow."""

import collections.abc
import functools
import os
import re

import keras
import tensorflow as tf
from tensorflow.python.framework.ops import get_gradient_function

from keras_perceptual.gradients.dataflow import (
    Dataflow,
    Derivative,
    Operation,
)
from keras_perceptual.gradients.tracers.tensorflow.custom_gradients import (
    forgettable_custom_gradients,
)
from keras_perceptual.gradients.tracers.tensorflow.tapes import (
    intercept_gradient,
)

_HERE = os.path.dirname(__file__)
# Their gradient is that of the functions they call.
_CALLS = re.compile("Case|.*(PartitionedCall|If|While)$")
# What such operations let through is not known from their kind and types.
_SINGULAR = re.compile("IdentityN|Case|.*(Func|PartitionedCall|If|While)$")


def describe_data(data):
    """Returns what `trace_step` needs to know of the data of a step."""
    return tf.nest.map_structure(
        lambda x: x if x is None else tf.type_spec_from_value(x), data
    )


def trace_step(step, data, variables):
    """Traces a training step into a graph, without running it.

    The gradients that the step asks for are not computed: it is given zeros.

    Args:
        step: Function of the data that is a training step.
        data: What `describe_data` returned.
        variables: The variables to follow, of Keras or TensorFlow.

    Returns:
        The step as a `Dataflow`. The key of a variable is its `id`.
    """
    derivatives = []

    def answer(original, tape, target, sources, *args, **kwargs):
        if not are_variables(sources):
            return original(tape, target, sources, *args, **kwargs)
        derivatives.append(describe_derivative(target, sources, variables))
        return tf.nest.map_structure(
            lambda s: tf.zeros(s.shape, s.dtype), sources
        )

    with intercept_gradient(answer), forgettable_custom_gradients():
        concrete = tf.function(step, autograph=False).get_concrete_function(
            data
        )
    return describe_graph(concrete.graph, variables, derivatives)


def are_variables(sources):
    """Whether all of what is differentiated by are variables."""
    return all(
        isinstance(_native(source), tf.Variable)
        for source in tf.nest.flatten(sources)
    )


def describe_derivative(target, sources, variables):
    """Returns the `Derivative` of a call of `GradientTape.gradient`."""
    natives = {id(_native(v)): id(v) for v in variables}
    leaves = [_native(source) for source in tf.nest.flatten(sources)]
    targets = [t for t in tf.nest.flatten(target) if tf.is_tensor(t)]
    return Derivative(
        tuple(t.name for t in targets if tf.is_symbolic_tensor(t)),
        frozenset(natives[id(leaf)] for leaf in leaves if id(leaf) in natives),
    )


def describe_graph(graph, variables, derivatives, end=None):
    """Returns the `Dataflow` of the first operations of a graph.

    Args:
        graph: The graph of a function.
        variables: The variables to follow.
        derivatives: The `Derivative` of each gradient that is asked for.
        end: How many operations to look at. Defaults to all.
    """
    handles = {id(_native(v).handle): id(v) for v in variables}
    return Dataflow(
        operations=tuple(_operations(graph.get_operations()[:end])),
        holders={
            inner.name: handles[id(outer)]
            for outer, inner in graph.captures
            if id(outer) in handles
        },
        derivatives=tuple(derivatives),
        passes=_Passes(graph),
    )


def _native(variable):
    """Returns the variable of TensorFlow behind one of Keras."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def _operations(natives):
    """Yields operations of a graph, those that write to variables too.

    What was written to a variable goes into what is read from it later on,
    by a value that no gradient passes.
    """
    written = {}
    for operation in natives:
        inputs = [tensor.name for tensor in operation.inputs]
        outputs = [tensor.name for tensor in operation.outputs]
        writes = operation.type.startswith("Assign")
        inputs += [written[name] for name in inputs if name in written]
        if writes:
            outputs.append(f"{operation.name} in {inputs[0]}")
            written[inputs[0]] = outputs[-1]
        yield Operation(
            kind=operation.type,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            scope=tuple(operation.name.split("/")[:-1]),
            frames=_Frames(operation),
            native=operation,
        )


class _Frames(collections.abc.Sequence):
    """The frames within the step that an operation was created in.

    To bring them from TensorFlow takes a while, and few are looked at.
    """

    def __init__(self, operation):
        self._operation = operation

    @functools.cached_property
    def _frames(self):
        frames = list(self._operation.traceback)
        own = [i for i, f in enumerate(frames) if f.filename.startswith(_HERE)]
        return frames[own[-1] + 1 :] if own else frames

    def __getitem__(self, index):
        return self._frames[index]

    def __len__(self):
        return len(self._frames)


class _Passes:
    """Tells whether a gradient gets through an operation.

    TensorFlow is asked for the gradient of every kind of operation once.
    """

    def __init__(self, graph):
        self._graph = graph
        self._known = {}
        self._answers = {}

    def __call__(self, operation, place, output):
        # Every variable is followed through the same operations.
        question = operation, place, output
        if question not in self._answers:
            self._answers[question] = self._look(*question)
        return self._answers[question]

    def _look(self, operation, place, output):
        native = operation.native
        if place >= len(native.inputs) or output >= len(native.outputs):
            return False
        if native.inputs[place].dtype == tf.resource:
            return native.outputs[output].dtype.is_floating
        if not (
            _has_gradient(native.inputs[place])
            and _has_gradient(native.outputs[output])
        ):
            return False
        key = native.name
        if not _SINGULAR.match(native.type):
            tensors = [*native.inputs, *native.outputs]
            key = (native.type, *(tensor.dtype for tensor in tensors))
        if key not in self._known:
            with self._graph.as_default():
                self._known[key] = self._ask(native)
        return self._known[key][place]

    def _ask(self, native):
        """Returns for each input whether a gradient comes through to it."""
        try:
            if _CALLS.match(native.type):
                gradients = tf.gradients(
                    [o for o in native.outputs if o.dtype.is_floating],
                    list(native.inputs),
                )
            else:
                # What `tf.gradients` does, without looking at all the graph.
                function = get_gradient_function(native)
                gradients = function and function(
                    native,
                    *(
                        tf.zeros_like(o) if _has_gradient(o) else None
                        for o in native.outputs
                    ),
                )
        except LookupError:
            gradients = None
        if not isinstance(gradients, list | tuple):
            gradients = [gradients] * len(native.inputs)
        return [gradient is not None for gradient in gradients]


def _has_gradient(tensor):
    """Whether a tensor is of a kind that gradients exist for."""
    dtype = tensor.dtype
    return dtype.is_floating or dtype.is_complex or dtype == tf.variant


def public_functions():
    """Returns where the names of public functions are looked up."""
    return (
        ("tf", tf),
        ("tf.math", tf.math),
        ("tf.nn", tf.nn),
        ("tf.image", tf.image),
        ("tf.linalg", tf.linalg),
    )


def says_it_left(error):
    """Whether a step could not be traced as it leaves TensorFlow.

    That is so where it makes a number of Python or an array of NumPy out of a
    tensor.
    """
    return "SymbolicTensor" in str(error) or (
        "symbolic `tf.Tensor`" in str(error)
        or "symbolic tf.Tensor" in str(error)
        or "numpy() is only available" in str(error)
    )


def says_gradient_failed(error):
    """Whether a step failed while TensorFlow computed gradients."""
    return isinstance(error, tf.errors.OpError) and "gradient" in str(error)
