"""The gradients of a traced step, computed beside it, for TensorFlow.

Grappler and XLA rearrange the arithmetic of a step in another way once
something else takes a number from the middle of it, and then it rounds
differently. So a step that is traced has nothing added: what leads to its
gradients is copied from its graph into a function of its own, without running
Python again.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.signals import measure
from keras_perceptual.gradients.statistics import statistics_rows
from keras_perceptual.gradients.tracers.tensorflow.norms import exact_norms
from keras_perceptual.gradients.tracers.tensorflow.op_gradients import (
    definition_of,
)

# What draws random numbers from a generator, a variable of integers.
_DRAWS = re.compile(
    r"Rng\w+"
    r"|Stateful(Uniform|StandardNormal|TruncatedNormal|RandomBinomial)\w*"
)
# What writes to its first input, a variable, which can be put back.
_WRITES = re.compile(
    r"Assign(Add|Sub)?VariableOp|ResourceStridedSliceAssign"
    rf"|Resource(Scatter|Apply|SparseApply)\w+|{_DRAWS.pattern}"
)
# What holds other operations, which are looked at.
_CALLS = re.compile("If|While|Case|StatefulPartitionedCall")
# What may run once more, though it has a state: it takes from nothing but
# variables and random numbers of its own, and gives to nothing but variables.
_AGAIN = re.compile(
    r"ReadVariableOp|VarIsInitializedOp|VariableShape|ResourceGather(Nd)?"
    r"|LookupTable(Find|Size)V2|TensorArray\w+|Assert|CheckNumerics(V2)?"
    r"|Random(Uniform|UniformInt|StandardNormal|Gamma|PoissonV2|Shuffle)"
    r"|(Parameterized)?TruncatedNormal|Multinomial|\w+CandidateSampler"
    r"|SampleDistortedBoundingBox(V2)?|StatelessRandomGetAlg|CudnnRNN\w*"
    rf"|DeviceIndex|Empty|GuaranteeConst|{_WRITES.pattern}|{_CALLS.pattern}"
)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of an optimizer.

    Attributes:
        keys: The `id` of each variable.
        gradients: The numbers of the gradient of each.
        loss_scale: The factor by which the loss was scaled, if any.
        is_dynamic: Whether the optimizer lowers it upon an overflow.
        penalties: Function that returns what penalties add to the gradients,
            by place.
        counts_zeros: Whether the share of exact zeros is found, too.
    """

    keys: list[Any]
    gradients: list[Any]
    loss_scale: Any
    is_dynamic: bool
    penalties: Any
    counts_zeros: bool = False

    def rows(self, gradients: Any) -> Any:
        """Returns the statistics of the gradients, where they are computed.

        Args:
            gradients: The gradients of the call, or what stands for them.
        """
        return statistics_rows(
            gradients,
            exact_norms,
            self.loss_scale,
            self.is_dynamic,
            self.penalties(),
            self.counts_zeros,
        )


def can_have_shadow(graph: Any, variables: Any) -> bool:
    """Whether all of a graph may run once more, as far as it is traced.

    Args:
        graph: The graph of a step.
        variables: As for `make_shadow`.
    """
    try:
        _written_by(graph.get_operations(), graph, variables)
    except Exception:
        return False
    return True


def make_shadow(
    calls: Any,
    variables: Any,
    jit_compile: bool = True,
    heard: Any = (),
    signals: Any = None,
) -> Any:
    """Returns a function of a batch that computes the rows of some calls.

    What the step does to variables on the way is done and put back.

    Args:
        calls: A list of `Call`, all of one graph, whose arguments are the
            parts of the batch.
        variables: The Keras variables that are known.
        jit_compile: Whether XLA compiles it, as it does the step.
        heard: A list of `Signal`, of tensors of the same graph.
        signals: The `Signals` that keep what is made of them.

    Raises:
        ValueError: If an operation would run once more that must not.
    """
    (graph,) = {tensor.graph for call in calls for tensor in call.gradients}
    tensors = [tensor for call in calls for tensor in call.gradients]
    tensors += [signal.tensor for signal in heard]
    present = _needed_for(tensors)
    definition = graph.as_graph_def()
    written = _written_by(present.values(), graph, variables)
    nodes = [
        node
        for node in definition.node
        if node.name in present and node.op != "Placeholder"
    ]
    del definition.node[:]
    definition.node.extend(nodes)
    captured = {inner.name: _origin(outer) for outer, inner in graph.captures}
    arguments = [t.name for t in graph.inputs if t.name not in captured]

    @tf.function(  # type: ignore[untyped-decorator]
        jit_compile=jit_compile, autograph=False
    )
    def shadow(*parts: Any) -> Any:
        capture = tf.compat.v1.get_default_graph().capture
        given = dict(zip(arguments, parts, strict=True))
        given |= {name: capture(outer) for name, outer in captured.items()}
        found = iter(
            tf.graph_util.import_graph_def(
                definition,
                input_map={
                    name: tensor
                    for name, tensor in given.items()
                    if name.partition(":")[0] in present
                },
                return_elements=[tensor.name for tensor in tensors],
                name="",
            )
        )
        rows = [
            call.rows([next(found) for _ in call.gradients]) for call in calls
        ]
        passed = [dataclasses.replace(s, tensor=next(found)) for s in heard]
        return rows, measure(passed) if passed else ()

    traced: dict[Any, Any] = {}

    def compute(batch: Any) -> Any:
        parts = tf.nest.flatten(batch, expand_composites=True)
        parts = [part for part in parts if part is not None]
        specs = tuple(map(tf.type_spec_from_value, parts))
        if specs not in traced:
            # Called as it is, TensorFlow would count all shadows as one
            # function, and warn the user that it is traced too often.
            traced[specs] = shadow.get_concrete_function(*specs)
        with _put_back(written):
            rows, numbers = traced[specs](*parts)
        if heard:
            signals.keep(heard, numbers.numpy())
        return [
            (call.keys, numbers.numpy())
            for call, numbers in zip(calls, rows, strict=True)
        ]

    return compute


