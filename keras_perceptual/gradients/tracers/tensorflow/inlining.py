"""Having TensorFlow run in one piece what a step calls.

Run eagerly, loops and branches are Python. What is not, or what leaves no
operation behind, is looked after here.
"""

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.gradients.tracers.tensorflow.graph_frames import OURS
from keras_perceptual.gradients.tracers.tensorflow.op_recorder import OpRecorder

_TENSORFLOW = os.path.dirname(inspect.getfile(tf)) + os.sep
_KERAS = os.path.dirname(inspect.getfile(keras)) + os.sep
_VARIABLES = "resource_variable_ops.py"
# They trace a function in order to change its graph.
_NEED_GRAPHS = "tensorflow.python.ops.parallel_for"
# It would not have its operations recorded.
_RECOMPUTING = "recompute_grad.<locals>.inner"


@contextlib.contextmanager
def inlined(recorder: OpRecorder) -> Iterator[list[Any]]:
    """Takes apart what runs inside.

    Args:
        recorder: The `OpRecorder`.

    Yields:
        A list, to which a pair is added for each condition: the records of
        what was chosen, and the functions that were not.
    """
    choices: list[Any] = []
    with contextlib.ExitStack() as stack:

        def listen(owner: Any, name: str, answer: Any) -> None:
            stack.enter_context(
                intercepted(owner, name, _if_listening(recorder, answer))
            )

        # What TensorFlow no longer has under its name stays in one piece.
        with contextlib.suppress(ImportError, AttributeError):
            _listen_to_functions(listen, recorder)
        with contextlib.suppress(ImportError, AttributeError):
            _listen_to_conditions(listen, recorder, choices)
        with contextlib.suppress(ImportError, AttributeError):
            _listen_to_custom_gradients(listen, recorder)
        with contextlib.suppress(ImportError, AttributeError):
            _listen_to_python(listen, recorder)
        yield choices


