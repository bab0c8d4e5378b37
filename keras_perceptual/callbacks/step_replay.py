"""Running a step again that broke a training run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from keras_perceptual.gradients import snapshots, tracers
from keras_perceptual.gradients.model_parts import find_optimizers
from keras_perceptual.typing import PathLike, Tensor

if TYPE_CHECKING:
    from keras_perceptual.gradients.recorder.incident import Incident


@dataclasses.dataclass(frozen=True, eq=False)
class ReplayedStep:
    """A training step that was run again.

    Attributes:
        step: The number of the step in its training run, from one.
        epoch: The number of its epoch, from zero.
        batches: What the step was given: a list of one batch, or of several
            with `steps_per_execution`. A batch is made of NumPy arrays, as
            the data of `fit`.
        samples: The places in the batch of the samples that break the step on
            their own, `()` where none does, or all do.
        loss: The loss of the step, as it was in the logs of `fit`.
        same: Whether the step left every variable as in the training run, in
            every bit. Of a loop, whether the loss and the gradients
            are those that the monitor found.
        text: What broke it, in which layer and line, and what to do.
        readings: The last readings before, a list of dictionaries with the
            columns of `GradientMonitor.to_dataframe`.
        terms: The value of each term of the loss, a dictionary.
        kind: `"nonfinite"` of a step that broke, otherwise the rule that spoke
            of it, such as `"exploding"`.

    Example:

    >>> from keras_perceptual.callbacks import ReplayedStep
    >>> print(ReplayedStep(41, 0, [], (3,), 0.5, True, "Made by log", []))
    Step 41 of epoch 0, run again with the same result. Loss 0.5.
    Made by log
    """

    step: int
    epoch: int
    batches: list[Any]
    samples: tuple[int, ...]
    loss: float
    same: bool
    text: str
    readings: list[dict[str, Any]]
    terms: dict[str, float] = dataclasses.field(default_factory=dict)
    kind: str = "nonfinite"

    def __str__(self) -> str:
        """Says what broke the step."""
        result = "the same result" if self.same else "another result"
        return (
            f"Step {self.step} of epoch {self.epoch}, run again with {result}. "
            f"Loss {self.loss:g}.\n{self.text}"
        ).rstrip()


def replay(
    folder: PathLike,
    model: keras.Model,
    *,
    function: Callable[[Any], Tensor] | None = None,
) -> ReplayedStep:
    """Runs a step again that broke a training run, and explains it.

    `GradientMonitor` writes the batch and the state before the step, of a step
    that broke and of the first that showed another sign. A model built by the
    same code takes the step again. Afterwards the model is as it was.

    Args:
        folder: The folder that the monitor named, `nonfinite-step-...` or,
            for example, `exploding-step-...`.
        model: The model, built by the same code and compiled as it was for
            that run. Its weights do not matter.
        function: For a step of a loop that is written by hand, the function of
            a batch that was given to `GradientMonitor.watch`. It calls the
            model, which need not be compiled, and returns the loss. Defaults
            to a step of `fit`.

    Returns:
        A `ReplayedStep`. `print(step)` says what broke.

    Raises:
        ValueError: If there is no step in the folder, or if the model is not
            compiled, has other variables or runs on another backend; for a
            loop without `function`, and for a `fit` with it.

    Example:

    >>> import tempfile
    >>> import warnings
    >>> import keras
    >>> import numpy as np
    >>> from keras_perceptual.callbacks import GradientMonitor, replay
    >>> def build():
    ...     layers = [keras.Input((4,)), keras.layers.Dense(1)]
    ...     model = keras.Sequential(layers)
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> x, y = np.ones((64, 4)), np.ones((64, 1))
    >>> x[37] = np.nan
    >>> folder = tempfile.TemporaryDirectory()
    >>> monitor = GradientMonitor(log_dir=folder.name)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     history = build().fit(
    ...         x, y, batch_size=8, shuffle=False, verbose=0,
    ...         callbacks=[monitor],
    ...     )
    >>> step = replay(monitor.incident_folder, build())
    >>> step.step, step.samples, step.same
    (5, (5,), True)
    >>> folder.cleanup()

    Reference:
        Taking a step again from what it began with is how
        `jax.debug_nans` and `torch.autograd.detect_anomaly` find an operation
        that makes NaN, in the process in which it happened.
    """
    # What explains is imported when it is needed, not with the package.
    from keras_perceptual.gradients.recorder import incident

    found = incident.load(folder)
    _check(found, model, function)
    if function is not None:
        return _run_in_loop(found, model, function)
    former = model.train_function
    variables = snapshots.variables_of_training(model)
    try:
        with (
            snapshots.attributes_put_back(model),
            snapshots.values_put_back(variables),
        ):
            return _run(found, model)
    finally:
        model.train_function = former


def _check(
    found: Incident, model: keras.Model, function: Callable[..., Any] | None
) -> None:
    """Refuses a model, or a function, that cannot take the step."""
    in_loop = found.tensors is not None
    if in_loop != (function is not None):
        kind, mend = "`fit`", "Leave out `function`"
        if in_loop:
            kind = "a loop of your own"
            mend = "Pass the function of the loss as `function`"
        raise ValueError(
            f"The step was taken in {kind}. {mend}. Received: "
            f"function={function!r}"
        )
    if not in_loop and not model.compiled:
        raise ValueError(
            "replay takes a training step, which needs a loss and an "
            "optimizer. Call `model.compile` with the arguments of that "
            f"training first. Received: model={model.name!r}, compiled=False"
        )
    backend = keras.backend.backend()
    if found.backend != backend:
        raise ValueError(
            f"The step was taken on the backend {found.backend!r}, and can "
            f"only be run again there. Set KERAS_BACKEND={found.backend}. "
            f"Received: backend={backend!r}"
        )


def _run(found: Incident, model: keras.Model) -> ReplayedStep:
    """Takes the step, in a model that is put back afterwards."""
    from keras_perceptual.gradients.recorder import blame, incident, wording

    reader = _read_anew(model)
    built = all(optimizer.built for optimizer in find_optimizers(model))
    if not built or not _fits(found, reader.steps):
        # Optimizers and metrics make variables in the first step.
        model.train_on_batch(
            *keras.utils.unpack_x_y_sample_weight(found.batches[0])
        )
        reader = _read_anew(model)
    steps = reader.steps
    _compare(model, found, _shapes(steps))
    state = steps.from_arrays(found.state)
    batches = steps.expect(found.batches, found.specs)
    arguments = steps.put(state, ())
    outputs, arguments, terms = reader.take_again(arguments, batches)
    loss = _loss_of(steps.logs(outputs))
    digest = incident.digest_of(steps.arrays(steps.copy(arguments)), loss)
    samples, text = found.samples, found.text
    if found.kind == "nonfinite":
        moments = [steps.moment(state, batch) for batch in batches]
        _, blamed = blame.find_blame(model, reader.seam.tracer, moments)
        samples, text = blamed.samples, wording.explain(blamed, terms)
    return ReplayedStep(
        step=found.step,
        epoch=found.epoch,
        batches=found.batches,
        samples=samples,
        loss=loss,
        same=digest == found.digest,
        text=text,
        terms=terms,
        kind=found.kind,
        readings=found.readings,
    )


def _run_in_loop(
    found: Incident, model: keras.Model, function: Callable[[Any], Any]
) -> ReplayedStep:
    """Computes the loss of a loop and its gradients, and explains them."""
    from keras_perceptual.gradients.recorder import loop_steps, wording

    shapes = [tuple(variable.shape) for variable in model.variables]
    _compare(model, found, shapes)
    (batch,) = found.batches
    given = loop_steps.with_tensors(batch, found.tensors or [])
    values = {
        id(variable): value
        for variable, value in zip(model.variables, found.state, strict=True)
    }
    with loop_steps.standing_at(model, values):
        loss, digest = loop_steps.take(model, function, given)
    with loop_steps.standing_at(model, values):
        blamed = loop_steps.find_blame(model, function, given)
    return ReplayedStep(
        step=found.step,
        epoch=found.epoch,
        batches=found.batches,
        samples=blamed.samples,
        loss=loss,
        same=digest == found.digest,
        text=wording.explain(blamed, found.terms),
        terms=found.terms,
        readings=found.readings,
    )


def _compare(
    model: keras.Model, found: Incident, shapes: list[tuple[int, ...]]
) -> None:
    """Refuses a model with variables of other shapes than were kept."""
    expected = [array.shape for array in found.state]
    if shapes != expected:
        raise ValueError(
            "The model has other variables than the one that was trained. "
            "Build and compile it with the same code. Received: "
            f"model={model.name!r} with {shapes}, expected {expected}"
        )


def _read_anew(model: keras.Model) -> Any:
    """Returns a `Reader` of a train function that nobody has traced."""
    from keras_perceptual.gradients.recorder.reader import Reader

    model.train_function = None
    return Reader(model, fresh=True)


def _shapes(steps: tracers.Steps) -> list[tuple[int, ...]]:
    return [array.shape for array in steps.arrays(steps.copy(()))]


def _fits(found: Incident, steps: tracers.Steps) -> bool:
    """Whether a model has variables of the shapes that were kept."""
    return _shapes(steps) == [array.shape for array in found.state]


def _loss_of(logs: Any) -> float:
    try:
        return float(logs["loss"])
    except (KeyError, TypeError, ValueError):
        return float("nan")
