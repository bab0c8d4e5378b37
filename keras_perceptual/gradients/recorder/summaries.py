"""Readings for TensorBoard."""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from keras_perceptual.event_file import EventFile
from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.recorder.readings import Reading
from keras_perceptual.typing import PathLike

# Where the events are written, inside the folder: TensorBoard wants a folder
# for each of its writers.
FOLDER = "gradients"
NAMES = {"norm": "gradient_norm", "update": "update_ratio", "zeros": "zeros"}
MORE_NAMES = {"dead": "dead_units", "terms": "loss_term"}


class SummaryWriter:
    """Writes readings as TensorBoard reads them, and never ends a training.

    Args:
        owner: Who writes, for warnings.
        folder: The folder to write to.
    """

    def __init__(self, owner: str, folder: PathLike) -> None:
        self._owner = owner
        self._folder = os.path.join(os.fspath(folder), FOLDER)
        self._file: Any = None
        self._failed = False

    def write(self, readings: Iterable[Reading]) -> None:
        """Writes some readings: three scalars a variable, one for others."""

        def add() -> None:
            for reading in readings:
                self._add(reading)

        self._attempt(add)

    def write_weights(self, variables: Iterable[Any], step: int) -> None:
        """Writes a histogram of each of some variables."""

        def add() -> None:
            read = tracers.load("variable_values").read_value
            file = self._open()
            for variable in variables:
                tag = f"weights/{variable.path}"
                file.add_histogram(tag, read(variable), step)

        self._attempt(add)

    def _attempt(self, write: Callable[[], Any]) -> None:
        """Has something written; where it fails, that was the last time."""
        if self._failed:
            return
        try:
            write()
            if self._file is not None:
                self._file.flush()
        except Exception as error:
            self._failed = True
            warnings.warn(
                f"{self._owner} could not write for TensorBoard, and goes on "
                "without. Make sure that the folder can be written to, and "
                f"that there is room. Received: log_dir={self._folder!r}, "
                f"{error!r}",
                stacklevel=3,
            )

    def close(self) -> None:
        """Ends the file."""
        if self._file is not None and not self._failed:
            self._file.close()
        self._file = None

    def _open(self) -> Any:
        if self._file is None:
            self._file = EventFile(self._folder)
        return self._file

    def _add(self, reading: Reading) -> None:
        self._open()
        for column, name in NAMES.items():
            numbers = getattr(reading, column)
            pairs = dict(zip(reading.paths, numbers, strict=True))
            self._add_scalars(name, pairs, reading.step)
        for column, name in MORE_NAMES.items():
            self._add_scalars(name, getattr(reading, column), reading.step)

    def _add_scalars(
        self, name: str, numbers: Mapping[str, float], step: int
    ) -> None:
        for path, number in numbers.items():
            if math.isfinite(number):
                self._file.add_scalar(f"{name}/{path}", number, step)
