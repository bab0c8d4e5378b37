"""Where NaN or infinity in gradients comes from: measured, not guessed."""

import functools
from collections.abc import Hashable, Mapping, Sequence, Set
from types import ModuleType
from typing import Any, TypeAlias

from keras_perceptual.gradients import diagnoses, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.creations import locate_optimizer
from keras_perceptual.gradients.cuts import Locator
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.kinds import (
    GROWING,
    GUARDS,
    HARMLESS,
    POWERS,
    RISKY,
    kind_of,
)
from keras_perceptual.gradients.nonfinite_values import HUGE, Trace, Values
from keras_perceptual.gradients.places import Place
from keras_perceptual.gradients.replay import (
    Derivative,
    Numbers,
    Operation,
    Replay,
)

_UNKNOWN = Numbers()

# An operation, and the largest size that comes back to it.
End: TypeAlias = tuple[Operation, float]


def find_cause(
    replay: Replay,
    variables: Sequence[Any],
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
) -> Cause:
    """Finds out why gradients are NaN or infinite.

    Args:
        replay: The `Replay` of the step.
        variables: Keys of the variables with such a gradient.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        The `Cause` that they have in common.
    """
    locator = Locator(layers, functions)
    values = Values(replay)
    asked = [
        derivative
        for derivative in replay.derivatives
        if not derivative.variables.isdisjoint(variables)
    ]
    targets = [target for d in asked for target in d.targets]
    trace = values.trace_nonfinite(targets)
    if trace:
        return _explain_values(replay, values, trace, locator)
    ends = [
        end
        for derivative in asked
        for end in _find_ends(replay, derivative, variables)
    ]
    if ends:
        return _explain_ends(replay, values, ends, locator)
    return Cause(
        diagnoses.NONFINITE,
        find_suspects(replay, variables, targets, locator),
    )


def explain_divergence(optimizer: Any, note: str = "") -> Cause:
    """Returns the `Cause` of steps that are too large, at their optimizer.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, or `None`.
        note: The note of the cause.
    """
    place = locate_optimizer(optimizer)
    return Cause(diagnoses.DIVERGED, (place,) if place else (), note)


def find_suspects(
    replay: Replay,
    variables: Sequence[Any],
    targets: Sequence[Hashable],
    locator: Locator,
) -> tuple[Place, ...]:
    """Finds the operations in the user's code that could make NaN.

    Args:
        replay: The `Replay` of the step.
        variables: Keys of the variables with such a gradient.
        targets: Keys of the values that are differentiated.
        locator: The `Locator`.

    Returns:
        A tuple of `Place`: first those between the variables and the loss,
        through which a gradient comes, then those whose result goes in.
    """
    needed = ways.needed_for(replay.operations, targets)
    connected = _values_on_the_way(replay, variables)
    makers = ways.makers_of(needed)
    between = [o for o in needed if not connected.isdisjoint(o.inputs)]
    risky = [
        operation
        for operation in (*reversed(between), *reversed(needed))
        if _is_risky(operation, makers)
    ]
    # A square is harmless, a negative power is not, and looks the same.
    risky.sort(key=functools.partial(_is_whole_power, replay))
    places = map(locator.locate, risky)
    return tuple(dict.fromkeys(place for place in places if place.file))


def _is_whole_power(replay: Replay, operation: Operation) -> bool:
    """Whether an operation raises to a power that is a whole number."""
    if kind_of(operation) not in POWERS or len(operation.inputs) < 2:
        return False
    size = replay.values.get(operation.inputs[1], _UNKNOWN).size
    return bool(size and size == int(size))


def _values_on_the_way(
    replay: Replay, variables: Sequence[Any]
) -> Set[Hashable]:
    """Returns keys of the values that gradients of variables come through."""
    beginnings = ways.values_of(replay, variables).values()
    return ways.follow(
        replay.operations, beginnings, ways.carries_gradient
    ).keys()


def _is_risky(
    operation: Operation, makers: Mapping[Hashable, Operation]
) -> bool:
    """Whether nothing keeps an operation from what makes it not finite."""
    place = RISKY.get(kind_of(operation))
    if place is None or place >= len(operation.inputs):
        return False
    if operation.inputs[place] is None:  # A number of Python.
        return False
    maker = makers.get(operation.inputs[place])
    return maker is None or kind_of(maker) not in GUARDS


