"""Where the check meets the trainer of Keras."""

import contextlib
import functools
import weakref
from collections.abc import Callable
from typing import Any

import keras

from keras_perceptual.gradients import snapshots, tracers
from keras_perceptual.gradients.model_parts import variables_of
from keras_perceptual.gradients.replay import Moment
from keras_perceptual.gradients.tracers import Tracer

# The tracers of the train functions that they made and that models still have.
_TRACERS: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


class Seam:
    """Has the next step of a model watched, and leaves nothing behind.

    A step is watched by putting a function in the place of the model's train
    function. The moment it is called it puts the model's own back, so that
    nothing stays when the step fails or is interrupted.

    Args:
        model: The model.
        watch: Function of a function without arguments, which takes the step.
            It calls that and returns what it returns.
        update: Whether the steps train the model.
        fresh: Whether the train function of the model is known to be traced
            by nobody yet.

    Attributes:
        tracer: The `Tracer` of the watched steps.
        moment: What the last of them began with, a `Moment`.
        removed: Variables that the train function, traced before, may train
            although they are frozen now.
        added: Where there are any, those that it does not train although they
            are trainable now.
    """

    tracer: Tracer

    def __init__(
        self,
        model: keras.Model,
        watch: Callable[[Callable[[], Any]], Any],
        *,
        update: bool = True,
        fresh: bool = False,
    ) -> None:
        self._model = model
        self._watch = watch
        self.moment: Moment = Moment()
        self.removed: list[Any] = []
        self.added: list[Any] = []
        # Of the `fit` that goes on, to know it from the next one.
        self._history = getattr(model, "history", None)
        self._plain = _own_train_function(model)
        known = _TRACERS.get(self._plain) if update else None
        if known is not None:
            self.tracer, self._observed = known, self._plain
            known.start_anew()
            return
        if update and not fresh:
            self.removed, self.added = _changed_since_compiled(model)
        self.tracer = tracers.load("tracer").Tracer(model)
        try:
            self._observed = self.tracer.make_train_function()
        finally:
            model.train_function = self._plain
        # One that was traced before stays the model's: what was frozen since
        # then without `compile` trains on in it, as without a check.
        if update and fresh:
            self.adopt()

    def adopt(self) -> Callable[..., Any]:
        """Has the model train with the function that can be watched.

        Returns:
            That function.
        """
        self._plain = self._model.train_function = self._observed
        with contextlib.suppress(TypeError):
            _TRACERS[self._observed] = self.tracer
        return self._observed

    def arm(self) -> None:
        """Has the next step of the model watched."""
        self._model.train_function = self._watched_step

    def disarm(self) -> None:
        """Puts the train function of the model back."""
        if self._model.train_function == self._watched_step:
            self._model.train_function = self._plain

    def _watched_step(self, *args: Any) -> Any:
        self._model.train_function = self._plain
        if getattr(self._model, "history", None) is not self._history:
            # Left over from a `fit` that was interrupted before the step.
            return self._plain(*args)
        return self._watch(functools.partial(self._take_step, args))

    def _take_step(self, arguments: tuple[Any, ...]) -> Any:
        before, steps = self._copy_attributes(), self.tracer.python_steps
        former = self.moment.attributes
        self.moment, arguments = self.tracer.hold(arguments)
        try:
            with self.tracer.listening():
                outputs = self._observed(*arguments)
        finally:
            ran = self.tracer.python_steps > steps
            self.moment.attributes = before if ran else former
        try:
            self.tracer.look_again(self.moment)
        except Exception as error:
            self.tracer.trouble = error
        return outputs

    def _copy_attributes(self) -> list[Any] | None:
        with contextlib.suppress(Exception):
            return snapshots.copy_attributes(self._model)
        return None


def _own_train_function(model: keras.Model) -> Callable[..., Any]:
    """Returns the train function that a model has, which may be traced."""
    armed = getattr(model.train_function, "__func__", None)
    if armed is Seam._watched_step:
        # Left over from a `fit` that was interrupted before the step.
        model.train_function = model.train_function.__self__._plain
    model.make_train_function()
    return model.train_function


def _changed_since_compiled(model: keras.Model) -> tuple[list[Any], list[Any]]:
    """Compares what the optimizer trains with what the model would train.

    Returns:
        The variables that only the optimizer trains, and those that only the
        model would. There are none of the latter where a step of the user's
        may give them to something else.
    """
    ours = {id(v): v for v in model.trainable_variables}
    known = {id(v): v for v in variables_of(getattr(model, "optimizer", None))}
    removed = [v for key, v in known.items() if key not in ours]
    added = [v for key, v in ours.items() if key not in known]
    own_step = type(model).train_step is not keras.Model.train_step
    return removed, [] if own_step or not removed else added
