"""Which line of the user's code is to blame where no operation is."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import keras

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.creations import locate_loss
from keras_perceptual.gradients.forgotten_parts import (
    has_weights_in,
    locate_mention,
    locate_skipping,
)
from keras_perceptual.gradients.observer import GradientObserver
from keras_perceptual.gradients.places import Place, locate_frames, locate_step
from keras_perceptual.gradients.replay import Replay
from keras_perceptual.gradients.source_lines import (
    MAKING,
    locate_building,
    locate_choice,
    locate_inside,
    locate_return,
    runs_in_training_only,
)


class LineFinder:
    """Finds lines that have to do with what a step does not do.

    Args:
        model: The model being trained.
        observer: The `GradientObserver` of its optimizers.
        replay: The `Replay` of the step.
        is_traced_once: Whether a step is traced, and decides for good then.
        wanted: The `id` of the variables that are looked into. JAX has zeros
            for those without a gradient.
    """

    def __init__(
        self,
        model: keras.Model,
        observer: GradientObserver,
        replay: Replay,
        is_traced_once: bool,
        wanted: Collection[int] = (),
    ) -> None:
        self._model = model
        self._observer = observer
        self._replay = replay
        self._is_traced_once = is_traced_once
        self._learning = observer.connected.difference(wanted)

    def add(self, key: int, cause: Cause, owners: Mapping[int, Any]) -> Cause:
        """Names the line that is to blame where no operation is.

        Args:
            key: The `id` of a variable.
            cause: Its `Cause`.
            owners: The layers of variables, as of `find_owners`.
        """
        place = None
        if self._may_be_skipped(key, cause):
            condition = locate_skipping(
                self._model,
                owners.get(key),
                has_weights_in(self._learning),
            )
            # Where the step has a gradient this time, it draws by itself.
            has_gradient = cause.diagnosis is diagnoses.NOT_APPLIED
            if condition is not None or has_gradient:
                found = () if condition is None else (condition,)
                return Cause(diagnoses.SKIPPED, found)
        if cause.diagnosis is diagnoses.NOT_APPLIED:
            place = self._locate_call(key)
        elif cause.diagnosis is diagnoses.NOT_ASKED:
            place = locate_choice(cause.places[0]) if cause.places else None
        elif cause.diagnosis is diagnoses.UNUSED and cause.places:
            return Cause(diagnoses.OTHER_LOSS, cause.places)
        elif cause.diagnosis is diagnoses.UNUSED:
            place = self._locate_mention(owners.get(key))
            # Where the model calls nothing of it, that is where it would.
            step = locate_step(self._replay) or self._locate_own_call()
            if place is None or (
                step
                and (self._is_made_at(place) or runs_in_training_only(place))
            ):
                place = step or place
        elif cause.diagnosis is diagnoses.UNUSED_IN_CALLED_LAYER:
            owner = owners[key]
            own = (v for v in owner.variables if id(v) == key)
            place = locate_building(owner, key) or self._locate_mention(
                next(own, None)
            )
        elif cause.diagnosis is diagnoses.IGNORES_MODEL and not cause.places:
            place = locate_loss(self._model)
        if place is None or not place.file:
            return cause
        return Cause(cause.diagnosis, (place, *cause.places), cause.note)

    def _locate_mention(self, part: Any) -> Place | None:
        """Returns where a part of the model is named, that is not used."""
        run = {
            (frame.filename, frame.name)
            for operation in self._replay.operations
            for frame in operation.frames
        }
        is_called = has_weights_in(self._learning)
        return locate_mention(self._model, part, is_called, run)

    def _is_made_at(self, place: Place) -> bool:
        """Whether a model of which nothing is used makes a part there."""
        is_step = type(self._model).call is keras.Model.call
        unused = is_step or not self._learning
        return unused and place.within in MAKING

    def _locate_own_call(self) -> Place | None:
        """Returns the last line that the `call` of a model runs."""
        if self._learning:
            return None
        for operation in reversed(self._replay.operations):
            inside = [f for f in operation.frames if f.name == "call"]
            place = locate_inside(self._model, inside)
            if place is not None:
                return dataclasses.replace(place, operation="the call")
        # What depends on no variable, JAX computes without a record.
        place = locate_return(type(self._model).call)
        return place and dataclasses.replace(place, operation="the call")

    def _may_be_skipped(self, key: int, cause: Cause) -> bool:
        """Whether another batch may use what this one did not.

        A step that is traced has decided about that for good.
        """
        if self._is_traced_once:
            return False
        return cause.diagnosis is diagnoses.UNUSED or (
            cause.diagnosis is diagnoses.NOT_APPLIED
            and key in handed_without(self._observer)
        )

    def _locate_call(self, key: int) -> Place | None:
        """Returns where gradients go that were asked for along with one.

        It is `None` where they all go nowhere: other calls are not to blame.
        """
        frames = self._observer.frames
        along = {
            other
            for derivative in self._replay.derivatives
            if key in derivative.variables
            for other in derivative.variables
        }
        calls = [called for other, called in frames.items() if other in along]
        return locate_frames("optimizer.apply", calls[-1]) if calls else None

    def add_loss(self, cause: Cause) -> Cause:
        """Names the line that sets the loss, where its inside has none."""
        first = cause.places[0] if cause.places else None
        if first is None or first.file or first.layer or first.keras_operation:
            return cause
        place = locate_loss(self._model)
        if place is None:
            return cause
        return dataclasses.replace(cause, places=(place, *cause.places))


def handed_without(observer: GradientObserver) -> set[int]:
    """Returns the `id` of what came to an optimizer, never with a gradient.

    Args:
        observer: The `GradientObserver`.
    """
    return observer.handed.keys() - observer.connected
