"""What TensorFlow does in ways of its own, and why.

Ratios are the processor time of the default by that of the override, on a CPU,
as `benchmarks/backend_overrides.py` prints them.
"""

import functools
import math
from collections.abc import Callable, Hashable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_perceptual._backend import defaults
from keras_perceptual._backend.defaults import (
    Function,
    LinearMap,
    Locator,
    State,
)
from keras_perceptual._backend.tensorflow_blocks import (
    SMALL,
    compute_in_blocks,
)
from keras_perceptual._backend.tensorflow_surroundings import (
    graph_around_compiled_code,
    has_accelerator,
    has_tangents,
    is_debugged,
    is_vectorized,
)
from keras_perceptual.typing import Tensor

__all__ = [
    "apply_linear",
    "as_written",
    "call_when",
    "clamp",
    "compile_in_graph",
    "compile_pointwise",
    "fold",
    "halve",
    "is_chief",
    "is_everywhere",
    "is_exporting",
    "read_blended",
    "replica_count",
    "replica_rows",
    "replica_total",
    "take",
    "take_every_second",
    "watch_gradients",
]

# How many sizes have a compiled program of their own: a few crops, the scales
# of a network with three outputs.
MOST_SIZES = 3


def as_written(function: Function) -> Function:
    """Returns a function of the package that nobody need rewrite to trace it.

    Speed: 2 for the first trace of an edge loss. A `tf.function` turns the
    `if` and `for` of all that it calls into operations, and has to read it.
    """
    untouched: Function = tf.autograph.experimental.do_not_convert(function)
    return untouched


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """Moves what lies outside a range to its end, with the slope 1 there."""
    # Speed: 8 in a graph, and 1.6 with its gradient; 1 compiled.
    return tf.clip_by_value(x, low, high)


def take(table: Tensor, index: Tensor) -> Tensor:
    """Returns the entries of `table` at integers that lie inside it."""
    # Speed: 1.6 for curves in a graph, and 1.4 with the gradient; 1 compiled.
    # `keras.ops.take` looks for negative indices.
    return tf.gather(table, index)


def take_every_second(x: Tensor, axes: tuple[int, int]) -> Tensor:
    """Returns every second row of two neighboring axes, from the first on."""
    # Speed: 5.5 in a graph, eagerly 5, and 3 with the gradient: slices with a
    # stride, and the zeros around them in their gradient, are written number
    # by number. The mean of one number is that number.
    if _is_compiled_elsewhere(x):
        return defaults.take_every_second(x, axes)
    return _pool(x, axes, 1, "SAME")


def halve(x: Tensor, axes: tuple[int, int]) -> Tensor:
    """Returns the means of two by two numbers along two neighboring axes."""
    # Speed: 8 in a graph, 6 with the gradient, eagerly 7 and 4.5.
    if _is_compiled_elsewhere(x):
        return defaults.halve(x, axes)
    return _pool(x, axes, 2, "VALID")


def _is_compiled_elsewhere(x: Tensor) -> bool:
    """Whether others make a program of what is done to `x`."""
    return is_exporting(x) or graph_around_compiled_code() is not None


def _pool(x: Tensor, axes: tuple[int, int], size: int, padding: str) -> Tensor:
    """Returns the means of windows of two axes, every second of them."""
    shape = list(ops.shape(x))
    first, last = axes
    images = (-1, *shape[first : last + 1], math.prod(shape[last + 1 :]))
    found = tf.nn.avg_pool2d(tf.reshape(x, images), size, 2, padding)
    shape[first : last + 1] = ops.shape(found)[1:3]
    return tf.reshape(found, shape)


