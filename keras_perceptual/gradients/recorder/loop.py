"""Recording a loop that somebody wrote by hand."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_perceptual.gradients import message, tracers
from keras_perceptual.gradients.recorder import loop_steps, wording
from keras_perceptual.gradients.recorder.incident import Incident
from keras_perceptual.gradients.recorder.readings import (
    Reading,
    Readings,
    make_reading,
    to_records,
)
from keras_perceptual.gradients.recorder.signs import Signs
from keras_perceptual.gradients.signals import dead_signal, measure
from keras_perceptual.gradients.statistics import (
    GradientStatistics,
    statistics_rows,
    update_rows,
)
from keras_perceptual.typing import PathLike
from keras_perceptual.validation import calls_to_user


@dataclasses.dataclass(frozen=True)
class Given:
    """What a loop tells of a step.

    Attributes:
        loss: The loss, a scalar.
        gradients: The gradient of each trainable variable, or `None`.
        weights: What the trainable variables hold.
        batch: What `function` is called with, or `None`.
        function: Function of the batch that returns the loss, or `None`.
        terms: Terms of the loss by name.
        activations: What layers that end in a ReLU return, by name.
    """

    loss: Any
    gradients: Sequence[Any]
    weights: Sequence[Any]
    batch: Any = None
    function: Callable[[Any], Any] | None = None
    terms: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    activations: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Loop:
    """Reads the steps of a loop, and says what breaks them.

    Nothing that goes wrong in it ends the loop: it then says so, and reads no
    more.

    Args:
        owner: The name of the object that records, for messages.
        model: The model.
        every: Every how many steps one is read.
        policy: `on_nonfinite`.
        chosen: The names of the rules to go by.
        readings: The `Readings` to add to.
        log_dir: The folder around that of a step that breaks, or `None`.
        most_bytes: How large it may be.
        first_step: How many steps the model was recorded for before.

    Attributes:
        step: How many steps there were.
        skipped: The numbers of the steps that are to be left out.
        model: The model.
        folder: Where the first step that broke was written, or `None`.
    """

    def __init__(
        self,
        owner: str,
        model: keras.Model,
        *,
        every: int,
        policy: str,
        chosen: Sequence[str],
        readings: Readings,
        log_dir: PathLike | None,
        most_bytes: int,
        first_step: int = 0,
    ) -> None:
        self.step: int = first_step
        self.skipped: list[int] = []
        self.folder: Any = None
        self._log_dir, self._most_bytes = log_dir, most_bytes
        self._owner, self._policy, self._every = owner, policy, every
        self._variables = list(model.trainable_variables)
        self.model: keras.Model = model
        self._readings = readings
        self._signs = Signs(chosen, readings)
        self._count = 0
        self._is_active, self._is_told = True, False
        # A reading without its update, and what the weights were then.
        self._open: tuple[Reading, list[Any]] | None = None

    def watch(self, given: Given) -> bool:
        """Reads a step if it is due.

        Returns:
            Whether the step is well, as far as it was looked at.

        Raises:
            ValueError: If there are not as many gradients as variables.
        """
        counts = [len(given.gradients), len(given.weights)]
        if counts != [len(self._variables)] * 2:
            raise ValueError(
                f"{self._owner}.watch needs a gradient for each of "
                "`model.trainable_variables`, `None` for one that is missing, "
                "and as many `weights`, if any. Received: "
                f"len(gradients)={counts[0]}, len(weights)={counts[1]}, "
                f"len(model.trainable_variables)={len(self._variables)}"
            )
        self.step += 1
        self._count += 1
        is_due = self._count == 1 or self._count % self._every == 0
        if not self._is_active:
            return True
        try:
            self._finish(given.weights)
            if not is_due and self._policy != "skip":
                return True
            reading = self._read(given)
            is_well = reading.is_finite and bool(np.isfinite(reading.loss))
            if is_well and is_due:
                dead = _dead_shares(given.activations)
                reading = dataclasses.replace(reading, dead=dead)
                copies = [_copy(value) for value in given.weights]
                self._open = reading, copies
        except Exception as error:
            self._is_active = False
            warnings.warn(
                message.describe_trouble(self._owner, error),
                stacklevel=calls_to_user(),
            )
            return True
        if is_well:
            return True
        if self._policy == "skip":
            self.skipped.append(self.step)
        self._tell(given, reading)
        return self._policy == "warn"

    def _read(self, given: Given) -> Reading:
        """Returns a reading of a step, without its update."""
        norms = tracers.load("tracer").norms
        present = [
            (id(variable), _plain(gradient))
            for variable, gradient in zip(
                self._variables, given.gradients, strict=True
            )
            if gradient is not None
        ]
        rows: dict[int, GradientStatistics] = {}
        if present:
            found = _to_numpy(
                statistics_rows(
                    [gradient for _, gradient in present],
                    norms,
                    counts_zeros=True,
                )
            )
            for (key, _), row in zip(present, found, strict=True):
                rows[key] = GradientStatistics.from_row(row)
        weights = [_plain(value) for value in given.weights]
        reading = make_reading(
            self.step,
            0,
            float(_to_numpy(given.loss)),
            self._variables,
            rows,
            _to_numpy(update_rows(weights, weights, norms)),
            counts_zeros=True,
            terms={k: float(_to_numpy(x)) for k, x in given.terms.items()},
        )
        return dataclasses.replace(
            reading, update=np.full_like(reading.update, np.nan)
        )

    def _finish(self, weights: Sequence[Any]) -> None:
        """Adds the reading that waits for what the step did to weights."""
        if self._open is None:
            return
        (reading, before), self._open = self._open, None
        after = [_plain(value) for value in weights]
        norms = tracers.load("tracer").norms
        found = _to_numpy(update_rows(before, after, norms))
        with np.errstate(all="ignore"):
            update = np.where(found[:, 0] > 0, found[:, 1] / found[:, 0], 0.0)
        update = np.where(np.isfinite(update), update, np.nan)
        self._readings.add(
            dataclasses.replace(reading, weights=found[:, 0], update=update)
        )
        new = self._signs.look()
        if new:
            when = f"step {reading.step}"
            text = wording.describe_signs(self._owner, when, new)
            warnings.warn(text, stacklevel=calls_to_user())

    def _tell(self, given: Given, reading: Reading) -> None:
        """Says, the first time, which step broke and why."""
        if self._is_told:
            return
        self._is_told = True
        names = [
            path
            for path, is_well in zip(reading.paths, reading.finite, strict=True)
            if not is_well
        ]
        text, trouble = "", ""
        if given.function is not None:
            try:
                text, trouble = self._look_into(given, given.function, reading)
            except Exception as error:
                trouble = f"it could not be explained: {error!r}"
        warnings.warn(
            wording.announce_in_loop(
                self._owner,
                reading,
                names,
                text,
                trouble,
                policy=self._policy,
                has_function=given.function is not None,
                folder=self.folder,
            ),
            stacklevel=calls_to_user(),
        )

    def _look_into(
        self,
        given: Given,
        function: loop_steps.LossOfBatch,
        reading: Reading,
    ) -> tuple[str, str]:
        """Finds out what broke a step, and writes it into a folder.

        Returns:
            What broke it, and why it could not be written, or `""`.
        """
        model, batch = self.model, given.batch
        values = {
            id(variable): np.array(_to_numpy(value))
            for variable, value in zip(
                self._variables, given.weights, strict=True
            )
        }
        with loop_steps.standing_at(model, values):
            found = loop_steps.find_blame(model, function, batch)
        text = wording.explain(found, reading.terms)
        if self._log_dir is None:
            return text, ""
        try:
            with loop_steps.standing_at(model, values):
                state = loop_steps.state_of(model)
                _, digest = loop_steps.take(model, function, batch)
            self.folder = Incident(
                step=self.step,
                epoch=0,
                text=text,
                samples=found.samples,
                batches=[batch],
                state=state,
                readings=to_records(self._readings),
                digest=digest,
                backend=keras.backend.backend(),
                terms=dict(reading.terms),
                tensors=loop_steps.which_are_tensors(batch),
            ).write(self._log_dir, self._most_bytes)
        except Exception as error:
            return text, f"it could not be written: {error}"
        return text, ""


def _dead_shares(activations: Mapping[str, Any]) -> dict[str, float]:
    """Returns the share of dead units in what ReLUs return, by name."""
    if not activations:
        return {}
    heard = [
        dead_signal(name, _plain(value)) for name, value in activations.items()
    ]
    shares = _to_numpy(measure(heard))
    return dict(zip(activations, map(float, shares), strict=True))


def _plain(value: Any) -> Any:
    """Returns a tensor that nothing is differentiated by."""
    return ops.stop_gradient(ops.convert_to_tensor(value))


def _copy(value: Any) -> Any:
    """Returns a copy, since a step may write where the weights are."""
    return ops.copy(_plain(value))


def _to_numpy(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(_plain(value)))
