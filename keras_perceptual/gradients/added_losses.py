"""Losses of `add_loss` that a step leaves out."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from keras_perceptual.gradients import diagnoses, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.cuts import Locator
from keras_perceptual.gradients.replay import Replay


def find_left_out(
    replay: Replay,
    variables: Sequence[Any],
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
) -> dict[Any, Cause]:
    """Finds variables that only such a loss would reach.

    A loss counts as added where it is computed on the line of the user's code
    that adds it.

    Args:
        replay: The `Replay` of the step.
        variables: Keys of variables without a gradient.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Cause` of each variable that a loss outside of
        what is differentiated depends on.
    """
    locator = Locator(layers, functions)
    targets = [t for d in replay.derivatives for t in d.targets]
    needed = ways.needed_for(replay.operations, targets)
    inside = set(needed)
    added = [
        operation
        for operation in replay.operations
        if operation not in inside
        and "add_loss(" in locator.locate(operation).code
    ]
    if not added:
        return {}
    reached = ways.follow(
        replay.operations, list(ways.values_of(replay, variables).values())
    )
    found = {}
    for index, variable in enumerate(variables):
        uses = [
            operation
            for operation in added
            if any(reached.get(v, 0) >> index & 1 for v in operation.inputs)
        ]
        if uses:
            places = (*locator.locate_last(needed), locator.locate(uses[-1]))
            found[variable] = Cause(diagnoses.LOSS_LEFT_OUT, places)
    return found
