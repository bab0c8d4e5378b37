"""Recording a loop that somebody wrote by hand."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_perceptual.gradients import (
    message,
    nonfinite,
    snapshots,
    tracers,
)
from keras_perceptual.gradients.model_parts import operations_by_name
from keras_perceptual.gradients.recorder import blame, wording
from keras_perceptual.gradients.recorder.blame import Blame
from keras_perceptual.gradients.recorder.readings import (
    Reading,
    Readings,
    make_reading,
)
from keras_perceptual.gradients.recorder.signs import Signs
from keras_perceptual.gradients.statistics import (
    GradientStatistics,
    statistics_rows,
    update_rows,
)
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
    """

    loss: Any
    gradients: Sequence[Any]
    weights: Sequence[Any]
    batch: Any = None
    function: Callable[[Any], Any] | None = None
    terms: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
        first_step: How many steps the model was recorded for before.

    Attributes:
        step: How many steps there were.
        skipped: The numbers of the steps that are to be left out.
        model: The model.
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
        first_step: int = 0,
    ) -> None:
        self.step: int = first_step
        self.skipped: list[int] = []
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
        found, trouble = None, ""
        try:
            found = self._blame(given)
        except Exception as error:
            trouble = f"it could not be explained: {error!r}"
        warnings.warn(
            wording.announce_in_loop(
                self._owner,
                reading,
                names,
                wording.explain(found, reading.terms),
                trouble,
                policy=self._policy,
                has_function=given.function is not None,
            ),
            stacklevel=calls_to_user(),
        )

    def _blame(self, given: Given) -> Blame | None:
        """Finds out what broke a step, of which the function is known."""
        function, batch = given.function, given.batch
        if function is None:
            return None
        variables, model = self._variables, self.model
        values = {
            id(variable): np.array(_to_numpy(value))
            for variable, value in zip(variables, given.weights, strict=True)
        }
        tracer, replay = tracers.load("tracer"), tracers.load("replay")

        def breaks(first: int, last: int) -> bool:
            part = keras.tree.map_structure(
                lambda leaf: None if leaf is None else leaf[first:last], batch
            )
            gradients = tracer.compute_gradients(
                lambda: function(part), variables
            )
            present = [_plain(g) for g in gradients if g is not None]
            loss = _to_numpy(function(part))
            return not (
                np.all(np.isfinite(loss))
                and np.all(np.isfinite(_to_numpy(tracer.norms(present))))
            )

        with (
            replay.random_numbers_kept(),
            snapshots.attributes_put_back(model),
            snapshots.values_put_back(model.variables, values),
        ):
            taken = replay.replay_function(lambda: function(batch), variables)
            cause = nonfinite.find_cause(
                taken,
                [id(variable) for variable in variables],
                operations_by_name(model),
                tracer.public_functions(),
            )
            size, samples = blame.batch_size(batch), []
            if size > 1:
                samples = blame.bisect(breaks, size, blame.MOST_REPLAYS)
        return Blame(cause, () if len(samples) == size else tuple(samples))


def _plain(value: Any) -> Any:
    """Returns a tensor that nothing is differentiated by."""
    return ops.stop_gradient(ops.convert_to_tensor(value))


def _copy(value: Any) -> Any:
    """Returns a copy, since a step may write where the weights are."""
    return ops.copy(_plain(value))


def _to_numpy(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(_plain(value)))
