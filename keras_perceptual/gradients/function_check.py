"""The gradient check of a loss that is not part of a model."""

import keras
from keras import ops

from keras_perceptual.gradients import causes, judging, reasons, tracers
from keras_perceptual.gradients.explain import explain_leaving, unless_it_fails
from keras_perceptual.gradients.report import GradientRecord, GradientReport
from keras_perceptual.gradients.statistics import (
    GradientStatistics,
    ratio_of_norms,
    statistics_rows,
    weight_norm,
)


def check_function(function, variables):
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
    gradients = tracers.load("gradients").compute_gradients(function, variables)
    found = _statistics(gradients)
    doubtful = [
        v
        for v, statistics in zip(variables, found, strict=True)
        if statistics is None or not statistics.nonzero
    ]
    explained = _explain(function, variables, doubtful)
    return GradientReport(
        tuple(
            _make_record(v, statistics, explained.get(id(v)))
            for v, statistics in zip(variables, found, strict=True)
        ),
        batches=1,
    )


def _statistics(gradients):
    """Returns the `GradientStatistics`, and `None` for what is missing."""
    present = [g for g in gradients if g is not None]
    if not present:
        return [None] * len(gradients)
    rows = iter(ops.convert_to_numpy(statistics_rows(present)))
    return [
        None if g is None else GradientStatistics.from_row(next(rows))
        for g in gradients
    ]


def _make_record(variable, statistics, cause):
    # The step is known to ask for the gradient: this says that it is there.
    lost = cause is not None and cause.reason != reasons.NOT_APPLIED
    status, reason = judging.judge_variable(
        statistics, handed=True, connected=False, disconnected=lost
    )
    missing = status == "missing"
    norm = None if missing else statistics.finite_norm
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
        reason=cause.reason if missing and lost else reason,
        culprits=cause.places if missing and lost else (),
    )


@unless_it_fails(dict)
def _explain(function, variables, doubtful):
    """Returns the `Cause` of missing gradients by the `id` of variables."""
    if not doubtful:
        return {}
    keys = [id(variable) for variable in doubtful]
    try:
        flow = tracers.load("gradients").trace_function(function, variables)
    except Exception as error:
        if found := explain_leaving(error, keys):
            return found
        raise
    functions = tracers.load("dataflow").public_functions()
    return causes.find_causes(flow, keys, {}, functions)
