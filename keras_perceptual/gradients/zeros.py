"""Why gradients are zero everywhere, and whether that is for good.

A gradient of zeros is ordinary: a gate that is closed for this batch, a kernel
that starts at zero, a bias that cancels out. It is a defect where no batch can
change it.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from keras_perceptual.gradients import diagnoses, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.cuts import Locator, explain_cut, find_ends
from keras_perceptual.gradients.inner_derivatives import explain_derivative
from keras_perceptual.gradients.kinds import (
    BRANCHES,
    LEVEL,
    SHAPE_READERS,
    kind_of,
)
from keras_perceptual.gradients.replay import Operation, Replay
from keras_perceptual.gradients.zero_ends import End, Judge
from keras_perceptual.gradients.zero_steps import Step


def find_causes(
    replay: Replay,
    variables: Sequence[Any],
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
) -> dict[Any, Cause]:
    """Finds out why gradients are zero.

    Args:
        replay: The `Replay` of the step.
        variables: Keys of the variables whose gradient is zero, or nothing
            but rounding errors.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Cause` of each variable that has one. Where
        another batch may well end the zeros there is none, or one that says
        no more than where they come from.
    """
    variables = list(dict.fromkeys(variables))
    locator = Locator(layers, functions)
    step = Step(replay, variables)
    ends, cuts = _collect(step, variables, locator)
    stay = _those_that_stay(ends)
    causes = {}
    for index, variable in enumerate(variables):
        bit = 1 << index
        if ends[variable]:
            cause = _choose(ends[variable], bool(stay & bit), locator)
        else:
            cause = _explain_absence(
                step, variable, bit, cuts[variable], locator
            )
        if cause is None and not any(map(_has_reason, ends[variable])):
            cause = _explain_by_dead(step, bit, locator)
        if cause is not None:
            causes[variable] = cause
    return causes


def _explain_by_dead(step: Step, bit: int, locator: Locator) -> Cause | None:
    """Returns the `Cause` of zeros that lie behind a dead operation, if any.

    What comes after it may be zero for that, and hand back nothing to it.
    """
    for operation in step.replay.operations:
        if kind_of(operation) in LEVEL and any(
            step.reach.differentiable.get(value, 0) & bit
            and not step.roots.is_zero(value)
            for value in operation.inputs
        ):
            if all(map(step.roots.is_zero, operation.outputs)):
                return Cause(diagnoses.ZERO, (locator.locate(operation),))
    return None


def _collect(
    step: Step, variables: Sequence[Any], locator: Locator
) -> tuple[dict[Any, list[End]], dict[Any, list[Operation]]]:
    """Returns where the gradient of each variable ends.

    Returns:
        Two dictionaries by variable: lists of each `End`, and of the
        operations without a gradient, which no batch can change.
    """
    ends: dict[Any, list[End]] = {variable: [] for variable in variables}
    cuts: dict[Any, list[Operation]] = {variable: [] for variable in variables}
    for derivative in step.replay.derivatives:
        bits = {
            variable: 1 << index
            for index, variable in enumerate(variables)
            if variable in derivative.variables
        }
        if not bits:
            continue
        judge = Judge(step, derivative, locator)
        found = find_ends(
            step.replay.operations, step.beginnings, judge.find_arriving()
        )
        blocked = dict(found.cuts)
        for (operation, place), behind in found.direct.items():
            if not operation.differentiable:
                blocked[operation] = blocked.get(operation, 0) | behind
                continue
            end = judge.judge(operation, place)
            for variable, bit in bits.items():
                if end and behind & bit:
                    ends[variable].append(end)
        for operation, behind in blocked.items():
            for variable, bit in bits.items():
                if behind & bit:
                    cuts[variable].append(operation)
    for variable, found in ends.items():
        telling = [end for end in found if not end.aside]
        ends[variable] = telling or ([] if cuts[variable] else found)
    return ends, cuts


def _those_that_stay(ends: Mapping[Any, Sequence[End]]) -> int:
    """Returns the variables, as bits, whose zeros no batch can end.

    One end that the next batch may open is enough. A factor that another one
    waits for must itself be there for good.
    """
    stay = {
        1 << index: found
        for index, found in enumerate(ends.values())
        if found and all(_has_reason(end) for end in found)
    }
    while True:
        bits = sum(stay)
        loose = [
            bit
            for bit, found in stay.items()
            if any(end.partners & ~bits for end in found)
        ]
        if not loose:
            return bits
        for bit in loose:
            del stay[bit]


def _has_reason(end: End) -> bool:
    return end.diagnosis not in (None, diagnoses.ZERO)


def _choose(ends: Sequence[End], stays: bool, locator: Locator) -> Cause | None:
    """Returns the `Cause` that tells most about the ends of a variable."""
    if not stays:
        told = [end for end in ends if end.diagnosis is diagnoses.ZERO]
        places = dict.fromkeys(locator.locate(e.operation) for e in told)
        return Cause(diagnoses.ZERO, tuple(places)) if told else None
    if _is_loop(ends, locator):
        return Cause(diagnoses.NO_STEP, (locator.locate(ends[0].operation),))
    # What may end some day says more than what does not, and what needs no
    # other variable more than what does.
    first = min(
        ends,
        key=lambda e: (
            bool(e.diagnosis and e.diagnosis.permanent),
            e.partners.bit_count(),
        ),
    )
    return Cause(first.diagnosis, (locator.locate(first.operation),))


def _is_loop(ends: Sequence[End], locator: Locator) -> bool:
    """Whether the same choice is closed in each turn of a loop."""
    places = {locator.locate(end.operation) for end in ends if end.chosen}
    return all(end.chosen for end in ends) and len(places) < len(ends)


def _explain_absence(
    step: Step,
    variable: Any,
    bit: int,
    cuts: Sequence[Operation],
    locator: Locator,
) -> Cause | None:
    """Returns the `Cause` of zeros that stand for no gradient, if it is known.

    Where a condition took another way, the zeros are filled in, and there is
    nothing to be seen of what the variable is used for.
    """
    replay = step.replay
    targets = [
        target
        for derivative in replay.derivatives
        if variable in derivative.variables
        for target in derivative.targets
    ]
    is_used = any(step.reach.any.get(target, 0) & bit for target in targets)
    if not is_used and ways.computed_with(replay).isdisjoint(targets):
        needed = ways.needed_for(replay.operations, targets)
        choices = [o for o in needed if kind_of(o) in BRANCHES]
        chosen = [o for o in needed if o.conditional]
        return Cause(
            diagnoses.CUT_IN_BRANCH,
            locator.locate_last(choices or chosen or needed),
        )
    if not is_used or all(kind_of(o) in SHAPE_READERS for o in cuts):
        cause = explain_derivative(replay, step.reach, bit, locator)
        if cause is not None:
            return cause
    if not cuts:
        return None
    may_open = [step.choices.may_open(operation, bit) for operation in cuts]
    return explain_cut(cuts, may_open, locator)
