"""The gradient check for one batch, outside `fit`."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import keras

from keras_perceptual.gradients import judging, snapshots
from keras_perceptual.gradients.model_parts import find_loss_variables
from keras_perceptual.gradients.report import GradientReport


@overload
def check_gradients(
    model: Callable[[], Any], x: Iterable[keras.Variable]
) -> GradientReport: ...


@overload
def check_gradients(
    model: keras.Model, x: Any, y: Any = None, sample_weight: Any = None
) -> GradientReport: ...


def check_gradients(
    model: Any, x: Any, y: Any = None, sample_weight: Any = None
) -> GradientReport:
    """Reports the gradient of every trainable variable for one batch.

    `check_gradients(model, x, y)` looks at a compiled model, and
    `check_gradients(function, variables)` at the loss that a function without
    arguments returns, for a training loop written by hand.

    The training step of the compiled model runs once, without the update. The
    weights, the state of the optimizer and the metrics stay as they are; a
    model or optimizer that was not built yet is built. Nothing is raised or
    warned about: the report says what was found.

    Args:
        model: A compiled model, or a function that returns a scalar.
        x: The inputs of one batch, as for `model.train_on_batch`; for a
            function, the `keras.Variable`s that its loss is to train.
        y: The targets, if the loss needs any.
        sample_weight: One weight for each sample, if any.

    Returns:
        A `GradientReport`. After a single batch a status of `"zero"` need not
        mean anything: below a kernel that starts at zero it is the rule.

    Raises:
        ValueError: If the model is not compiled, or is neither a model nor a
            function with variables.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_perceptual.gradients import check_gradients
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(2, name="hidden"),
    ...         keras.layers.Dense(1, kernel_initializer="zeros", name="out"),
    ...     ],
    ...     name="net",
    ... )
    >>> model.compile(loss="mse")
    >>> report = check_gradients(model, np.ones((8, 4)), np.ones((8, 1)))
    >>> [record.path for record in report.zero]
    ['net/hidden/kernel', 'net/hidden/bias']

    Without `compile` and `fit`:

    >>> from keras import ops
    >>> scale, shift = keras.Variable(2.0), keras.Variable(1.0)
    >>> def loss():
    ...     return ops.square(scale * 3.0) + ops.round(shift)
    >>> report = check_gradients(loss, [scale, shift])
    >>> [record.status for record in report]
    ['ok', 'missing']
    >>> report.missing[0].culprit.function
    'keras.ops.round'
    """
    # What explains is imported when it is needed, not with the package.
    from keras_perceptual.gradients.fit_check import FitCheck
    from keras_perceptual.gradients.function_check import check_function

    if not isinstance(model, keras.Model):
        if not callable(model) or y is not None or sample_weight is not None:
            raise ValueError(
                "check_gradients needs a compiled `keras.Model` and a batch, "
                "or a function without arguments and a list of variables. "
                f"Received: model={model!r}, y={y!r}"
            )
        return check_function(model, x)
    if not model.compiled:
        raise ValueError(
            "check_gradients runs the training step of a model, which needs "
            "a loss and an optimizer. Call `model.compile` first. "
            f"Received: model={model.name!r}, compiled=False"
        )
    policy = judging.Policy(
        steps=1, on_missing="ignore", on_zero="ignore", on_nonfinite="ignore"
    )
    with _as_it_was(model):
        check = FitCheck("check_gradients", model, policy, update=False)
        if check.active:
            check.arm()
            try:
                model.train_on_batch(x, y, sample_weight=sample_weight)
            except Exception:
                # PyTorch refuses a loss that is connected to nothing.
                if check.report is None:
                    raise
            check.collect(last=True)
    return check.report or GradientReport()


@contextlib.contextmanager
def _as_it_was(model: keras.Model) -> Iterator[None]:
    """Puts weights, metrics and the train function back afterwards."""
    train_function = model.train_function
    variables = [
        *model.variables,
        *model.metrics_variables,
        *find_loss_variables(model),
    ]
    try:
        with (
            snapshots.attributes_put_back(model),
            snapshots.values_put_back(variables),
        ):
            yield
            # Metrics that did not exist before have nothing to go back to.
            model.reset_metrics()
    finally:
        model.train_function = train_function
