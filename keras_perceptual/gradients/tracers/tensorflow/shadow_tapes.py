"""Asking the gradient tapes of a step for more than the step asks them.

A tape answers once. Beside each tape of the step another one records the same
operations; it is asked for the gradients of every value, and knows of values
that the first one lost sight of.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.gradients.tracers.tensorflow.op_recorder import (
    OpRecorder,
    native,
)
from keras_perceptual.gradients.tracers.tensorflow.tensor_numbers import (
    is_differentiable,
    stored,
)


class Question:
    """One call that asked for the gradients of variables.

    Attributes:
        targets: Keys of what was differentiated.
        variables: Keys of the variables asked about.
        gradients: Gradients of all values that have one, by key.
        frames: The frames of the call.
        failed: Types of operations whose gradient could not be computed.
    """

    def __init__(self, targets: Any, variables: Any, frames: Any) -> None:
        self.targets: tuple[Any, ...] = targets
        self.variables: frozenset[int] = variables
        self.gradients: dict[Any, Any] = {}
        self.frames = frames
        self.failed: set[Any] = set()


class ShadowTapes:
    """Records beside the tapes of a step.

    Args:
        recorder: The `OpRecorder` of the step.

    Attributes:
        questions: A `Question` for each call that asked about variables.
        error: The first error in a call that asked for gradients.
    """

    def __init__(self, recorder: OpRecorder) -> None:
        self.questions: list[Any] = []
        self.error: Exception | None = None
        self._recorder = recorder
        self._options: dict[Any, Any] = {}
        self._shadows: dict[Any, Any] = {}
        self._entered: set[Any] = set()
        self._unwatched: list[Any] = []
        self._inside = False

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Follows the tapes that are used inside."""
        self._recorder.when_made = self._unwatched.append
        self._recorder.before_next = self._watch
        answers: dict[str, Callable[..., Any]] = {
            "__init__": self._init,
            "__enter__": self._enter,
            "__exit__": self._exit,
            "watch": self._watch_of_tape,
            "reset": self._reset,
            "stop_recording": self._stop_recording,
            "gradient": self._gradient,
            "jacobian": self._jacobian,
        }
        with contextlib.ExitStack() as stack:
            for name, answer in answers.items():
                stack.enter_context(intercepted(tf.GradientTape, name, answer))
            try:
                yield
            finally:
                self._recorder.when_made = self._recorder.before_next = None

    def _init(
        self,
        original: Any,
        tape: Any,
        persistent: bool = False,
        watch_accessed_variables: bool = True,
    ) -> None:
        original(tape, persistent, watch_accessed_variables)
        if self._recorder.listening:
            # The tape is kept, so that no other one has its `id`.
            options = (persistent, watch_accessed_variables, tape)
            self._options[id(tape)] = options

    def _enter(self, original: Any, tape: Any) -> Any:
        result = original(tape)
        if id(tape) in self._options:
            if id(tape) not in self._shadows:
                self._shadows[id(tape)] = self._make_shadow(tape)
            self._join(tape)
        return result

    def _make_shadow(self, tape: Any) -> Any:
        with self._recorder.paused():
            shadow = tf.GradientTape(True, self._options[id(tape)][1])
        # What was computed before is there to be differentiated by.
        tensors, holders = self._recorder.tensors, self._recorder.holders
        self._unwatched += [
            tensors[key]
            for key in self._recorder.dependent - holders.keys()
            if key in tensors and is_differentiable(tensors[key])
        ]
        return shadow

    def _join(self, tape: Any) -> None:
        """Has the shadow of a tape record."""
        self._shadows[id(tape)].__enter__()
        self._entered.add(id(tape))

    def _exit(self, original: Any, tape: Any, *exception: Any) -> Any:
        if id(tape) in self._entered:
            self._leave(tape)
        return original(tape, *exception)

    def _watch_of_tape(self, original: Any, tape: Any, tensor: Any) -> Any:
        if id(tape) in self._shadows:
            self._shadows[id(tape)].watch(tensor)
        return original(tape, tensor)

    def _reset(self, original: Any, tape: Any) -> Any:
        if id(tape) in self._shadows:
            self._shadows[id(tape)].reset()
        return original(tape)

    @contextlib.contextmanager
    def _stop_recording(self, original: Any, tape: Any) -> Iterator[None]:
        recording = id(tape) in self._entered
        if recording:
            self._leave(tape)
        try:
            with original(tape):
                yield
        finally:
            if recording:
                self._join(tape)

    def _leave(self, tape: Any) -> None:
        """Has the shadow of a tape no longer record."""
        self._entered.remove(id(tape))
        self._shadows[id(tape)].__exit__(None, None, None)

    def _watch(self) -> None:
        """Has gradients be known of what came out of any operation.

        That is not possible while TensorFlow does not record anything.
        """
        from tensorflow.python.eager import record

        if self._unwatched and record.could_possibly_record():
            for shadow in self._shadows.values():
                shadow.watch(self._unwatched)
            self._unwatched.clear()

    def _gradient(
        self,
        original: Any,
        tape: Any,
        target: Any,
        sources: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        weights = kwargs.get("output_gradients", args[0] if args else None)
        ask = functools.partial(
            original, tape, target, sources, *args, **kwargs
        )
        return self._answer(ask, tape, target, sources, weights)

    def _jacobian(
        self,
        original: Any,
        tape: Any,
        target: Any,
        sources: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        def ask() -> Any:
            # It asks for gradients in its turn.
            self._inside = True
            try:
                return original(tape, target, sources, *args, **kwargs)
            finally:
                self._inside = False

        return self._answer(ask, tape, target, sources, None)

    def _answer(
        self, ask: Any, tape: Any, target: Any, sources: Any, weights: Any
    ) -> Any:
        """Has the tape answer, and its shadow as well.

        Args:
            ask: Function without arguments that has the tape answer.
            tape: The tape.
            target: What is differentiated.
            sources: What it is differentiated by.
            weights: The gradients of what is differentiated, or `None`.
        """
        shadow, asked = self._shadows.get(id(tape)), self._followed(sources)
        persistent, *_ = self._options.get(id(tape), (True,))
        recording = id(tape) in self._entered
        if recording and not (persistent and self._inside):
            self._leave(tape)
        note = asked and not self._inside and self._recorder.listening
        if note and shadow is not None:
            self._ask_shadow(shadow, target, asked, weights)
        elif not self._inside and self._recorder.listening:
            # Of use to tell that a loss holds derivatives.
            self.questions.append(self._question(target, asked))
        if not persistent:  # It records no more, and forgets.
            self._shadows.pop(id(tape), None)
        elif recording and id(tape) not in self._entered:
            self._join(tape)
        try:
            return ask() if self._entered else self._ask_at_once(ask, target)
        except Exception as error:
            if not note:
                raise
            # What is wrong with the gradients is being found out.
            self.error = self.error or error
            return tf.nest.map_structure(lambda source: None, sources)

    def _ask_at_once(self, ask: Any, target: Any) -> Any:
        """Has a tape answer, noted as one operation.

        No other tape records, so no gradient gets through what it does.
        """
        if not self._recorder.listening:
            return ask()
        with self._recorder.paused():
            result = ask()
        self._recorder.note(
            "Gradient",
            tf.nest.flatten(target, expand_composites=True),
            [
                gradient
                for gradient in tf.nest.flatten(result, expand_composites=True)
                if tf.is_tensor(gradient)
            ],
        )
        return result

    def _followed(self, sources: Any) -> frozenset[int]:
        """Returns the keys of the variables to follow among sources."""
        handles = self._recorder.handles
        natives = [native(source) for source in tf.nest.flatten(sources)]
        return frozenset(
            handles[id(source.handle)]
            for source in natives
            if isinstance(source, tf.Variable) and id(source.handle) in handles
        )

    def _question(self, target: Any, asked: Any) -> Any:
        recorder = self._recorder
        targets = [t for t in tf.nest.flatten(target) if tf.is_tensor(t)]
        return Question(
            tuple(map(recorder.keep, targets)), asked, recorder.frames()
        )

    def _ask_shadow(
        self, shadow: Any, target: Any, asked: Any, weights: Any
    ) -> None:
        from tensorflow.python.eager import record

        recorder = self._recorder
        question = self._question(target, asked)
        self._watch()
        values = [
            (key, tensor)
            for key, tensor in recorder.tensors.items()
            if is_differentiable(tensor) or key in recorder.handles
        ]
        with (
            recorder.paused(),
            record.stop_recording(),
            _failing_gradients_are_none(question.failed),
        ):
            gradients = shadow.gradient(
                target, [tensor for _, tensor in values], weights
            )
        question.gradients = {
            key: stored(gradient)
            for (key, _), gradient in zip(values, gradients, strict=True)
            if gradient is not None
        }
        self.questions.append(question)


@contextlib.contextmanager
def _failing_gradients_are_none(failed: Any) -> Iterator[None]:
    """Goes on where an operation has no gradient, or one that fails.

    Args:
        failed: A set, to which the types of such operations are added.
    """
    from tensorflow.python.framework import ops

    registry = ops._gradient_registry

    def look_up(original: Any, where: Any, name: str) -> Any:
        try:
            function = original(where, name)
        except LookupError:
            if where is not registry:
                raise
            failed.add(name)
            return None
        if where is not registry or function is None:
            return function

        def careful(op: Any, *gradients: Any) -> Any:
            try:
                found = function(op, *gradients)
                _check_shapes(op.inputs, found)
                return found
            except Exception:
                failed.add(name)
                if op.inputs is not None:
                    return [None] * len(op.inputs)
                # TensorFlow has forgotten them.
                return [None] * sys._getframe(1).f_locals["num_inputs"]

        return careful

    with intercepted(type(registry), "lookup", look_up):
        yield


def _check_shapes(values: Any, gradients: Any) -> None:
    """Fails where what a gradient is handed to would fail.

    Args:
        values: What went into an operation; TensorFlow keeps what it needs.
        gradients: Their gradients.
    """
    if not isinstance(gradients, list | tuple):
        gradients = [gradients]
    for value, gradient in zip(values or (), gradients, strict=False):
        if isinstance(value, tf.Tensor) and isinstance(gradient, tf.Tensor):
            if is_differentiable(value):
                value.shape.assert_is_compatible_with(gradient.shape)
