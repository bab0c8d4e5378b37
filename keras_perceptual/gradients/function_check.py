"""The gradient check of a loss that is not part of a model."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_perceptual.gradients import (
    diagnoses,
    judging,
    missing,
    nonfinite,
    tracers,
    zeros,
)
from keras_perceptual.gradients.causes import Cause, title_of
from keras_perceptual.gradients.creations import locate_outer_tensor
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.explain import explain_leaving
from keras_perceptual.gradients.report import GradientRecord, GradientReport
from keras_perceptual.gradients.snapshots import values_put_back
from keras_perceptual.gradients.statistics import (
    GradientStatistics,
    ratio_of_norms,
    statistics_rows,
    weight_norm,
)


def check_function(
    function: Callable[[], Any], variables: Sequence[Any]
) -> GradientReport:
    """Reports the gradient of a loss with respect to variables.

    Args:
        function: Function without arguments that returns the loss, a scalar.
        variables: A list of `keras.Variable`.

    Returns:
        A `GradientReport`.
    """
    variables = list(variables)
    for variable in variables:
        if not isinstance(variable, keras.Variable):
            raise ValueError(
                "check_gradients needs a list of `keras.Variable` beside a "
                "function, for example `model.trainable_variables`. "
                f"Received: {variable!r}"
            )
    gradients = tracers.load("tracer").compute_gradients(function, variables)
    found = _statistics(gradients)
    statuses = [_judge(statistics) for statistics in found]
    try:
        causes = _find_causes(function, variables, statuses)
    except Exception as error:
        # The verdict does not depend on whether it can be explained.
        causes = explain_leaving(error, list(map(id, variables)))
    return GradientReport(
        tuple(
            _make_record(v, *status, statistics, causes.get(id(v)))
            for v, status, statistics in zip(
                variables, statuses, found, strict=True
            )
        ),
        batches=1,
        of_function=True,
    )


def _statistics(gradients: Sequence[Any]) -> list[GradientStatistics | None]:
    """Returns the `GradientStatistics`, and `None` for what is missing."""
    present = [g for g in gradients if g is not None]
    if not present:
        return [None] * len(gradients)
    rows = statistics_rows(present, tracers.load("tracer").norms)
    rows = iter(ops.convert_to_numpy(rows))
    return [
        None if g is None else GradientStatistics.from_row(next(rows))
        for g in gradients
    ]


def _judge(
    statistics: GradientStatistics | None,
) -> tuple[str, Diagnosis | None]:
    return judging.judge_variable(
        statistics or GradientStatistics(),
        handed=True,
        connected=statistics is not None,
    )


def _find_causes(
    function: Callable[[], Any],
    variables: Sequence[Any],
    statuses: Sequence[tuple[str, Diagnosis | None]],
) -> dict[int, Cause]:
    """Returns the `Cause` of gradients that are not as they should be."""
    wanted: dict[str, list[int]] = {"missing": [], "zero": [], "nonfinite": []}
    for variable, (status, _) in zip(variables, statuses, strict=True):
        wanted.get(status, []).append(id(variable))
    if not any(wanted.values()):
        return {}
    with (
        tracers.load("replay").random_numbers_kept(),
        values_put_back(variables),
    ):
        replay = tracers.load("replay").replay_function(function, variables)
    layers: dict[str, Any] = {}
    where = layers, tracers.load("tracer").public_functions()
    causes = {
        key: cause
        for key, cause in missing.find_causes(
            replay, wanted["missing"] + wanted["zero"], *where
        ).items()
        # What is connected is not missing.
        if cause.diagnosis is not diagnoses.NOT_APPLIED
    }
    unused = [k for k, c in causes.items() if c.diagnosis is diagnoses.UNUSED]
    if unused:
        outer = locate_outer_tensor(function)
        outside = Cause(diagnoses.OUTSIDE, (outer,) if outer else ())
        causes |= dict.fromkeys(unused, outside)
    causes = zeros.find_causes(replay, wanted["zero"], *where) | causes
    if wanted["nonfinite"]:
        cause = nonfinite.find_cause(replay, wanted["nonfinite"], *where)
        causes |= dict.fromkeys(wanted["nonfinite"], cause)
    return causes


def _make_record(
    variable: Any,
    status: str,
    diagnosis: Diagnosis | None,
    statistics: GradientStatistics | None,
    cause: Cause | None,
) -> GradientRecord:
    cause = cause or Cause(diagnosis)
    if cause.diagnosis is not None:
        status = cause.diagnosis.status
    norm = None
    if status != "missing" and statistics is not None:
        norm = statistics.finite_norm
    return GradientRecord(
        path=variable.path,
        status=status,
        norm=norm,
        ratio=(
            None
            if norm is None
            else ratio_of_norms(norm, weight_norm(variable))
        ),
        shape=tuple(variable.shape),
        reason=title_of(cause.diagnosis),
        culprits=cause.places,
        note=cause.note,
    )
