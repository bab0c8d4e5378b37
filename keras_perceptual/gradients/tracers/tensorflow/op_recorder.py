"""Writing down every operation that TensorFlow runs in this thread."""

import contextlib
import dataclasses
import gc
import itertools
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.gradients.tracers.tensorflow.graph_frames import (
    OURS,
    LazyFrames,
)
from keras_perceptual.gradients.tracers.tensorflow.python_branches import (
    PythonBranches,
)
from keras_perceptual.gradients.tracers.tensorflow.tensor_numbers import (
    is_differentiable,
)

# Functions in which an operation of Keras runs.
_CALLS = ("__call__", "call")


@dataclasses.dataclass(eq=False)
class Record:
    """One operation that ran; what it is like is found out afterwards.

    Attributes:
        kind: The type of the operation.
        inputs: Keys of the tensors that went in.
        outputs: Keys of the tensors that came out.
        attributes: The attributes as TensorFlow gave them, or `None`.
        graph: The graph of the function that was called, if it was one.
        frames: The `RecordedFrames` it ran in.
        scope: Names of the operations of Keras it ran in.
        conditional: Whether it ran in a branch.
        alternatives: Keys of the values that gradients would come back to,
            had the condition chosen otherwise.
    """

    kind: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    attributes: Any = None
    graph: Any = None
    frames: Sequence[Any] = ()
    scope: tuple[Any, ...] = ()
    conditional: bool = False
    alternatives: frozenset[Any] | None = None


class RecordedFrames(LazyFrames):
    """The frames an operation ran in, the innermost last.

    Args:
        lines: Pairs of a code object and a line of it, the innermost last.
    """

    def __init__(self, lines: Any) -> None:
        self._lines = lines

    @property
    def lines(self) -> Any:
        """Pairs of the name of a file and the number of a line."""
        return ((code.co_filename, line) for code, line in self._lines)

    def fetch(self) -> Sequence[Any]:
        """Returns the frames, the innermost last."""
        return [
            traceback.FrameSummary(
                code.co_filename, line, code.co_name, lookup_line=False
            )
            for code, line in self._lines
        ]


