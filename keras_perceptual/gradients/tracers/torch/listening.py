"""Hearing of all calls of PyTorch that a step makes, in one thread."""

import contextlib
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import keras
import torch
from torch.overrides import TorchFunctionMode

from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.gradients.tracers.torch import unfolding
from keras_perceptual.gradients.tracers.torch.recording import Recording

_ATTENTION = "scaled_dot_product_attention"


class Listening(TorchFunctionMode):
    """Has all calls answered by a recording.

    Args:
        recording: The `Recording`.
        gradient_calls: The `GradientCalls`, for those that are about
            gradients.
    """

    def __init__(self, recording: Recording, gradient_calls: Any) -> None:
        super().__init__()
        self._recording = recording
        self._gradient_calls = gradient_calls
        self._paused = False

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return function(*args, **kwargs)
        if any(issubclass(kind, keras.Variable) for kind in types):
            # Its value may be cast first, which is a call of its own.
            with self:
                return keras.Variable.__torch_function__(
                    function, types, args, kwargs
                )
        name = getattr(function, "__name__", str(function))
        if name in ("backward", "grad"):
            return self._ask(function, *args, **kwargs)
        if name == _ATTENTION and unfolding.may_unfold(*args, **kwargs):
            with self:
                return unfolding.attend(*args, **kwargs)
        if name == "__get__":
            return self._get(function, args)
        if name == "__set__":
            name = function.__self__.__name__
        for argument in kwargs.values():
            if isinstance(argument, torch.Generator):
                self._recording.originals.keep_generator(argument)
        # What is called directly is named with its kinds of arguments.
        kind = name.partition(".")[0]
        return self._recording.record(kind, function, args, kwargs)

    def _get(self, function: Any, args: Any) -> Any:
        """Answers the reading of an attribute."""
        found = function(*args)
        name = function.__self__.__name__
        if name == "grad":
            self._gradient_calls.note_reading(args[0], found)
        elif isinstance(found, torch.Tensor):
            return self._recording.record(name, lambda *_: found, args[:1], {})
        return found

    def _ask(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Answers a call that asks for gradients."""
        if self._paused:
            return function(*args, **kwargs)
        given = inspect.signature(function).bind(*args, **kwargs).arguments
        with self._pausing():
            return self._gradient_calls.answer(function, given)

    def _apply(self, function: Any, cls: Any, *args: Any, **kwargs: Any) -> Any:
        """Answers the call of a function that brings its own gradient."""
        if self._paused:
            return function(cls, *args, **kwargs)
        if cls.__name__ == "CheckpointFunction":
            return unfolding.call_checkpoint(*args)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._pausing(False):
                return function(cls, *args, **kwargs)

        with self._pausing():
            return self._recording.record_custom(
                cls.__name__, call, args, kwargs
            )

    def _convert(self, function: Any, array: Any) -> Any:
        """Answers the call of a function that the mode is not asked about."""
        if self._paused:
            return function(array)
        with self._pausing():
            return self._recording.record("from_numpy", function, (array,), {})

    @contextlib.contextmanager
    def _pausing(self, paused: bool = True) -> Iterator[None]:
        """Keeps what is called for the recording itself from being heard."""
        former, self._paused = self._paused, paused
        try:
            yield
        finally:
            self._paused = former

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hears of the calls of this thread."""
        with contextlib.ExitStack() as stack:
            for owner, name, answer in (
                (torch.autograd.Function, "apply", self._apply),
                (torch.autograd, "backward", self._ask),
                (torch, "cond", unfolding.cond),
                (torch, "from_numpy", self._convert),
                # Compiled functions run as they are written.
                (_compiler(), "_callback_from_stance", lambda *_: None),
            ):
                if hasattr(owner, name):
                    stack.enter_context(intercepted(owner, name, answer))
            stack.enter_context(self)
            yield


def _compiler() -> Any:
    """Returns the module of the compiler, if it is there."""
    return sys.modules.get("torch._dynamo.eval_frame")
