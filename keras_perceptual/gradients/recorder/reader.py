"""Taking a step and reading it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.observer import GradientObserver
from keras_perceptual.gradients.recorder.readings import Reading, make_reading
from keras_perceptual.gradients.seam import Seam
from keras_perceptual.gradients.signals import DEAD, TERM, Signals
from keras_perceptual.gradients.statistics import GradientStatistics

# The term of the loss that regularizers of weights add.
PENALTIES = "penalties"


class Reader:
    """Reads steps of a model, each while it is taken.

    Args:
        model: The model being trained.

    Attributes:
        steps: The `Steps` of the backend.
        seam: The `Seam`, which knows the tracer.
        observer: The `GradientObserver` of the optimizers.
        function: The train function, which can be read.
    """

    def __init__(self, model: keras.Model, *, fresh: bool) -> None:
        self._model = model
        self.seam: Seam = Seam(
            model, lambda take_step: take_step(), fresh=fresh
        )
        if self.seam.removed or self.seam.added:
            raise ValueError(
                "The set of trainable variables has changed since the model "
                "was compiled. Call `model.compile` again whenever `trainable` "
                "was changed. Received: "
                f"frozen={[v.path for v in self.seam.removed]}, "
                f"unfrozen={[v.path for v in self.seam.added]}"
            )
        tracer = self.seam.tracer
        self.observer: GradientObserver = GradientObserver(
            model, tracer, quiet=False
        )
        # What measures is compiled once, for all times a model is trained.
        kept = vars(tracer)
        if "steps" not in kept:
            kept["steps"] = tracers.load("steps").Steps(model, tracer)
        self.steps: tracers.Steps = kept["steps"]
        # Who traced it before may have left the zeros out.
        if not tracer.python_steps:
            tracer.counts_zeros = tracer.leaves_step_alone = True
            tracer.signals = Signals(model)
        self.function: Callable[..., Any] = self.seam.adopt()

    def prepare(self, arguments: tuple[Any, ...]) -> tuple[list[Any], Any]:
        """Makes ready to read the next step.

        Args:
            arguments: What the train function is to be called with.

        Returns:
            The weights before it, and arguments that still have the batch.
        """
        self.seam.tracer.start_anew()
        before = self.steps.weights(arguments)
        return before, self.seam.tracer.measure_ahead(arguments)

    def taking(self, *arguments: Any) -> Any:
        """Takes a step that is read, and returns its outputs."""
        with self.observer.watch(), self.seam.tracer.listening():
            outputs = self.function(*arguments)
        self.seam.tracer.measure_behind()
        return outputs

    def take_again(
        self, arguments: tuple[Any, ...], batches: Sequence[Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, float]]:
        """Takes a step that was taken before, and reads its loss.

        Args:
            arguments: Those that the step begins with.
            batches: Its batches.

        Returns:
            What the train function returns, the arguments of the next step,
            and the terms of the loss, as far as they could be heard.
        """
        before: list[Any] = []

        def take(*given: Any) -> Any:
            before[:], given = self.prepare(given)
            return self.taking(*given)

        outputs, arguments = self.steps.take(take, arguments, batches)
        self.seam.tracer.read()
        terms = self._heard(TERM)
        return outputs, arguments, terms | self._penalties(before)

    def terms_of(
        self, state: Any, batches: Sequence[Any], arguments: tuple[Any, ...]
    ) -> dict[str, float]:
        """Returns the terms of the loss of a step that was taken before.

        Args:
            state: What it began with.
            batches: Its batches.
            arguments: Those of the step that is to come, which begins with
                what it would have begun with.
        """
        end = self.steps.copy(arguments)
        try:
            begin = self.steps.put(state, arguments)
            return self.take_again(begin, batches)[2]
        finally:
            self.steps.put(end, arguments)

    def read(
        self,
        before: list[Any],
        outputs: Any,
        arguments: tuple[Any, ...],
        step: int,
        epoch: int,
    ) -> Reading:
        """Returns the `Reading` of a step that was taken.

        Args:
            before: What `prepare` returned.
            outputs: What the train function returned.
            arguments: Those of the next step.
            step: How many steps the training has taken.
            epoch: The number of the epoch.
        """
        tracer, steps = self.seam.tracer, self.steps
        trouble = self.observer.trouble or tracer.trouble
        if trouble is not None:
            raise trouble
        rows = {
            key: GradientStatistics.from_row(row)
            for key, row in tracer.read().items()
        }
        # What the step itself has built was nothing before.
        is_new = len(before) != len(self._model.trainable_variables)
        updates = steps.measure(None if is_new else before, arguments)
        reading = make_reading(
            step,
            epoch,
            self.loss_of(outputs),
            list(self._model.trainable_variables),
            rows,
            updates,
            counts_zeros=tracer.counts_zeros,
            dead=self._heard(DEAD),
            terms=self._heard(TERM) | self._penalties(before),
        )
        if is_new:
            unknown = np.full_like(reading.update, np.nan)
            reading = dataclasses.replace(reading, update=unknown)
        return reading

    def _heard(self, kind: str) -> dict[str, float]:
        signals = self.seam.tracer.signals
        return {} if signals is None else signals.of_kind(kind)

    def _penalties(self, before: list[Any]) -> dict[str, float]:
        """Returns what regularizers add to the loss, if there are any."""
        variables = self._model.trainable_variables
        found = [
            float(variable.regularizer(value))
            for variable, value in zip(variables, before, strict=False)
            if getattr(variable, "regularizer", None) is not None
        ]
        return {PENALTIES: sum(found)} if found else {}

    def loss_of(self, outputs: Any) -> float:
        """Returns the loss in the logs of a step, NaN where there is none."""
        try:
            logs = self.steps.logs(outputs)
            return float(logs["loss"])
        except (KeyError, TypeError, ValueError):
            return float("nan")

    def shows_break(self, reading: Reading, outputs: Any) -> bool:
        """Whether a step that was read has left NaN or infinity."""
        logs = self.steps.logs(outputs) or {}
        return not np.all(np.isfinite(reading.weights)) or (
            "loss" in logs and not np.isfinite(reading.loss)
        )

    def is_broken(self, outputs: Any, arguments: tuple[Any, ...]) -> bool:
        """Whether a step has left NaN or infinity.

        Args:
            outputs: What the train function returned, `None` if not known.
            arguments: Those of the next step.
        """
        if not np.all(np.isfinite(self.steps.measure(None, arguments))):
            return True
        logs = self.steps.logs(outputs) if outputs else {}
        return "loss" in (logs or {}) and not np.isfinite(self.loss_of(outputs))