def fold(
    function: Callable[[Tensor, State], State],
    count: int | Tensor,
    state: State,
) -> State:
    """Returns `function(index, state)`, applied for each index in turn.

    Memory: no turn begins before the last one has ended, so that what one needs
    is free for the next. An image of 1500 pixels a side, in windows of 512,
    takes a quarter less.
    """
    _, state = tf.while_loop(
        lambda index, _: index < count,
        lambda index, state: (index + 1, function(index, state)),
        (tf.constant(0), state),
        parallel_iterations=1,
        # XLA has to know for how many turns the gradient keeps something.
        maximum_iterations=count,
    )
    return state


def apply_linear(
    forward: LinearMap, transpose: LinearMap, *inputs: Tensor
) -> tuple[Tensor, ...]:
    """Returns `forward(*inputs)`, with `transpose` as its gradient.

    Speed: 8 to 9 for the gradient in a graph, 3 eagerly, 1.1 to 1.6 compiled.
    The derivative of every slice is a whole image of zeros with the slice in
    it; a map cut into a dozen slices is better told its transpose.
    Derivatives of any order are exact.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(*tensors: Tensor) -> tuple[tuple[Tensor, ...], LinearMap]:
        def gradient(*upstream: Tensor) -> tuple[Tensor, ...]:
            return apply_linear(transpose, forward, *upstream)

        return forward(*tensors), gradient

    return tuple(run(*inputs))


def compile_in_graph(
    function: Callable[..., Tensor], *settings: Hashable
) -> Callable[..., Tensor]:
    """Returns a function with its settings, compiled where a graph is built.

    Speed: 2.5 for a step through slopes at three scales. On machines without an
    accelerator `fit` does not compile, and a graph keeps what every small step
    makes in memory. One call compiled by XLA among the others costs a
    compilation for each new shape, and can be differentiated. So it is for the
    first few sizes alone. Where everything is compiled anyhow, where nothing
    is, and where more than the batch is of an unknown size, which may change
    with every step, the function stays as it is; and where `tf.debugging` puts
    operations of its own between all others, which XLA does not know.
    """

    def run(*tensors: Tensor | None) -> Tensor:
        sizes = [
            size
            for tensor in tensors
            if tensor is not None
            for size in tensor.shape[1:]
        ]
        if (
            tf.executing_eagerly()
            or None in sizes
            or has_accelerator()
            or is_debugged()
        ):
            return function(*settings, *tensors)
        compiled, known = _compiled(function, *settings)
        if len(known) < MOST_SIZES:
            known.add(tuple(sizes))
        if tuple(sizes) not in known:
            return function(*settings, *tensors)
        # A variable that several devices have a copy of would become a part
        # of what is compiled, in the place of others of its shape.
        return compiled(
            *(x if x is None else tf.convert_to_tensor(x) for x in tensors)
        )

    return run


def compile_pointwise(
    function: Callable[..., Tensor], *settings: Hashable, own: bool = False
) -> Callable[..., Tensor]:
    """Returns a function with its settings, compiled once for all images.

    Speed: 5 to 6 for a cube of colors in a graph of images of any size, 4 to 5
    with the gradient; eagerly 8, and 3 to 4. What is computed point by point is
    compiled in blocks of a fixed size, for as many points as there are.
    Memory: with the gradient, 4 images, where a graph took 16 to 27. For where
    nothing is compiled, see `compile_in_graph`; programs that are to run
    elsewhere are free of it, too.
    """

    def run(*inputs: Tensor) -> Tensor:
        # For variables, see `compile_in_graph`.
        points, *tables = map(tf.convert_to_tensor, inputs)
        count = None
        if None not in points.shape:
            count = math.prod(points.shape[:-1])
        if is_exporting(points):
            return function(*settings, points, *tables)
        if count is not None and count < SMALL:
            # A program of its own, and eagerly none at all.
            return compile_in_graph(function, *settings)(points, *tables)
        if (
            points.dtype not in (tf.float32, tf.float64)
            or has_accelerator()
            or is_debugged()
            or graph_around_compiled_code() is not None
            or is_vectorized()
            or has_tangents(points, *tables)
        ):
            return function(*settings, points, *tables)
        return compute_in_blocks(function, settings, own, points, tables)

    return run


def watch_gradients(
    function: Callable[[list[Tensor]], tuple[Tensor, State]],
    x: Tensor,
    count: int,
    tell: Callable[[list[Tensor]], None],
) -> tuple[Tensor, State]:
    """Returns what a function makes of some copies of a tensor.

    Why: the default tells nobody. The copies are one operation, whose gradient
    is computed when those of all copies are there.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def copy(
        x: Tensor,
    ) -> tuple[tuple[Tensor, ...], Callable[..., Tensor]]:
        def gradient(*upstream: Tensor) -> Tensor:
            gradients = [tf.convert_to_tensor(part) for part in upstream]
            tell([tf.stop_gradient(part) for part in gradients])
            return tf.add_n(gradients)

        return tuple(tf.identity(x) for _ in range(count)), gradient

    return function(list(copy(x)))