def _needed_for(tensors: Any) -> Any:
    """Returns the operations that tensors are computed by, by their names."""
    wanted, found = [tensor.op for tensor in tensors], {}
    while wanted:
        operation = wanted.pop()
        if operation.name not in found:
            found[operation.name] = operation
            wanted += [tensor.op for tensor in operation.inputs]
            wanted += operation.control_inputs
    return found


def _written_by(operations: Any, graph: Any, variables: Any) -> Any:
    """Returns the variables that operations write to.

    Args:
        operations: Operations of a graph.
        graph: The graph.
        variables: The Keras variables that are known.

    Returns:
        List of pairs of the handle of a variable and its type.

    Raises:
        ValueError: If an operation would run once more that must not.
    """
    kinds = {operation.type for operation in operations}
    inside = _kinds_in_functions(kinds, graph)
    for kind in kinds | inside:
        if definition_of(kind).is_stateful and not _AGAIN.fullmatch(kind):
            raise ValueError(
                "A step is not computed beside itself where an operation of it "
                f"must run once alone. Received: {kind}"
            )
    functions_write = any(map(_WRITES.fullmatch, inside))
    types = {id(v.value.handle): v.value.dtype for v in variables}
    found = {}
    for operation in operations:
        handles = []
        if _WRITES.fullmatch(operation.type):
            handles = [_origin(operation.inputs[0])]
            types[id(handles[0])] = _type_written(operation)
        elif functions_write and _CALLS.fullmatch(operation.type):
            handles = [
                _origin(tensor)
                for tensor in operation.inputs
                if tensor.dtype == tf.resource
            ]
        for handle in handles:
            if id(handle) not in types:
                raise ValueError(
                    "A step is not computed beside itself where a function in "
                    "it writes to what is no variable of the model. "
                    f"Received: {operation.name}"
                )
            found[id(handle)] = handle, types[id(handle)]
    return list(found.values())


def _kinds_in_functions(kinds: Any, graph: Any) -> set[str]:
    """Returns the kinds of operations that others of some kinds may run."""
    attributes = [
        attribute.type
        for kind in kinds
        for attribute in definition_of(kind).attr
    ]
    if "func" not in attributes and "list(func)" not in attributes:
        return set()
    library = graph.as_graph_def().library
    return {node.op for body in library.function for node in body.node_def}


def _type_written(operation: Any) -> Any:
    """Returns the type of the variable that an operation writes to."""
    if _DRAWS.fullmatch(operation.type):
        return tf.int64
    names = [attribute.name for attribute in operation.op_def.attr]
    return operation.get_attr("dtype" if "dtype" in names else "T")


@contextlib.contextmanager
def _put_back(written: Any) -> Iterator[None]:
    """Puts back what is written to variables inside.

    Args:
        written: As `_written_by` returns it.
    """
    former = [
        tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)
        for handle, dtype in written
    ]
    try:
        yield
    finally:
        for (handle, _), value in zip(written, former, strict=True):
            tf.raw_ops.AssignVariableOp(resource=handle, value=value)


def _origin(tensor: Any) -> Any:
    """Returns the tensor outside of all graphs that one in them stands for."""
    while tf.is_symbolic_tensor(tensor):
        tensor = next(
            outer for outer, inner in tensor.graph.captures if inner is tensor
        )
    return tensor
