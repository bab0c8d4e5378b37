"""Why what is differentiated does not depend on a variable."""

import functools
import operator
import os
from collections.abc import Callable, Hashable, Sequence, Set
from typing import Any

from keras_perceptual.gradients import diagnoses, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.cuts import Locator, Reach, explain_cut
from keras_perceptual.gradients.dropped_results import locate_dropping
from keras_perceptual.gradients.inner_derivatives import (
    derivatives_in_losses,
    explain_derivative,
    locate_beside,
    locate_derivatives,
)
from keras_perceptual.gradients.kinds import LEAVING, STOPS, ZEROS, kind_of
from keras_perceptual.gradients.places import (
    Place,
    is_library,
    locate_meeting,
)
from keras_perceptual.gradients.replay import (
    Derivative,
    Numbers,
    Operation,
    Replay,
)
from keras_perceptual.gradients.ways import Origin

_UNKNOWN = Numbers()
# Where Keras calls the losses of `compile`.
_COMPILED = os.path.join("trainers", "compile_utils.py")
# What a metric computes is for a log.
_METRICS = f"{os.sep}metrics{os.sep}"


class LossSearch:
    """Finds out why losses do not depend on variables.

    Args:
        replay: The `Replay` of the step.
        reach: The `Reach` of the variables, as bits.
        locator: The `Locator`.
    """

    def __init__(self, replay: Replay, reach: Reach, locator: Locator) -> None:
        self._replay = replay
        self._reach = reach
        self._locator = locator
        self._needed_for = functools.cache(
            functools.partial(ways.needed_for, replay.operations)
        )

    def explain(
        self,
        bit: int,
        targets: Sequence[Hashable],
        asked: Sequence[tuple[int, Derivative]],
    ) -> Cause:
        """Returns the `Cause` where no target is computed from a variable."""
        needed = self._needed_for(targets)
        end = self._positions[needed[-1]] if needed else len(self._positions)
        for operation in self._leaving:
            # What is read once the loss is there, as for a log, is no matter.
            if self._positions[operation] < end and any(
                self._depends(value, bit) for value in operation.inputs
            ):
                place = self._locator.locate(operation)
                return Cause(diagnoses.LEFT, (place,))
        cuts = self._cuts_before_derivatives(bit)
        if cuts:
            return explain_cut(cuts, (False,) * len(cuts), self._locator)
        if self._computed.isdisjoint(targets):
            places = self._locate_without_model(needed)
            if not places or places[0].file or bit not in self._last_places:
                return Cause(diagnoses.IGNORES_MODEL, places)
            return Cause(diagnoses.NO_LOSS, self._last_places[bit])
        cause = explain_derivative(
            self._replay, self._reach, bit, self._locator
        )
        if cause is not None:
            return cause
        instead = self._find_layer_on_labels(targets)
        instead = instead or self._find_loss_without_model(targets)
        if instead:
            return Cause(diagnoses.IGNORES_PREDICTION, instead)
        other = self.find_other(asked)
        if other:
            return Cause(diagnoses.OTHER_LOSS, other)
        last = self._last_places.get(bit, ())
        if not any(place.file for place in last):
            last = (*self._locate_blank(needed), *last)
        return Cause(diagnoses.NO_LOSS, last)

    def _locate_without_model(
        self, needed: Sequence[Operation]
    ) -> tuple[Place, ...]:
        """Returns where what is differentiated loses sight of the model.

        Where layers that are not trained take part, it is where what they
        return is compared; where a number stands in the place of a prediction,
        it is there.
        """
        frozen = [
            operation
            for operation in needed
            if any(ways.layers_around(operation, self._locator.layers))
            and any(
                self._origins.get(value, Origin.CONSTANT) & Origin.CHANGEABLE
                for value in operation.inputs
            )
        ]
        if frozen:
            place = locate_meeting(needed[-1].frames, frozen[-1].frames)
            return place or self._locator.locate_last(needed)
        filled = [
            operation
            for operation in needed
            if kind_of(operation) in ZEROS or self._is_constant(operation)
        ]
        return self._locator.locate_last(filled or needed)

    def _cuts_before_derivatives(self, bit: int) -> tuple[Operation, ...]:
        """Returns what stops a variable before an inner derivative is taken.

        The derivative of what was cut off is no longer computed from it.
        """
        needed = self._needed_for(
            tuple(
                target
                for derivative in derivatives_in_losses(self._replay)
                for target in derivative.targets
            )
        )
        connected = self._reach.differentiable
        return tuple(
            operation
            for operation in needed
            if kind_of(operation) in STOPS
            and any(connected.get(v, 0) & bit for v in operation.inputs)
        )

    def _locate_blank(self, needed: Sequence[Operation]) -> tuple[Place, ...]:
        """Returns where a layer hands on zeros in the place of a result.

        On JAX, a dropout of all there is does so.
        """
        blank = [
            operation
            for operation in needed
            if self._is_constant(operation)
            and any(ways.layers_around(operation, self._locator.layers))
            and all(
                self._replay.values.get(value, _UNKNOWN).zero
                for value in operation.outputs
            )
        ]
        return self._locator.locate_last(blank)

    def _is_constant(self, operation: Operation) -> bool:
        """Whether an operation makes a constant that a gradient comes to."""
        return any(
            value not in self._origins
            and any(value in d.gradients for d in self._replay.derivatives)
            for value in operation.outputs
        )

    def find_other(
        self, asked: Sequence[tuple[int, Derivative]]
    ) -> tuple[Place, ...]:
        """Returns where a loss is that none of the asked variables enters.

        Where it is the loss of others, it is there that it is asked about.
        """
        for _, derivative in asked:
            if derivative.of_all or self._is_answered(derivative):
                continue
            if not locate_derivatives([derivative]):
                # That of `compile` is the one there is.
                continue
            enters = ways.follow(
                self._replay.operations, [derivative.targets]
            ).keys()
            if any(
                self._is_answered(other)
                and not enters.isdisjoint(other.targets)
                for other in self._replay.derivatives
            ):
                return locate_derivatives([derivative])
            needed = self._needed_for(derivative.targets)
            beside = locate_beside(derivative, needed[-1]) if needed else ()
            return beside or self._locator.locate_last(needed)
        return ()

    def _is_answered(self, derivative: Derivative) -> bool:
        """Whether a loss depends on one of the variables asked about."""
        values = ways.values_of(self._replay, [*derivative.variables])
        reached = ways.follow(
            self._replay.operations,
            [[key for keys in values.values() for key in keys]],
            ways.carries_values,
        )
        return not reached.keys().isdisjoint(derivative.targets)

    def _find_layer_on_labels(
        self, targets: Sequence[Hashable]
    ) -> tuple[Place, ...]:
        """Returns where the loss calls a layer on labels, and on these alone.

        It is empty where a target depends on the inputs of the model as well.
        """
        if any(self._features.get(target, 0) for target in targets):
            return ()
        on_labels = [
            operation
            for operation in self._needed_for(targets)
            if any(self._labels.get(value, 0) for value in operation.inputs)
        ]
        places = map(self._locator.locate, on_labels)
        return tuple(p for p in places if p.layer)[:1]

    def _find_loss_without_model(
        self, targets: Sequence[Hashable]
    ) -> tuple[Place, ...]:
        """Returns where the loss of `compile` is, if it leaves the model out.

        Another loss, such as one of `add_loss`, is added to it.
        """
        compiled = [
            operation
            for operation in self._needed_for(targets)
            if any(f.filename.endswith(_COMPILED) for f in operation.frames)
        ]
        given = (value for o in compiled for value in o.inputs)
        if not self._computed.isdisjoint(given):
            return ()
        return self._locator.locate_last(compiled)

    def _depends(self, value: Any, bit: int) -> bool:
        return bool(self._reach.any.get(value, 0) & bit)

    @functools.cached_property
    def _positions(self) -> dict[Operation, int]:
        return {o: index for index, o in enumerate(self._replay.operations)}

    @functools.cached_property
    def _leaving(self) -> list[Operation]:
        return [o for o in self._replay.operations if kind_of(o) in LEAVING]

    @functools.cached_property
    def _origins(self) -> dict[Hashable, Origin]:
        return ways.origins_of(self._replay)

    @functools.cached_property
    def _computed(self) -> Set[Hashable]:
        return ways.computed_with(self._replay)

    @functools.cached_property
    def _labels(self) -> dict[Hashable, int]:
        return self._follow_data(lambda name: name.startswith("y"))

    @functools.cached_property
    def _features(self) -> dict[Hashable, int]:
        return self._follow_data(lambda name: name.startswith("x"))

    def _follow_data(
        self, is_meant: Callable[[str], bool]
    ) -> dict[Hashable, int]:
        """Returns what depends on the data whose names are meant."""
        data = [k for k, name in self._replay.data.items() if is_meant(name)]
        return ways.follow(
            self._replay.operations, [data], ways.carries_numbers
        )

    @functools.cached_property
    def _last_places(self) -> dict[int, tuple[Place, ...]]:
        """Where each variable, by its bit, is computed with last."""
        places: dict[int, tuple[Place, ...]] = {}
        left = functools.reduce(operator.or_, self._reach.any.values(), 0)
        for operation in reversed(self._replay.operations):
            bits = 0
            for value in operation.inputs:
                bits |= self._reach.any.get(value, 0) & left
            if not bits or _is_of_metric(operation):
                continue
            if found := self._locator.locate_last([operation]):
                dropping = locate_dropping(operation.frames)
                found = (dropping, *found) if dropping else found
                places |= dict.fromkeys(ways.single_bits(bits), found)
                left &= ~bits
        return places


def _is_of_metric(operation: Operation) -> bool:
    return any(
        _METRICS in frame.filename and is_library(frame.filename)
        for frame in operation.frames
    )