@functools.lru_cache(maxsize=64)
def _compiled(
    function: Callable[..., Tensor], *settings: Hashable
) -> tuple[Callable[..., Tensor], set[tuple[int, ...]]]:
    """Returns a function that is compiled for each size, and known sizes."""
    apply = functools.partial(function, *settings)
    return tf.function(apply, jit_compile=True, autograph=False), set()


def read_blended(places: Locator, colors: Tensor, tables: Tensor) -> Tensor:
    """Returns what the entries that each color needs blend to.

    Speed: 3.4 for the gradient of eight entries compiled, 1.6 of four; 0.95 in
    a graph and 0.85 eagerly, where training does not go. Only the colors and
    the tables are kept for the gradients, which find the entries and their
    shares again.
    """
    tables = tables if len(tables.shape) == 3 else tables[None]
    points = ops.reshape(colors, (ops.shape(tables)[0], -1, 3))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def read(
        points: Tensor, tables: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
            return _backward(places, points, tables, upstream)

        return _forward(places, points, tables), gradient

    found = read(points, tables)
    return ops.reshape(found, (*ops.shape(colors)[:-1], tables.shape[-1]))


def _forward(places: Locator, points: Tensor, tables: Tensor) -> Tensor:
    rows, start = _in_one(tables)
    found = places(points)
    return found.blend(
        [tf.gather(rows, index + start) for index in found.indices]
    )


def _backward(
    places: Locator, points: Tensor, tables: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor]:
    rows, start = _in_one(tables)
    with tf.GradientTape() as tape:
        tape.watch(points)
        found = places(points)
    of_weights, of_rows = [], []
    # Rows of four numbers are added twice as fast as rows of three.
    padded = upstream
    if upstream.shape[-1] == 3:
        padded = tf.pad(upstream, [(0, 0), (0, 0), (0, 1)])
    for index, weight in zip(found.indices, found.weights(), strict=True):
        index = index + start
        of_weights.append(
            tf.reduce_sum(upstream * tf.gather(rows, index), axis=-1)
        )
        of_rows.append(
            tf.math.unsorted_segment_sum(
                weight[..., None] * padded, index, tf.shape(rows)[0]
            )
        )
    of_tables = tf.add_n(of_rows)[:, : upstream.shape[-1]]
    return (
        tape.gradient(found.fractions, points, found.slopes(of_weights)),
        tf.reshape(of_tables, tf.shape(tables)),
    )


def _in_one(tables: Tensor) -> tuple[Tensor, int | Tensor]:
    """Returns the rows of all tables, and where each table starts."""
    rows = tf.reshape(tables, (-1, tables.shape[-1]))
    if tables.shape[0] == 1:
        return rows, 0
    starts = tf.range(tf.shape(tables)[0]) * tables.shape[1]
    return rows, tf.expand_dims(starts, -1)


def call_when(
    condition: Tensor,
    function: Callable[[np.ndarray], None],
    values: Tensor,
    state: dict[str, Any],
) -> None:
    """Calls `function` with an array of `values` where `condition` holds.

    Why: the default calls nobody in a graph. Compiled code (XLA) cannot call
    Python. There the values are left in a variable, and the graph around the
    compiled function, such as that of `fit`, looks at it, at the next step at
    the latest. Where there is no such graph, or several devices, nobody looks.
    """
    values = tf.stop_gradient(values)
    if tf.executing_eagerly():
        if condition:
            function(values.numpy())
        return
    if is_exporting(values):
        return
    compiled_in = graph_around_compiled_code()
    if compiled_in is None:
        _call_in_graph(condition, function, values)
        return
    one_device = tf.distribute.get_strategy().num_replicas_in_sync == 1
    if not (one_device and getattr(compiled_in, "building_function", False)):
        return
    with tf.init_scope():
        size = values.shape[0]
        if "seen" not in state:
            state["seen"] = tf.Variable(tf.zeros(size + 1), trainable=False)
    seen = state["seen"]
    found = tf.concat([[1.0], tf.cast(values, tf.float32)], 0)
    seen.assign(tf.where(condition, found, tf.zeros_like(found)))
    with compiled_in.as_default():
        last = seen.read_value()
        _call_in_graph(last[0] > 0, function, last[1:])


def is_exporting(x: Tensor) -> bool:
    """Whether `x` belongs to a program that is to run elsewhere.

    Why: the default knows of no graph. A function that is called is traced on
    the way; one whose graph somebody asks for is to be stored or converted.
    """
    return tf.is_symbolic_tensor(x) and defaults.runs_in(
        "tensorflow.python.saved_model",
        "tensorflow.lite",
        "tf2onnx",
        *defaults.EXPORTERS,
        function="get_concrete_function",
    )


def _call_in_graph(
    condition: Tensor, function: Callable[[np.ndarray], None], values: Tensor
) -> None:
    """Adds a call to a graph that is not compiled."""

    def call(values: Tensor) -> Tensor:
        tf.numpy_function(function, [values], [])
        return tf.constant(True)

    tf.cond(condition, lambda: call(values), lambda: tf.constant(False))


def is_everywhere(variable: keras.Variable) -> bool:
    """Whether every device has a copy of a variable that it can change.

    Why: what is made outside the scope of a strategy lies on one device.
    """
    return replica_count() == 1 or isinstance(
        variable.value, tf.distribute.DistributedValues
    )


def replica_count() -> int:
    """Returns among how many devices the batch of a step is shared out."""
    # Why: Keras says nothing of strategies.
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_total(x: Tensor) -> Tensor | None:
    """Returns the sum of a tensor over all devices, of all machines.

    Why: Keras says nothing of strategies.

    `None` where there is nothing to add up: outside the step of a
    `tf.distribute.Strategy`, or in a function or branch of its own inside it,
    where TensorFlow lets no device wait for the others.
    """
    return _ask_replicas(
        lambda context: context.all_reduce(tf.distribute.ReduceOp.SUM, x)
    )


def replica_rows(x: Tensor) -> Tensor:
    """Returns the rows that all devices have, those of one after another.

    Why: Keras says nothing of strategies.

    They are those of this device where no device can wait for the others, as
    `replica_total` says.
    """
    rows = _ask_replicas(lambda context: context.all_gather(x, axis=0))
    return x if rows is None else rows


def _ask_replicas(ask: Callable[[Any], Tensor]) -> Tensor | None:
    """Returns what all devices together answer, `None` where they cannot."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    try:
        return ask(context)
    except RuntimeError as error:
        if "merge_call" not in str(error):
            raise
        return None


def is_chief(model: keras.Model) -> bool:
    """Whether this process is the one of several that writes files."""
    # Why: only the strategy knows of the others.
    resolver = model.distribute_strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    first = resolver.task_type == "worker" and resolver.task_id == 0
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (first and not has_chief)
