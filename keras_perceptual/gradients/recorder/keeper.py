"""Keeping the step at which a training showed a sign."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_perceptual.gradients import snapshots, tracers
from keras_perceptual.gradients.recorder import incident, wording
from keras_perceptual.gradients.recorder.incident import Incident
from keras_perceptual.gradients.recorder.reader import Reader
from keras_perceptual.gradients.recorder.readings import Readings, to_records
from keras_perceptual.gradients.recorder.window import Retaken, Window
from keras_perceptual.typing import PathLike

# The rules whose sign belongs to one step.
KINDS = ("exploding", "leaping", "silent", "stalled")


class Keeper:
    """Writes down what a step began with, once for each kind of sign.

    Args:
        model: The model.
        reader: The `Reader` of its steps.
        window: The `Window` that keeps them.
        readings: The `Readings`, the last one of that step.
        log_dir: The folder around those that are written, or `None`.
        most_bytes: How large each may be.

    Attributes:
        folders: Where a step was written, by kind.
        notes: Why one was not, by kind.
    """

    def __init__(
        self,
        model: keras.Model,
        reader: Reader,
        window: Window,
        readings: Readings,
        log_dir: PathLike | None,
        most_bytes: int,
    ) -> None:
        self.folders: dict[str, pathlib.Path] = {}
        self.notes: dict[str, str] = {}
        self._model = model
        self._reader = reader
        self._window = window
        self._readings = readings
        self._log_dir = log_dir
        self._most_bytes = most_bytes

    def keep(
        self,
        found: Mapping[str, Sequence[str]],
        outputs: Any,
        arguments: tuple[Any, ...],
    ) -> tuple[Any, ...]:
        """Keeps the step that was taken last, if it shows something new.

        The steps of the window are taken again to find what it began with,
        and everything is then put back as it is now.

        Args:
            found: The new signs, as `Signs.look` returns them.
            outputs: What the train function returned.
            arguments: Those of the next step.

        Returns:
            The arguments of the next step.
        """
        kinds = [
            kind
            for kind in KINDS
            if kind in found
            and kind not in self.folders
            and kind not in self.notes
        ]
        if self._log_dir is None or not kinds:
            return arguments
        if not self._window.is_whole:
            note = self._window.note or "the model was built in the steps since"
            self.notes.update(dict.fromkeys(kinds, note))
            return arguments
        steps = self._reader.steps
        end = steps.copy(arguments)
        expected = self._digest(end, outputs)
        try:
            with (
                tracers.load("replay").random_numbers_kept(),
                snapshots.attributes_put_back(self._model),
            ):
                taken, digest = self._take_again(arguments)
        finally:
            arguments = steps.put(end, arguments)
            self._window.close()
        for kind in kinds:
            if digest == expected and taken is not None:
                self._write(kind, found[kind], taken, digest, self._log_dir)
            else:
                self.notes[kind] = "taken again, the step came out otherwise"
        return arguments

    def _digest(self, state: Any, outputs: Any) -> str:
        arrays = self._reader.steps.arrays(state)
        return incident.digest_of(arrays, self._reader.loss_of(outputs))

    def _take_again(
        self, arguments: tuple[Any, ...]
    ) -> tuple[Retaken | None, str]:
        """Returns the last step of the window, and a hash of what it left."""
        again = self._window.retake(self._reader.function, arguments)
        last = collections.deque(again, maxlen=1)
        if not last:
            return None, ""
        state = self._reader.steps.copy(last[0].arguments)
        return last[0], self._digest(state, last[0].outputs)

    def _write(
        self,
        kind: str,
        names: Sequence[str],
        taken: Retaken,
        digest: str,
        log_dir: PathLike,
    ) -> None:
        """Writes a step into a folder, or notes why it cannot."""
        steps, reading = self._reader.steps, self._readings[-1]
        try:
            step = Incident(
                step=reading.step,
                epoch=reading.epoch,
                text=wording.describe_sign(kind, names, reading),
                samples=(),
                batches=taken.batches,
                state=steps.arrays(taken.before),
                readings=to_records(self._readings),
                digest=digest,
                backend=keras.backend.backend(),
                specs=steps.specs(),
                terms=dict(reading.terms),
                kind=kind,
            )
            self.folders[kind] = step.write(log_dir, self._most_bytes)
        except Exception as error:
            self.notes[kind] = str(error)
