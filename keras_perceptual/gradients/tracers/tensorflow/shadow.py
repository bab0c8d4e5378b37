"""The gradients of a compiled step, computed beside it, for TensorFlow.

XLA fuses the arithmetic of a step in another way once something else takes a
number from the middle of it, and then rounds differently. So a step that is
compiled has nothing added: what leads to its gradients is copied from its
graph into a function of its own, without running Python again.
"""

import dataclasses
import re
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.statistics import statistics_rows
from keras_perceptual.gradients.tracers.tensorflow.norms import exact_norms

# What must not run once more: code of Python, and what takes from a stream of
# data or writes to one.
_ONCE = re.compile(
    "PyFunc|Iterator|Queue|Barrier|Stage|Print|Write|Save|TableI(nsert|mport)"
)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of an optimizer in a graph.

    Attributes:
        keys: The `id` of each variable.
        gradients: The numbers of the gradient of each, tensors of the graph.
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


def make_shadow(calls: Any, jit_compile: bool = True) -> Any:
    """Returns a function of a batch that computes the rows of some calls.

    Args:
        calls: A list of `Call`, all of one graph, whose arguments are the
            parts of the batch.
        jit_compile: Whether XLA compiles it, as it does the step.

    Raises:
        ValueError: If an operation would run once more that must not.
    """
    (graph,) = {tensor.graph for call in calls for tensor in call.gradients}
    tensors = [tensor for call in calls for tensor in call.gradients]
    present = _needed_for(tensors)
    definition = graph.as_graph_def()
    nodes = [
        node
        for node in definition.node
        if node.name in present and node.op != "Placeholder"
    ]
    held = (f.node_def for f in definition.library.function)
    for node in [*nodes, *(node for body in held for node in body)]:
        if _ONCE.search(node.op):
            raise ValueError(
                "A step is not computed beside itself where an operation of it "
                f"must run once alone. Received: {node.op}"
            )
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
        return [
            statistics_rows(
                [next(found) for _ in call.gradients],
                exact_norms,
                call.loss_scale,
                call.is_dynamic,
                call.penalties(),
                call.counts_zeros,
            )
            for call in calls
        ]

    def compute(batch: Any) -> Any:
        parts = tf.nest.flatten(batch, expand_composites=True)
        rows = shadow(*(part for part in parts if part is not None))
        return [
            (call.keys, numbers.numpy())
            for call, numbers in zip(calls, rows, strict=True)
        ]

    return compute


def _needed_for(tensors: Any) -> Any:
    """Returns the names of the operations that tensors are computed by."""
    wanted, found = [tensor.op for tensor in tensors], set()
    while wanted:
        operation = wanted.pop()
        if operation.name not in found:
            found.add(operation.name)
            wanted += [tensor.op for tensor in operation.inputs]
            wanted += operation.control_inputs
    return found


def _origin(tensor: Any) -> Any:
    """Returns the tensor outside of all graphs that one in them stands for."""
    while tf.is_symbolic_tensor(tensor):
        tensor = next(
            outer for outer, inner in tensor.graph.captures if inner is tensor
        )
    return tensor