def _if_listening(recorder: OpRecorder, answer: Any) -> Any:
    def answer_if_listening(original: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.listening:
            return original(*args, **kwargs)
        return answer(original, *args, **kwargs)

    return answer_if_listening


def _listen_to_functions(listen: Any, recorder: OpRecorder) -> None:
    """Has functions run as Python, and notes those that have no Python."""

    def call(original: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        if function.python_function.__module__.startswith(_NEED_GRAPHS):
            return original(function, *args, **kwargs)
        return function.python_function(*args, **kwargs)

    def call_graph(
        original: Any, function: Any, arguments: Any, captured: Any
    ) -> Any:
        with recorder.paused():
            result = original(function, arguments, captured)
        outputs = tf.nest.flatten(result, expand_composites=True)
        recorder.note(
            "PartitionedCall",
            [*arguments, *captured],
            [o for o in outputs if tf.is_tensor(o)],
            graph=function.graph,
        )
        return result

    function = tf.function(lambda: 0)
    listen(type(function), "__call__", call)
    from tensorflow.python.eager.polymorphic_function import concrete_function

    listen(concrete_function.ConcreteFunction, "_call_flat", call_graph)


def _listen_to_conditions(
    listen: Any, recorder: OpRecorder, choices: Any
) -> None:
    """Notes which branch was taken, and what it was chosen by."""

    def choose(ask: Any, conditions: Any, functions: Any) -> Any:
        """Calls `ask` with functions that tell when they are called."""
        taken = []

        def branch(function: Any) -> Any:
            def call() -> Any:
                taken.append(function)
                with recorder.in_branch():
                    return function()

            return call

        start = len(recorder.records)
        result = ask(*map(branch, functions))
        conditions = [c for c in conditions if tf.is_tensor(c)]
        if not taken or not conditions:
            return result
        result = tf.nest.map_structure(
            lambda value: _chosen(recorder, conditions, value), result
        )
        others = [f for f in functions if f is not taken[0]]
        choices.append((recorder.records[start:], others))
        return result

    def cond(
        original: Any,
        pred: Any,
        true_fn: Any = None,
        false_fn: Any = None,
        name: str | None = None,
    ) -> Any:
        return choose(
            lambda true, false: original(pred, true, false, name=name),
            [pred],
            [true_fn, false_fn],
        )

    def switch_case(
        original: Any,
        branch_index: Any,
        branch_fns: Any,
        default: Any = None,
        name: str = "switch_case",
    ) -> Any:
        keys, functions = _keyed(branch_fns)
        if default is not None:
            functions.append(default)

        def ask(*functions: Any) -> Any:
            last = functions[-1] if default is not None else None
            pairs = zip(keys, functions, strict=False)
            return original(branch_index, list(pairs), last, name)

        return choose(ask, [branch_index], functions)

    def case(
        original: Any,
        pred_fn_pairs: Any,
        default: Any = None,
        exclusive: bool = False,
        strict: bool = False,
        name: str = "case",
    ) -> Any:
        if isinstance(pred_fn_pairs, dict):
            pred_fn_pairs = pred_fn_pairs.items()
        pairs = [tuple(pair) for pair in pred_fn_pairs]
        functions = [function for _, function in pairs]
        if default is not None:
            functions.append(default)

        def ask(*functions: Any) -> Any:
            last = functions[-1] if default is not None else None
            called = [
                (condition, function)
                for (condition, _), function in zip(
                    pairs, functions, strict=False
                )
            ]
            return original(called, last, exclusive, strict, name)

        return choose(ask, [condition for condition, _ in pairs], functions)

    listen(tf, "cond", cond)
    listen(tf, "switch_case", switch_case)
    listen(tf, "case", case)
    listen(tf.__internal__.smart_cond, "smart_cond", cond)  # For Keras.


def _keyed(branches: Any) -> Any:
    """Returns the indices and the functions of the branches of a switch."""
    if isinstance(branches, dict):
        branches = list(branches.items())
    branches = list(branches)
    if all(callable(branch) for branch in branches):
        branches = list(enumerate(branches))
    return [key for key, _ in branches], [function for _, function in branches]


def _chosen(recorder: OpRecorder, conditions: Any, value: Any) -> Any:
    """Returns a value that is noted to come out of a condition."""
    if not isinstance(value, tf.Tensor):
        return value
    with recorder.paused():
        result = tf.identity(value)
    recorder.note("If", [*conditions, value], [result])
    return result


def _recomputes(function: Any) -> Any:
    return getattr(function, "__qualname__", "").startswith(_RECOMPUTING)


def without_recomputing(
    original: Any, function: Any, args: Any, kwargs: Any
) -> Any:
    """Calls a function with a custom gradient, in one piece if it may be."""
    if _recomputes(function):
        inner = inspect.getclosurevars(function).nonlocals["f"]
        return inner(*args, **kwargs)
    return original(function, args, kwargs)


def _listen_to_custom_gradients(listen: Any, recorder: OpRecorder) -> None:
    """Notes functions with a gradient of their own as one operation.

    The operations in them are noted as well, but nothing comes out of them.
    """
    from tensorflow.python.eager import record as recording
    from tensorflow.python.ops import custom_gradient

    def call(original: Any, function: Any, args: Any, kwargs: Any) -> Any:
        if _recomputes(function):
            return without_recomputing(original, function, args, kwargs)
        start = len(recorder.records)
        recorded: list[Any] = []

        def note(
            original: Any,
            name: str,
            outputs: Any,
            inputs: Any,
            *functions: Any,
            **kwargs: Any,
        ) -> Any:
            recorded[:] = [list(outputs), list(inputs)]
            return original(name, outputs, inputs, *functions, **kwargs)

        with intercepted(recording, "record_operation", note):
            result = original(function, args, kwargs)
        if recorded:
            outputs, inputs = recorded
            made = set(map(id, outputs))
            recorder.records[start:] = [
                record
                for record in recorder.records[start:]
                if made.isdisjoint(record.outputs)
            ]
            recorder.note("CustomGradient", inputs, outputs)
        return result

    listen(custom_gradient, "_eager_mode_decorator", call)


def _listen_to_python(listen: Any, recorder: OpRecorder) -> None:
    """Notes what leaves TensorFlow, which keeps no trace of it."""

    def numpy_function(
        original: Any,
        func: Any = None,
        inp: Any = None,
        Tout: Any = None,
        stateful: bool = True,
        name: str | None = None,
    ) -> Any:
        result = original(func, inp, Tout, stateful, name)
        _note_python(recorder, "PyFunc", inp, result)
        return result

    def py_function(
        original: Any,
        func: Any = None,
        inp: Any = None,
        Tout: Any = None,
        name: str | None = None,
    ) -> Any:
        several = isinstance(Tout, list | tuple)
        types = [tf.as_dtype(dtype) for dtype in (Tout if several else [Tout])]
        inputs = [tf.convert_to_tensor(value) for value in inp]
        found = func(*inputs)
        if not isinstance(found, list | tuple):
            found = [found]
        result = [
            tf.convert_to_tensor(value, dtype)
            for value, dtype in zip(found, types, strict=True)
        ]
        _note_python(recorder, "EagerPyFunc", inputs, result)
        return result if several else result[0]

    def leave(original: Any, *args: Any, **kwargs: Any) -> Any:
        # NumPy takes what it is to read by name, too.
        tensor = next(iter((*args, *kwargs.values())), None)
        if id(tensor) in recorder.dependent:
            file = _caller(OURS).f_code.co_filename
            # A variable reads its tensor for whoever asked it.
            if file.endswith(_VARIABLES) or not file.startswith(_TENSORFLOW):
                recorder.note("numpy", [tensor], [])
        return original(*args, **kwargs)

    def decide(original: Any, tensor: Any) -> Any:
        caller = _caller(OURS, _TENSORFLOW, _KERAS)
        recorder.branches.note(caller.f_code.co_filename, caller.f_lineno)
        return original(tensor)

    listen(tf, "numpy_function", numpy_function)
    listen(tf, "py_function", py_function)
    from tensorflow.python.framework import ops

    listen(ops._EagerTensorBase, "numpy", leave)
    listen(ops._EagerTensorBase, "__array__", leave)
    listen(ops._EagerTensorBase, "__float__", leave)
    # NumPy takes the memory of a tensor, and does not ask for an array.
    for name in ("array", "asarray", "asanyarray", "ascontiguousarray"):
        listen(np, name, leave)
    listen(ops._EagerTensorBase, "__bool__", decide)


def _caller(*folders: str) -> FrameType:
    """Returns the innermost frame that is in none of some folders."""
    frame: Any = sys._getframe(1)
    while frame.f_code.co_filename.startswith(folders):
        frame = frame.f_back
    return frame


def _note_python(
    recorder: OpRecorder, kind: str, inputs: Any, result: Any
) -> None:
    """Notes what came out of Python, unless it is known how."""
    outputs = [
        value
        for value in tf.nest.flatten(result)
        if tf.is_tensor(value) and id(value) not in recorder.tensors
    ]
    if outputs:
        recorder.note(kind, inputs or (), outputs)