class OpRecorder:
    """Writes down the operations that run eagerly in this thread.

    Args:
        variables: The variables to follow, of Keras or TensorFlow.

    Attributes:
        records: A `Record` of each operation.
        tensors: All tensors by key, alive, so that no key is used again.
        handles: The keys of the variables to follow by the key of what
            TensorFlow calls their handle.
        holders: Keys of the values that stand for variables.
        dependent: Keys of the values that depend on a variable to follow.
        branches: The `PythonBranches` of the step.
        when_made: Function of a tensor, called for each that depends on a
            variable and does not stand for it.
        before_next: Function without arguments, called before an operation.
    """

    def __init__(self, variables: Any) -> None:
        self.records: list[Any] = []
        self.branches: PythonBranches = PythonBranches()
        self.tensors: dict[Any, Any] = {}
        self.handles: dict[Any, Any] = {}
        self.when_made: Callable[[Any], None] | None = None
        self.before_next: Callable[[], None] | None = None
        self._paused = 0
        self._branches = 0
        self._written: dict[Any, Any] = {}
        self._numbers = itertools.count()
        self._base = None
        for variable in variables:
            handle = native(variable).handle
            self.handles[self.keep(handle)] = id(variable)
        self.holders: dict[Any, Any] = dict(self.handles)
        self.dependent: set[Any] = set(self.handles)

    def keep(self, tensor: Any) -> Hashable:
        """Returns the key of a tensor."""
        key = id(tensor)
        self.tensors[key] = tensor
        return key

    @property
    def listening(self) -> bool:
        """Whether operations are written down at the moment."""
        return not self._paused and tf.executing_eagerly()

    @contextlib.contextmanager
    def recording(self, base: Any) -> Iterator[None]:
        """Writes down what runs inside.

        Args:
            base: The frame that calls the step.
        """
        from tensorflow.python import pywrap_tfe
        from tensorflow.python.eager import context, execute

        def note(
            kind: str | bytes,
            inputs: Any,
            attributes: Any,
            outputs: Any,
            op_name: Any = None,
            graph: Any = None,
        ) -> None:
            if graph is None:
                self.note(kind, inputs, outputs, attributes)

        def run(
            original: Any,
            kind: str | bytes,
            num_outputs: int,
            inputs: Any,
            attrs: Any,
            *args: Any,
            **kwargs: Any,
        ) -> Any:
            self._prepare()
            outputs = original(
                kind, num_outputs, inputs, attrs, *args, **kwargs
            )
            self.note(kind, inputs, outputs or (), attrs)
            return outputs

        # TensorFlow would read variables without a word.
        def run_fast(
            original: Any,
            ctx: Any,
            kind: str,
            name: str | None,
            *arguments: Any,
        ) -> Any:
            if self._prepare():
                arguments = tuple(_without_variables(a) for a in arguments)
            return original(ctx, kind, name, *arguments)

        eager = context.context()
        eager.ensure_initialized()
        self._base = base
        with (
            self._deaf_to_garbage(),
            intercepted(execute, "execute", run),
            intercepted(pywrap_tfe, "TFE_Py_FastPathExecute", run_fast),
        ):
            eager.add_op_callback(note)
            try:
                yield
            finally:
                eager.remove_op_callback(note)

    def _prepare(self) -> bool:
        """Returns whether the next operation is to be written down."""
        if self.listening and self.before_next is not None:
            self.before_next()
        return self.listening

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Does not write down what runs inside."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    @contextlib.contextmanager
    def _deaf_to_garbage(self) -> Iterator[None]:
        """Does not write down what runs while garbage is collected inside.

        TensorFlow deletes an old iterator by an operation, in the middle of
        anything, such as a walk through what is written down.
        """
        thread = threading.get_ident()

        def pause(phase: str, info: dict[str, int]) -> None:
            if threading.get_ident() == thread:
                self._paused += 1 if phase == "start" else -1

        gc.callbacks.append(pause)
        try:
            yield
        finally:
            gc.callbacks.remove(pause)

    @contextlib.contextmanager
    def in_branch(self) -> Iterator[None]:
        """Marks what runs inside as chosen by a condition."""
        self._branches += 1
        try:
            yield
        finally:
            self._branches -= 1

    def note(
        self,
        kind: str | bytes,
        inputs: Any,
        outputs: Any,
        attributes: Any = None,
        graph: Any = None,
    ) -> Record | None:
        """Writes down one operation.

        Args:
            kind: Its type.
            inputs: The tensors that go in.
            outputs: The tensors that come out.
            attributes: Its attributes, as TensorFlow hands them on.
            graph: The graph of the function that was called, if it was one.

        Returns:
            The `Record`, if there is one.
        """
        if not self.listening:
            return None
        inputs = [tensor for tensor in inputs if tf.is_tensor(tensor)]
        record = Record(
            kind if isinstance(kind, str) else kind.decode(),
            tuple(map(self.keep, inputs)),
            tuple(map(self.keep, outputs)),
            attributes,
            graph,
        )
        self._follow_writing(record, inputs)
        record.frames, record.scope = self._look_around()
        record.conditional = self._branches > 0
        self.records.append(record)
        self._follow_variables(record, outputs)
        return record

    def _follow_writing(self, record: Record, inputs: Any) -> None:
        """Has what was written to a variable go into what is read later on."""
        for tensor, key in zip(inputs, record.inputs, strict=True):
            if tensor.dtype != tf.resource:
                continue
            if key in self._written:
                record.inputs += (self._written[key],)
            if record.kind.startswith(("Assign", "ResourceScatter")):
                self._written[key] = ("written", next(self._numbers))
                record.outputs += (self._written[key],)

    def _follow_variables(self, record: Record, outputs: Any) -> None:
        if self.dependent.isdisjoint(record.inputs):
            return
        self.dependent.update(record.outputs)
        source = self.holders.get(record.inputs[0])
        for tensor in outputs:
            if not is_differentiable(tensor):
                continue
            if source is not None and record.kind in ("ReadVariableOp", "Cast"):
                self.holders[id(tensor)] = source
            elif self.when_made is not None:
                self.when_made(tensor)

    def frames(self) -> Any:
        """Returns the `RecordedFrames` of the step at the moment."""
        return self._look_around()[0]

    def _look_around(self) -> Sequence[Any]:
        """Returns the frames of the step, and the names of Keras in them."""
        lines, scope = [], []
        frame = sys._getframe(1)
        while frame is not None and frame is not self._base:
            code = frame.f_code
            if not code.co_filename.startswith(OURS):
                lines.append((code, frame.f_lineno))
                if code.co_name in _CALLS and code.co_argcount:
                    owner = frame.f_locals.get(code.co_varnames[0])
                    if isinstance(owner, keras.Operation):
                        scope.append(owner.name)
            frame = frame.f_back
        scope = [name for name, _ in itertools.groupby(reversed(scope))]
        return RecordedFrames(lines[::-1]), tuple(scope)


def native(variable: Any) -> Any:
    """Returns the variable of TensorFlow behind one of Keras."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def _without_variables(argument: Any) -> Any:
    """Returns an argument with values in the place of variables."""
    if isinstance(argument, tf.Variable | keras.Variable):
        return tf.convert_to_tensor(argument)
    if isinstance(argument, list | tuple):
        if any(isinstance(a, tf.Variable | keras.Variable) for a in argument):
            return [_without_variables(a) for a in argument]
    return argument
