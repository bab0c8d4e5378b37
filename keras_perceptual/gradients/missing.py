"""Why a variable has no gradient, read off the replay of a step."""

import collections
import dataclasses
import functools
from collections.abc import (
    Collection,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from types import ModuleType
from typing import Any

import keras

from keras_perceptual.gradients import diagnoses, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.cuts import (
    Choices,
    Locator,
    Reach,
    explain_cut,
    find_ends,
)
from keras_perceptual.gradients.inner_derivatives import (
    explain_derivative,
    locate_derivatives,
)
from keras_perceptual.gradients.kinds import (
    DIFFERENTIATION,
    DIVISIONS,
    GROWING,
    LEVEL,
    READERS,
    SHAPE_READERS,
    kind_of,
)
from keras_perceptual.gradients.losses_without import LossSearch
from keras_perceptual.gradients.places import Place, locate_meeting
from keras_perceptual.gradients.replay import Derivative, Operation, Replay
from keras_perceptual.gradients.source_lines import locate_block
from keras_perceptual.gradients.uses import place_of_use
from keras_perceptual.gradients.ways import Origin

# What it is called in a replay that `.grad` was read before there was one.
READING = "grad"
# How PyTorch runs what it keeps no record of.
_UNDER = " under no_grad"


def find_causes(
    replay: Replay,
    variables: Sequence[Any],
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
    owners: Mapping[Any, str] | None = None,
    handed: Collection[Any] = (),
) -> dict[Any, Cause]:
    """Finds out why variables have no gradient.

    Args:
        replay: The `Replay` of the step.
        variables: Keys of the variables in question.
        layers: The layers of the model by name.
        functions: As for `places.locate`.
        owners: The layer that each variable belongs to, as
            `model_parts.tell_apart` names it.
        handed: Keys of the variables that came to an optimizer, without a
            gradient. A call that had one for them is not the one to explain.

    Returns:
        A dictionary with the `Cause` of each variable. One that the step does
        have a gradient of can only lack an optimizer.
    """
    variables = list(dict.fromkeys(variables))
    locator = Locator(layers, functions)
    search = _Search(replay, variables, locator, owners or {}, handed)
    return {
        variable: search.find_cause(1 << index, variable)
        for index, variable in enumerate(variables)
    }


def find_computed_before(
    replay: Replay,
    variables: Sequence[Any],
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
    owners: Mapping[Any, str] | None = None,
) -> dict[Any, Cause]:
    """Finds what a step computes without, although their layers are called.

    A gradient may still come to them: of what was computed before the step.

    Args:
        replay: The `Replay` of the step.
        variables: Keys of the variables in question.
        layers: The layers of the model by name.
        functions: As for `places.locate`.
        owners: The layer that each variable belongs to, as
            `model_parts.tell_apart` names it.

    Returns:
        A dictionary with the `Cause` of each such variable.
    """
    locator = Locator(layers, functions)
    search = _Search(replay, variables, locator, owners or {})
    causes = {key: search.explain_unused(key) for key in variables}
    return {
        key: cause
        for key, cause in causes.items()
        if cause is not None
        and cause.diagnosis is diagnoses.UNUSED_IN_CALLED_LAYER
    }


class _Search:
    """What is common to the search for the causes of some variables."""

    def __init__(
        self,
        replay: Replay,
        variables: Sequence[Any],
        locator: Locator,
        owners: Mapping[Any, str],
        handed: Collection[Any] = (),
    ) -> None:
        self._replay = replay
        self._locator = locator
        self._owners = owners
        self._handed = handed
        self._values = ways.values_of(replay, variables)
        self._users = ways.users_of(replay.operations)
        self._reach = Reach.of(replay.operations, self._values.values())
        self._losses = LossSearch(replay, self._reach, locator)
        self._explain_cut = functools.cache(
            functools.partial(explain_cut, locator=locator)
        )

    def find_cause(self, bit: int, variable: Any) -> Cause:
        """Returns the `Cause` of one variable, given its bit."""
        values = self._values[variable]
        asked = [
            (index, derivative)
            for index, derivative in enumerate(self._replay.derivatives)
            if variable in derivative.variables
        ]
        if not asked:
            return self._explain_not_asked(bit, values)
        if variable in self._handed:
            unanswered = [
                (index, derivative)
                for index, derivative in asked
                if derivative.gradients.keys().isdisjoint(values)
            ]
            asked = unanswered or asked
        if any(value in d.gradients for _, d in asked for value in values):
            return self._explain_lost_gradient(values, asked)
        unused = self.explain_unused(variable)
        if unused is not None:
            if unused.diagnosis is not diagnoses.UNUSED:
                return unused
            return Cause(diagnoses.UNUSED, self._losses.find_other(asked))
        if self._is_copied(bit, variable):
            return Cause(diagnoses.UNUSED)
        targets = tuple(t for _, d in asked for t in d.targets)
        if not any(self._depends(target, bit) for target in targets):
            return self._losses.explain(bit, targets, asked)
        cuts = tuple(
            operation
            for index, _ in asked
            for operation, bits in self._ends[index]
            if bits & bit
        )
        if all(kind_of(operation) in SHAPE_READERS for operation in cuts):
            cause = self._explain_derivative(bit)
            if cause is not None:
                return cause
        may_open = tuple(self._choices.may_open(o, bit) for o in cuts)
        cause = self._explain_cut(cuts, may_open)
        return self._locate_unrecorded(cause, cuts, asked) or cause

    def _locate_unrecorded(
        self,
        cause: Cause,
        cuts: Sequence[Operation],
        asked: Sequence[tuple[int, Derivative]],
    ) -> Cause | None:
        """Returns the `Cause` of cuts where nothing but a record is missing.

        A block that records nothing has them computed, or the function that
        asks for gradients, at a line that stands outside of its tape.
        """
        if cuts and all(_UNDER in operation.kind for operation in cuts):
            within = (locate_block(o.frames, "no_grad") for o in cuts)
            blocks = tuple(
                dataclasses.replace(place, operation=operation.kind)
                for operation, place in zip(cuts, within, strict=True)
                if place is not None
            )
            return Cause(cause.diagnosis, blocks) if blocks else None
        if not all(
            operation.differentiable
            and not operation.own_gradient
            and kind_of(operation) in GROWING | LEVEL | DIVISIONS
            for operation in cuts
        ):
            return None
        places = [
            dataclasses.replace(place, operation=operation.kind)
            for operation in reversed(cuts)
            for _, derivative in asked
            for place in locate_meeting(operation.frames, derivative.frames)
        ]
        if not places:
            return None
        return Cause(cause.diagnosis, (*dict.fromkeys(places), *cause.places))

    def _explain_not_asked(self, bit: int, values: Sequence[Hashable]) -> Cause:
        """Returns the `Cause` where the step has a gradient for others only.

        What none could reach, such as a teacher's, is not forgotten.
        """
        derivatives = self._replay.derivatives
        reached = {value for d in derivatives for value in d.gradients}
        uses = [
            operation
            for value in values
            for operation, _ in self._users.get(value, ())
        ]
        read = {
            value
            for operation in uses
            if kind_of(operation) in READERS
            for value in operation.outputs
        }
        if not derivatives or not reached.isdisjoint(read.union(values)):
            return Cause(diagnoses.NOT_ASKED, self._locate_other(bit))
        places = tuple(
            place_of_use(place) for place in self._locator.locate_last(uses)
        )
        return Cause(diagnoses.LEFT_ALONE, places)

    def _is_used(self, value: Any) -> bool:
        """Whether more is done with a value than to differentiate by it."""
        return any(
            kind_of(operation) not in DIFFERENTIATION
            for operation, _ in self._users.get(value, ())
        )

    def _is_copied(self, bit: int, variable: Any) -> bool:
        """Whether weights alone are computed from it, as a moving average.

        No layer reads it, and no data and no random numbers meet it. What
        belongs to no layer, or to a model itself, is used outside of layers.
        """
        layers = self._locator.layers
        owner = layers.get(self._owners.get(variable, ""))
        if owner is None or isinstance(owner, keras.Model):
            return False
        uses = [
            operation
            for value in self._values[variable]
            for operation, _ in self._users.get(value, ())
        ]
        if any([*ways.layers_around(use, layers)] for use in uses):
            return False
        # What is written may be anything afterwards.
        written = {
            value
            for operation in self._replay.operations
            if kind_of(operation).startswith("assign")
            for value in operation.outputs
        }
        weights = ways.Origin.HOLDER | ways.Origin.CHANGEABLE
        return not any(
            self._origins.get(value, ways.Origin.CONSTANT) & ~weights
            for value, bits in self._reach.any.items()
            if bits & bit and value not in written
        )

    def _explain_derivative(self, bit: int) -> Cause | None:
        return explain_derivative(self._replay, self._reach, bit, self._locator)

    def _depends(self, value: Any, bit: int) -> bool:
        return bool(self._reach.any.get(value, 0) & bit)

    def _locate_other(self, bit: int) -> tuple[Place, ...]:
        """Returns where gradients are asked for, but not of a variable.

        A derivative of what the variable enters is the one to be mended, all
        the more where it asks what another line does.
        """
        derivatives = self._replay.derivatives
        lines = {locate_derivatives([d]): d.variables for d in derivatives}
        asked = collections.Counter(v for vs in lines.values() for v in vs)
        entered = [
            derivative
            for derivative in derivatives
            if any(self._depends(t, bit) for t in derivative.targets)
        ]
        repeated = [
            derivative
            for derivative in entered
            if any(asked[variable] > 1 for variable in derivative.variables)
        ]
        last = (entered or derivatives)[-1:]
        return locate_derivatives(repeated[:1] or last)

    def _explain_lost_gradient(
        self,
        values: Iterable[Hashable],
        asked: Sequence[tuple[int, Derivative]],
    ) -> Cause:
        for value in values:
            for operation, _ in self._users.get(value, ()):
                if kind_of(operation) == READING:
                    place = self._locator.locate(operation)
                    return Cause(diagnoses.TOO_EARLY, (place,))
        return Cause(
            diagnoses.NOT_APPLIED, locate_derivatives(d for _, d in asked)
        )

    def explain_unused(self, variable: Any) -> Cause | None:
        """Returns the `Cause` of one variable, `None` if the step uses it."""
        if any(self._is_used(value) for value in self._values[variable]):
            return None
        inside = self._inside_layers.get(self._owners.get(variable, ""))
        if not inside:
            return Cause(diagnoses.UNUSED)
        places = map(self._locator.locate, inside)
        found = [place for place in places if place.file]
        return Cause(
            diagnoses.UNUSED_IN_CALLED_LAYER,
            (found[-1] if found else self._locator.locate(inside[0]),),
        )

    @functools.cached_property
    def _choices(self) -> Choices:
        return Choices(self._replay.operations, self._reach)

    @functools.cached_property
    def _positions(self) -> dict[Operation, int]:
        return {o: index for index, o in enumerate(self._replay.operations)}

    @functools.cached_property
    def _origins(self) -> dict[Hashable, Origin]:
        return ways.origins_of(self._replay)

    @functools.cached_property
    def _inside_layers(self) -> dict[str, list[Operation]]:
        """The operations in each layer, as `model_parts.tell_apart` names it.

        That is its own name, or that of a layer around it and its own.
        """
        inside: dict[str, list[Operation]] = {}
        for operation in self._replay.operations:
            outer: list[str] = []
            for name in ways.layers_around(operation, self._locator.layers):
                for key in (name, *(f"{other}/{name}" for other in outer)):
                    inside.setdefault(key, []).append(operation)
                outer.append(name)
        return inside

    @functools.cached_property
    def _ends(self) -> list[list[tuple[Operation, int]]]:
        """For each derivative, where gradients end and for which variables."""
        return [
            find_ends(
                self._replay.operations,
                list(self._values.values()),
                derivative.gradients.keys() | set(derivative.targets),
            ).by_operation(self._positions)
            for derivative in self._replay.derivatives
        ]
