"""Finding out why gradients are as they are, by taking the step once more."""

import contextlib
import functools
import re
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import keras

from keras_perceptual.gradients import (
    diagnoses,
    missing,
    nonfinite,
    penalties,
    tracers,
    uncalled,
    uses,
    ways,
    zeros,
)
from keras_perceptual.gradients.added_losses import find_left_out
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.creations import (
    locate_addition,
    locate_optimizer,
)
from keras_perceptual.gradients.guilty_lines import (
    LineFinder,
    handed_without,
)
from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    find_owners,
    operations_by_name,
    tell_apart,
    variables_of,
)
from keras_perceptual.gradients.observer import GradientObserver
from keras_perceptual.gradients.places import Place, locate_frames
from keras_perceptual.gradients.replay import Replay, is_due_to_none
from keras_perceptual.gradients.seam import Seam
from keras_perceptual.gradients.source_lines import (
    locate_condition,
    locate_freezing,
)

Method = TypeVar("Method", bound=Callable[..., Any])

# Zero, written as a number.
_ZERO = re.compile(r"(?<![\w.])0(\.0*)?(?![\w.])")


def unless_it_fails(
    answer: Callable[[], Any],
) -> Callable[[Method], Method]:
    """Has a method answer that nothing was found where it fails.

    The verdict on a model must not depend on whether it can be explained. What
    went wrong is kept in the attribute `trouble` of the object.
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def careful(self: Any, *args: Any) -> Any:
            try:
                return method(self, *args)
            except Exception as error:
                self.trouble = self.trouble or error
                return answer()

        return cast(Method, careful)

    return decorate


class Explainer:
    """Explains the gradients of the last watched step of a model.

    The step is taken once more, on the batch and with the values it began
    with. Afterwards everything is as it was.

    Args:
        model: The model being trained.
        seam: The `Seam` that watches its steps.
        observer: The `GradientObserver` of its optimizers.

    Attributes:
        trouble: What went wrong, if anything.
    """

    def __init__(
        self, model: keras.Model, seam: Seam, observer: GradientObserver
    ) -> None:
        self.trouble: Exception | None = None
        self._observer = observer
        self._model = model
        self._seam = seam
        self._names = tracers.load("tracer").public_functions()
        self._replay: Replay | None = None
        self._error: Exception | None = None
        self._strangers: Sequence[Any] = []

    def forget(self) -> None:
        """Has the next question answered by another step."""
        self._replay = self._error = None

    @unless_it_fails(dict)
    def missing(self, variables: Sequence[Any]) -> dict[int, Cause]:
        """Returns the `Cause` of missing gradients by the `id` of variables."""
        replay = self._take()
        keys = [id(variable) for variable in variables]
        if replay is None:
            return explain_leaving(cast(Exception, self._error), keys)
        owners = find_owners(self._model)
        found = missing.find_causes(
            replay,
            keys,
            *self._where(),
            owners=self._names_of(owners, keys),
            handed=handed_without(self._observer),
        )
        left_out = find_left_out(replay, keys, *self._where())
        lines = self._lines(keys)
        return {
            key: left_out.get(key) or lines.add(key, cause, owners)
            for key, cause in found.items()
        }

    def _names_of(
        self, owners: Mapping[int, Any], keys: Sequence[int]
    ) -> dict[int, str]:
        """Returns the name of the layer of each variable in question."""
        layers = {id(owners[key]): owners[key] for key in keys if key in owners}
        names = tell_apart(self._model, list(layers.values()))
        return {key: names[id(owners[key])] for key in keys if key in owners}

    @unless_it_fails(dict)
    def not_run(self, variables: Sequence[Any]) -> dict[int, Cause]:
        """Returns the `Cause` by `id` where an optimizer was not called.

        Its place is the condition around the call, or else the line that asks
        for the gradients, where there is one.
        """
        places = {
            key: cause.places
            for key, cause in self.missing(variables).items()
            if cause.diagnosis in (diagnoses.NOT_APPLIED, diagnoses.NOT_ASKED)
        }
        keys = set(map(id, variables))
        for optimizer in find_optimizers(self._model):
            waiting = keys.intersection(map(id, variables_of(optimizer)))
            if waiting:
                condition = locate_condition(self._model, optimizer)
                if condition is not None:
                    places |= dict.fromkeys(waiting, (condition,))
        return {
            key: Cause(diagnoses.NOT_RUN, found)
            for key, found in places.items()
        }

    @unless_it_fails(dict)
    def strangers(self, variables: Sequence[Any]) -> dict[int, Cause]:
        """Returns the `Cause` by `id` where the optimizer has others."""
        optimizer = locate_optimizer(self._model.optimizer)
        places = {
            id(v): locate_addition(v.path) or optimizer for v in variables
        }
        return {
            key: Cause(diagnoses.STRANGER, (place,) if place else ())
            for key, place in places.items()
        }

    @unless_it_fails(dict)
    def frozen(self, variables: Sequence[Any]) -> dict[int, Cause]:
        """Returns the `Cause` by `id` of what the step itself has frozen."""
        places = {
            id(variable): locate_freezing(self._model, id(variable))
            for variable in variables
        }
        return {
            key: Cause(diagnoses.FROZEN_IN_STEP, (place,) if place else ())
            for key, place in places.items()
        }

    @unless_it_fails(dict)
    def zeros(self, variables: Sequence[Any]) -> dict[int, Cause]:
        """Returns the `Cause` of gradients of zeros by `id`."""
        replay = self._take()
        if replay is None:
            return {}
        found = zeros.find_causes(
            replay, list(map(id, variables)), *self._where()
        )
        lines = self._lines()
        return {
            key: lines.add_loss(self._may_change(cause))
            for key, cause in found.items()
        }

    def _may_change(self, cause: Cause) -> Cause:
        """Takes a factor of zero for one that may change, where it may.

        A step that is traced once has the numbers of Python of that time. What
        is multiplied in no line of the user's is a setting, such as a loss
        weight of zero, and meant.
        """
        if cause.diagnosis is not diagnoses.TIMES_ZERO:
            return cause
        own = [p for p in cause.places if p.file or p.keras_operation]
        if own and (
            self._seam.tracer.is_traced_once
            or any(_ZERO.search(place.code) for place in own)
        ):
            return cause
        return Cause(diagnoses.ZERO, cause.places, cause.note)

    @unless_it_fails(dict)
    def nonfinite(self, variables: Sequence[Any]) -> dict[int, Cause]:
        """Returns the `Cause` of NaN and infinity by `id`."""
        replay = self._take()
        if replay is None:
            return {}
        keys = list(map(id, variables))
        cause = nonfinite.find_cause(replay, keys, *self._where())
        if cause.diagnosis is diagnoses.DIVERGED:
            return self.diverged(variables, cause.note)
        return dict.fromkeys(keys, self._lines().add_loss(cause))

    @unless_it_fails(dict)
    def diverged(
        self, variables: Sequence[Any], note: str = ""
    ) -> dict[int, Cause]:
        """Returns the `Cause` by `id` where steps were too large."""
        cause = nonfinite.explain_divergence(self._model.optimizer, note)
        return dict.fromkeys(map(id, variables), cause)

    @unless_it_fails(dict)
    def penalized(self, variables: Sequence[Any]) -> dict[int, Cause]:
        """Returns the `Cause` by `id` where a penalty is all there is."""
        replay = self._take()
        if replay is None:
            return {}
        return penalties.find_penalized(
            replay, list(map(id, variables)), *self._where()
        )

    @unless_it_fails(dict)
    def failing(self, error: BaseException) -> dict[int, Cause]:
        """Returns the `Cause` by `id` of an error in the gradients."""
        failed = tracers.load("tracer").says_gradient_failed(error)
        if not failed and not is_due_to_none(error):
            return {}
        self.forget()
        replay = self._take()
        if replay is None:
            return {}
        if not failed:
            return self.missing(self._unanswered(replay))
        keys = [id(variable) for variable in self._model.trainable_variables]
        where, owners = self._where(), find_owners(self._model)
        lines = self._lines(keys)
        # What was computed before the step can be differentiated once.
        before = missing.find_computed_before(
            replay, keys, *where, owners=self._names_of(owners, keys)
        )
        return {
            key: lines.add(key, cause, owners) for key, cause in before.items()
        } | uses.find_failing(replay, keys, *where)

    def _unanswered(self, replay: Replay) -> list[Any]:
        """Returns the variables that were asked about and got `None`."""
        variables = self._model.trainable_variables
        values = ways.values_of(replay, list(map(id, variables)))
        return [
            variable
            for variable in variables
            if any(
                id(variable) in derivative.variables
                and derivative.gradients.keys().isdisjoint(values[id(variable)])
                for derivative in replay.derivatives
            )
        ]

    @unless_it_fails(list)
    def find_uncalled(self) -> list[tuple[Any, Place]]:
        """Returns layers that nothing calls, each with its `Place`."""
        return uncalled.find_uncalled(self._model)

    @unless_it_fails(list)
    def find_untracked(self) -> list[tuple[Any, Place]]:
        """Returns variables that are computed with but not the model's.

        Returns:
            A list of pairs: the variable, and the `Place` where it is used.
        """
        known = self._known()
        strangers = self._seam.tracer.find_untracked(known)
        if not strangers:
            return []
        self._strangers = strangers
        self.forget()
        replay = self._take()
        if replay is None:
            return []
        places = uses.find_uses(
            replay, [id(v) for v in strangers], *self._where()
        )
        return [(v, places[id(v)]) for v in strangers if id(v) in places]

    def _lines(self, wanted: Collection[int] = ()) -> LineFinder:
        return LineFinder(
            self._model,
            self._observer,
            cast(Replay, self._replay),
            self._seam.tracer.is_traced_once,
            wanted,
        )

    def _known(self) -> list[Any]:
        """Returns the variables of the model and of its optimizers."""
        known = [*self._model.variables, *self._model.metrics_variables]
        for optimizer in find_optimizers(self._model):
            known += [*optimizer.variables, *variables_of(optimizer)]
        return known

    def _where(self) -> tuple[dict[str, Any], Any]:
        return operations_by_name(self._model), self._names

    def _take(self) -> Replay | None:
        """Returns the replay of the step, or `None` if it cannot be had."""
        if self._replay is None and self._error is None:
            followed = [*self._model.trainable_variables, *self._strangers]
            keys = {id(variable) for variable in followed}
            others = [v for v in self._known() if id(v) not in keys]
            try:
                with idle_optimizers(self._model):
                    self._replay = self._seam.tracer.replay(
                        self._seam.moment, followed, others
                    )
            except Exception as error:
                self._error = error
                if not tracers.load("tracer").says_it_left(error):
                    self.trouble = self.trouble or error
        return self._replay


def explain_leaving(
    error: BaseException, keys: Sequence[int]
) -> dict[int, Cause]:
    """Returns the `Cause` of a step that leaves the backend, if it does.

    Args:
        error: What was raised when the step was taken.
        keys: Keys of the variables to explain.
    """
    if not tracers.load("tracer").says_it_left(error):
        return {}
    place = locate_frames("", traceback.extract_tb(error.__traceback__))
    return dict.fromkeys(keys, Cause(diagnoses.LEFT, (place,)))


@contextlib.contextmanager
def idle_optimizers(model: keras.Model) -> Iterator[None]:
    """Has the optimizers of a model do nothing."""
    names = tracers.load("tracer").Tracer.apply_methods
    with contextlib.ExitStack() as stack:
        for optimizer in find_optimizers(model):
            for name in names:
                stack.enter_context(replaced(optimizer, name, _IDLE[name]))
        yield


def _stay(
    optimizer_variables: Sequence[Any],
    grads: Sequence[Any],
    trainable_variables: Sequence[Any],
) -> tuple[Any, Any]:
    return trainable_variables, optimizer_variables


_IDLE = {
    "apply": lambda *args, **kwargs: None,
    "stateless_apply": _stay,
}
