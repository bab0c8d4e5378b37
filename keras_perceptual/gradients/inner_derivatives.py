"""Losses that hold derivatives, and where a step asks for gradients."""

import dataclasses
from collections.abc import Iterable

from keras_perceptual.gradients import diagnoses, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.cuts import Locator, Reach
from keras_perceptual.gradients.kinds import RELU_GRADIENTS, kind_of
from keras_perceptual.gradients.places import (
    Place,
    is_library,
    locate_frames,
    locate_meeting,
)
from keras_perceptual.gradients.replay import Derivative, Operation, Replay


def explain_derivative(
    replay: Replay, reach: Reach, bit: int, locator: Locator
) -> Cause | None:
    """Returns the `Cause` where a loss holds derivatives of values alone.

    Args:
        replay: The `Replay` of the step.
        reach: The `Reach` of the variables.
        bit: The bit of the variable in question.
        locator: The `Locator`.

    Returns:
        The `Cause`, or `None` where the loss holds no derivative, by what is
        no variable, of something that the variable enters.
    """
    inner = [
        derivative
        for derivative in derivatives_in_losses(replay)
        if any(reach.differentiable.get(t, 0) & bit for t in derivative.targets)
    ]
    if not inner:
        return None
    behind = [
        operation
        for operation in ways.needed_for(
            replay.operations, [t for d in inner for t in d.targets]
        )
        if any(reach.any.get(v, 0) & bit for v in operation.inputs)
    ]
    # Where a derivative is differentiated that the variable still enters, it
    # gets lost in the second one.
    if len(inner) > 1:
        relus = ways.relus_of(replay.operations)
        straight = [
            relu
            for operation in behind
            if kind_of(operation) in RELU_GRADIENTS
            and (relu := relus.get(operation.inputs[-1]))
        ]
        return Cause(
            diagnoses.SECOND_DERIVATIVE,
            locator.locate_last(straight[:1] or behind),
        )
    return Cause(
        diagnoses.DERIVATIVE_ONLY,
        (*locate_derivatives(inner), *locator.locate_last(behind)),
    )


def derivatives_in_losses(replay: Replay) -> list[Derivative]:
    """Returns the derivatives, by what is no variable, that losses hold.

    A loss holds one also where it holds a derivative of that.
    """
    variables = set(replay.holders.values())
    outer, waiting = [], {}
    for index, derivative in enumerate(replay.derivatives):
        if variables.isdisjoint(derivative.variables):
            waiting[index] = _parts_of(replay, derivative)
        else:
            outer.append(index)
    held = []
    while outer:
        targets = [t for i in outer for t in replay.derivatives[i].targets]
        needed = ways.needed_for(replay.operations, targets)
        # Where none is known to be a part of it, it may well be held.
        outer = [
            index
            for index, parts in waiting.items()
            if not parts or not parts.isdisjoint(needed)
        ]
        held += outer
        waiting = {i: p for i, p in waiting.items() if i not in outer}
    return [replay.derivatives[index] for index in sorted(held)]


def _parts_of(replay: Replay, derivative: Derivative) -> set[Operation]:
    """Returns the operations that stand on the line of a derivative."""
    own = [f for f in derivative.frames if not is_library(f.filename)]
    line = (own[-1].filename, own[-1].lineno) if own else None
    return {
        operation
        for operation in replay.operations
        if any((f.filename, f.lineno) == line for f in operation.frames)
    }


def locate_derivatives(derivatives: Iterable[Derivative]) -> tuple[Place, ...]:
    """Returns the places where gradients are asked for, each once."""
    places = [
        dataclasses.replace(
            locate_frames("", derivative.frames), operation="gradient"
        )
        for derivative in derivatives
    ]
    return tuple(dict.fromkeys(place for place in places if place.file))


def locate_beside(
    derivative: Derivative, operation: Operation
) -> tuple[Place, ...]:
    """Returns where a function that asks for gradients has a value computed.

    It is empty where that is computed somewhere else.
    """
    asking = [f for f in derivative.frames if not is_library(f.filename)][-1:]
    places = locate_meeting(operation.frames, asking)
    return tuple(
        dataclasses.replace(place, operation=operation.kind) for place in places
    )
