"""Variables that nothing but a penalty on the weights moves."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from keras_perceptual.gradients import diagnoses, missing, ways, zeros
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.cuts import Choices, Reach
from keras_perceptual.gradients.kinds import PRODUCTS, kind_of
from keras_perceptual.gradients.replay import (
    Derivative,
    Numbers,
    Operation,
    Replay,
)

# The function of Keras that adds up the penalties of all weights.
PENALTIES = "_get_regularization_losses"
# The step may have another way where a condition leads there.
_DOUBTFUL = (
    diagnoses.UNUSED,
    diagnoses.UNUSED_IN_CALLED_LAYER,
    diagnoses.NO_LOSS,
    diagnoses.IGNORES_MODEL,
)
# These have a gradient, or another step may ask for it.
_OTHERS = (
    diagnoses.NOT_ASKED,
    diagnoses.NOT_APPLIED,
    diagnoses.TOO_EARLY,
)
_NOTE = "Nothing but a penalty on the weights moves them."


def find_penalized(
    replay: Replay,
    variables: Sequence[Any],
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
) -> dict[Any, Cause]:
    """Finds variables whose gradient comes from a penalty alone.

    Where it is not certain, nothing is said.

    Args:
        replay: The `Replay` of the step.
        variables: Keys of variables with a gradient.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Cause` of each such variable: nothing else
        reaches it, or nothing else but zeros that stay.
    """
    rest = [o for o in replay.operations if not is_penalty(o)]
    values = ways.values_of(replay, variables)
    penalized = _find_reached(replay.operations, values, is_penalty)
    values = {v: keys for v, keys in values.items() if v in penalized}
    if not values:
        return {}
    connected = _find_connected(replay, rest, values)
    users = ways.users_of(rest)
    idle = [
        variable
        for variable in connected
        if all(
            _is_idle(replay, derivative, operation, place)
            for value in values[variable]
            for operation, place in users.get(value, ())
            for derivative in replay.derivatives
        )
    ]
    # What a penalty adds is left out, and with it what nothing is left of.
    silent = {
        key
        for variable in values
        if variable in idle or variable not in connected
        for key in values[variable]
    }
    without = dataclasses.replace(
        replay,
        operations=tuple(rest),
        derivatives=tuple(
            dataclasses.replace(
                derivative,
                gradients={
                    key: gradient
                    for key, gradient in derivative.gradients.items()
                    if key not in silent and not gradient.zero
                },
            )
            for derivative in replay.derivatives
        ),
    )
    found = missing.find_causes(
        without, [v for v in values if v not in connected], layers, functions
    )
    found |= zeros.find_causes(without, idle, layers, functions)
    choices = Choices(
        replay.operations, Reach.of(replay.operations, list(values.values()))
    )
    bits = {variable: 1 << index for index, variable in enumerate(values)}
    causes = {}
    for variable, cause in found.items():
        if cause.diagnosis is None or cause.diagnosis in _OTHERS:
            continue
        if cause.diagnosis in _DOUBTFUL and choices.may_reach(bits[variable]):
            continue
        if cause.diagnosis is diagnoses.CUT_IN_BRANCH:
            causes[variable] = dataclasses.replace(cause, note=_NOTE)
            continue
        if cause.diagnosis.status == "missing" or variable not in connected:
            diagnosis = diagnoses.PENALTY
        elif cause.diagnosis.permanent:
            diagnosis = diagnoses.ZERO_UNDER_PENALTY
        else:
            continue
        causes[variable] = dataclasses.replace(cause, diagnosis=diagnosis)
    return causes


def is_penalty(operation: Operation) -> bool:
    """Whether an operation is a part of the penalties on weights."""
    return any(frame.name == PENALTIES for frame in operation.frames)


def _find_reached(
    operations: Sequence[Operation],
    values: Mapping[Any, Iterable[Hashable]],
    is_meant: Callable[[Operation], bool],
) -> set[Any]:
    """Returns the variables that go into operations that are meant."""
    reached = ways.follow(operations, values.values())
    bits = 0
    for operation in operations:
        if is_meant(operation):
            for value in operation.inputs:
                bits |= reached.get(value, 0)
    return {v for index, v in enumerate(values) if bits >> index & 1}


def _find_connected(
    replay: Replay,
    operations: Sequence[Operation],
    values: Mapping[Any, Iterable[Hashable]],
) -> list[Any]:
    """Returns the variables that operations connect to what is asked for."""
    reached = ways.follow(operations, values.values(), ways.carries_gradient)
    return [
        variable
        for index, variable in enumerate(values)
        if any(
            reached.get(target, 0) >> index & 1
            for derivative in replay.derivatives
            if variable in derivative.variables
            for target in derivative.targets
        )
    ]


def _is_idle(
    replay: Replay, derivative: Derivative, operation: Operation, place: int
) -> bool:
    """Whether an operation adds zeros to the gradient of one of its inputs."""
    if derivative.contributions.get((operation, place)) == 0:
        return True
    above = [derivative.gradients.get(value) for value in operation.outputs]
    if all(gradient is None or gradient.zero for gradient in above):
        return True
    return kind_of(operation) in PRODUCTS and any(
        replay.values.get(value, Numbers()).zero
        for other, value in enumerate(operation.inputs)
        if other != place
    )
