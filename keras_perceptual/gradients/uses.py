"""Where a step uses variables that it asks no gradient of, or that fail."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from keras_perceptual.gradients import diagnoses, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.cuts import Locator
from keras_perceptual.gradients.kinds import PYTHON, READERS, kind_of
from keras_perceptual.gradients.places import Place
from keras_perceptual.gradients.replay import Replay
from keras_perceptual.gradients.source_lines import locate_inside


def find_uses(
    replay: Replay,
    strangers: Sequence[Any],
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
) -> dict[Any, Place]:
    """Finds out where variables are used that nobody asks a gradient of.

    Args:
        replay: The `Replay` of the step.
        strangers: Keys of the variables in question.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Place` where each variable is used first on the
        way to what is differentiated, for those that the step could have
        asked a gradient of.
    """
    locator = Locator(layers, functions)
    asked = {v for d in replay.derivatives if not d.of_all for v in d.variables}
    reached = {k for d in replay.derivatives for k in d.gradients}
    users = ways.users_of(replay.operations)
    places = {}
    for variable, values in ways.values_of(replay, strangers).items():
        uses = [
            operation
            for value in values
            for operation, place in users.get(value, ())
            if ways.carries_gradient(operation, place, 0)
            and not reached.isdisjoint(operation.outputs)
            and (value in reached or kind_of(operation) in READERS)
        ]
        if uses and variable not in asked:
            place = place_of_use(locator.locate(uses[0]))
            # A layer that nobody tracks has lines that are as they should be.
            own = locate_inside(layers.get(place.layer), uses[0].frames)
            places[variable] = place if own is None else _moved(place, own)
    return places


def find_failing(
    replay: Replay,
    variables: Sequence[Any],
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
) -> dict[Any, Cause]:
    """Finds the Python functions whose gradient makes a step fail.

    Args:
        replay: The `Replay` of the step.
        variables: Keys of the variables to follow.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Cause` for each variable that such a function
        lies behind.
    """
    locator = Locator(layers, functions)
    values = ways.values_of(replay, variables)
    reached = ways.follow(
        replay.operations, values.values(), ways.carries_gradient
    )
    targets = [t for d in replay.derivatives for t in d.targets]
    guilty = [
        operation
        for operation in ways.needed_for(replay.operations, targets)
        if kind_of(operation) in PYTHON
    ]
    causes = {}
    for index, variable in enumerate(values):
        places = tuple(
            locator.locate(operation)
            for operation in guilty
            if any(reached.get(v, 0) >> index & 1 for v in operation.inputs)
        )
        if places:
            causes[variable] = Cause(diagnoses.FAILS, places)
    return causes


def place_of_use(place: Place) -> Place:
    """Returns a place where it does not matter what is done there."""
    return dataclasses.replace(place, operation="used", function="")


def _moved(place: Place, line: Place) -> Place:
    """Returns a place with the line of another one."""
    return dataclasses.replace(
        place,
        file=line.file,
        line=line.line,
        within=line.within,
        code=line.code,
    )