def _explain_values(
    replay: Replay, values: Values, trace: Trace, locator: Locator
) -> Cause:
    """Returns the `Cause` where what is differentiated is not finite."""
    if sources := _explain_sources(replay, trace.sources):
        return sources
    return _explain(
        replay, values, trace.operations, diagnoses.MADE_FORWARD, locator
    )


def _explain_ends(
    replay: Replay, values: Values, ends: Sequence[End], locator: Locator
) -> Cause:
    """Returns the `Cause` where only the gradients are not finite."""
    inputs = [value for operation, _ in ends for value in operation.inputs]
    before = values.trace_nonfinite(inputs)
    if sources := _explain_sources(replay, before.sources):
        return sources
    # A choice after an operation can hide what it makes, not its derivative.
    operations: Sequence[Operation] = before.operations or [
        operation for operation, _ in ends
    ]
    grown = any(above >= HUGE for _, above in ends)
    return _explain(
        replay, values, operations, diagnoses.MADE_BACKWARD, locator, grown
    )


def _explain_sources(
    replay: Replay, sources: Sequence[Hashable]
) -> Cause | None:
    """Returns the `Cause` where NaN and infinity were there before the step."""
    data = [value for value in sources if value in replay.data]
    if data:
        return Cause(diagnoses.IN_DATA, note=_describe(replay, data))
    if any(value in replay.holders for value in sources):
        return Cause(
            diagnoses.DIVERGED,
            note="The weights held NaN or infinity before this step.",
        )
    if sources:
        return Cause(
            diagnoses.NONFINITE,
            note="A variable that is not trained held NaN or infinity.",
        )
    return None


def _describe(replay: Replay, data: Sequence[Hashable]) -> str:
    names = list(dict.fromkeys(f"{replay.data[value]!r}" for value in data))
    nan = any(replay.values[value].nan for value in data)
    return (
        f"{' and '.join(names)} of the batch "
        f"{'holds' if len(names) == 1 else 'hold'} "
        f"{'NaN' if nan else 'infinity'}."
    )


def _explain(
    replay: Replay,
    values: Values,
    operations: Sequence[Operation],
    diagnosis: Diagnosis,
    locator: Locator,
    grown: bool = False,
) -> Cause:
    """Returns the `Cause` of operations that make NaN or infinity."""
    if any(_is_ctc(operation) for operation in operations):
        diagnosis = diagnoses.IMPOSSIBLE_LABELS
    elif all(kind_of(operation) in GROWING for operation in operations):
        before = values.trace_huge(
            [value for operation in operations for value in operation.inputs]
        )
        makers = [o for o in before.operations if kind_of(o) not in GROWING]
        if makers:
            operations = makers
        elif (
            grown
            or before.operations
            or any(not values.is_constant(value) for value in before.sources)
        ):
            return Cause(diagnoses.DIVERGED)
    places = dict.fromkeys(map(locator.locate, operations))
    return Cause(diagnosis, tuple(sorted(places, key=lambda p: not p.file)))


def _is_ctc(operation: Operation) -> bool:
    names = (operation.kind, *(frame.name for frame in operation.frames))
    return any("ctc" in name.lower() for name in names)


def _find_ends(
    replay: Replay, derivative: Derivative, variables: Sequence[Any]
) -> list[End]:
    """Finds the operations whose derivative makes NaN or infinity.

    Returns:
        A list of pairs, the operation and the largest size that comes back to
        it, those next to the loss first.
    """
    connected = _values_on_the_way(replay, variables)
    gradients = derivative.gradients
    candidates: dict[Operation, tuple[set[Hashable], float]] = {}
    explained: set[Hashable] = set()
    for operation in reversed(replay.operations):
        above = [gradients[v] for v in operation.outputs if v in gradients]
        below = {
            value
            for value in operation.inputs
            if value in connected and not gradients.get(value, _UNKNOWN).finite
        }
        if not (above and below):
            continue
        if all(gradient.finite for gradient in above):
            candidates[operation] = below, max(g.size or 0 for g in above)
        else:
            # The same value may go into others, which are innocent.
            explained |= below
    guilty = {
        value
        for operation, (below, _) in candidates.items()
        if kind_of(operation) not in HARMLESS
        for value in below
    }
    found = []
    for operation, (below, above) in candidates.items():
        open_ends = below - explained
        if kind_of(operation) in HARMLESS:
            open_ends -= guilty
        if open_ends:
            found.append((operation, above))
    return found
