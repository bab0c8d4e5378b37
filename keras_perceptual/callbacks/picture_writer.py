"""Writing pictures and numbers of a training run, without ever ending it."""

import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_perceptual.event_file import EventFile
from keras_perceptual.typing import Logs

# Where the events are written, inside the folder.
FOLDER = "images"


class PictureWriter:
    """Writes pictures as PNG files and as events for TensorBoard.

    What cannot be written, as on a full disk, is warned about once and then
    left out.

    Args:
        owner: String, who writes, for warnings.
        log_dir: String, the folder to write to.
        png: Boolean, whether to write PNG files.
        tensorboard: Boolean, whether to write events.
    """

    def __init__(
        self, owner: str, log_dir: str, *, png: bool, tensorboard: bool
    ) -> None:
        self.owner = owner
        self.log_dir = log_dir
        self.png = png
        self.tensorboard = tensorboard
        self._files: dict[str, EventFile] = {}
        self._warned: set[str] = set()

    def start(self) -> None:
        """Begins a training run, in which each problem is warned about anew."""
        self._warned = set()

    def write_picture(
        self, name: str, tag: str, png: bytes, size: tuple[int, int], step: int
    ) -> None:
        """Writes a picture.

        Args:
            name: String, the name of its file.
            tag: String, its name in TensorBoard.
            png: Bytes, the content of a PNG file.
            size: Pair of integers, width and height.
            step: Integer, the step in TensorBoard.
        """
        if self.png:
            path = pathlib.Path(self.log_dir, name)
            self._attempt(_write_whole, path, png)
        if self.tensorboard:
            self._attempt(self._add_image, tag, png, size, step)

    def write_logs(self, unit: str, logs: Logs, step: int) -> None:
        """Writes the numbers in the logs of Keras for TensorBoard."""
        if self.tensorboard:
            for name, value in (logs or {}).items():
                self._attempt(self._add_scalar, unit, name, value, step)

    def close(self) -> None:
        """Closes the files; what is written afterwards goes into new ones."""
        for file in self._files.values():
            self._attempt(file.close)
        self._files = {}

    def warn(self, problem: str, received: object) -> None:
        """Warns of a problem once in a training run."""
        if problem in self._warned:
            return
        self._warned.add(problem)
        warnings.warn(
            f"{self.owner} {problem} Received: {received}",
            stacklevel=3,
        )

    def _attempt(self, write: Callable[..., Any], *arguments: Any) -> None:
        """Writes something, and warns once if that cannot be."""
        # Whatever it is, a run of hours must not end for a picture.
        try:
            write(*arguments)
        except Exception as error:
            self.warn(
                "could not write a picture, and goes on without. Make sure "
                "that the folder can be written to, and that there is room.",
                f"log_dir={self.log_dir!r}, {error!r}",
            )

    def _add_image(
        self, tag: str, png: bytes, size: tuple[int, int], step: int
    ) -> None:
        file = self._file("train")
        file.add_image(tag, png, size, step)
        file.flush()

    def _add_scalar(self, unit: str, name: str, value: Any, step: int) -> None:
        value = ops.convert_to_numpy(value)
        if value.size != 1:
            return
        file = self._file("validation" if name.startswith("val_") else "train")
        tag = f"{unit}_{name.removeprefix('val_')}"
        file.add_scalar(tag, value.item(), step)
        file.flush()

    def _file(self, run: str) -> EventFile:
        """Returns the file of a run, a new one the first time."""
        if run not in self._files:
            folder = os.path.join(self.log_dir, FOLDER, run)
            self._files[run] = EventFile(folder)
        return self._files[run]


def _write_whole(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
