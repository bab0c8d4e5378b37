"""Files of summaries, as TensorBoard reads them."""

import dataclasses
import functools
import importlib.util
import itertools
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_perceptual.typing import PathLike

# As many as TensorFlow makes.
BINS = 30
# Their numbers in the protocol of TensorBoard.
SCALAR, TENSOR, BLOB_SEQUENCE = 1, 2, 3
# What can write them, the first one that is installed.
WRITERS = ("tensorflow", "tensorboard")
_counter = itertools.count()


class EventFile:
    """A new file in a folder, to which summaries are added.

    It is made with the file formats of TensorFlow or TensorBoard, of which one
    is enough. No operation runs, for which TensorFlow would take hold of a GPU
    that another backend works on.

    Args:
        folder: The folder, which is made if it is not there. TensorBoard reads
            the files of a folder one after the other: one writer for each.

    Raises:
        ImportError: If neither TensorFlow nor TensorBoard is installed.
    """

    def __init__(self, folder: PathLike) -> None:
        folder = os.fspath(folder)
        self._formats = _find_formats()
        self._formats.make_folder(folder)
        name = (
            f"events.out.tfevents.{int(time.time()):010}."
            f"{socket.gethostname()}.{os.getpid()}.{next(_counter)}.v2"
        )
        self._writer = self._formats.open(os.path.join(folder, name))
        self._write(file_version="brain.Event:2")

    def add_scalar(self, tag: str, number: float, step: int) -> None:
        """Adds a number."""
        self._add(tag, step, "scalars", SCALAR, float(number), "float32")

    def add_histogram(self, tag: str, numbers: np.ndarray, step: int) -> None:
        """Adds how often numbers of each size are among some."""
        numbers = np.asarray(numbers, "float64").ravel()
        counts, edges = np.histogram(numbers[np.isfinite(numbers)], BINS)
        rows = np.stack([edges[:-1], edges[1:], counts], axis=1)
        self._add(tag, step, "histograms", TENSOR, rows, "float64")

    def add_text(self, tag: str, text: str, step: int) -> None:
        """Adds a text, in Markdown."""
        self._add(tag, step, "text", TENSOR, text.encode())

    def add_image(
        self, tag: str, png: bytes, size: tuple[int, int], step: int
    ) -> None:
        """Adds a picture, given as a PNG file and its width and height."""
        width, height = (str(side).encode() for side in size)
        self._add(tag, step, "images", BLOB_SEQUENCE, [width, height, png])

    def flush(self) -> None:
        """Lets TensorBoard see what was added."""
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()

    def _add(
        self,
        tag: str,
        step: int,
        plugin: str,
        kind: int,
        value: Any,
        dtype: str | None = None,
    ) -> None:
        formats = self._formats
        data = formats.SummaryMetadata.PluginData(plugin_name=plugin)
        value = formats.Summary.Value(
            tag=tag,
            tensor=formats.make_tensor(value, dtype),
            metadata=formats.SummaryMetadata(plugin_data=data, data_class=kind),
        )
        self._write(step=step, summary=formats.Summary(value=[value]))

    def _write(self, **fields: Any) -> None:
        event = self._formats.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())


@dataclasses.dataclass(frozen=True)
class _Formats:
    """What files of events consist of, and how they are written."""

    Event: Any
    Summary: Any
    SummaryMetadata: Any
    make_tensor: Callable[[Any, str | None], Any]
    make_folder: Callable[[str], Any]
    open: Callable[[str], Any]


def _find_formats() -> _Formats:
    """Returns the formats of TensorFlow, else those of TensorBoard."""
    try:
        import tensorflow as tf
    except ImportError:
        return _formats_of_tensorboard()
    v1 = tf.compat.v1
    return _Formats(
        v1.Event,
        v1.Summary,
        v1.SummaryMetadata,
        tf.make_tensor_proto,
        # Folders may be on the machines of others, as in "gs://bucket".
        tf.io.gfile.makedirs,
        tf.io.TFRecordWriter,
    )


def _formats_of_tensorboard() -> _Formats:
    check_installed()
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter
    from tensorboard.util import tensor_util

    return _Formats(
        event_pb2.Event,
        summary_pb2.Summary,
        summary_pb2.SummaryMetadata,
        tensor_util.make_tensor_proto,
        functools.partial(os.makedirs, exist_ok=True),
        lambda path: RecordWriter(open(path, "wb")),
    )


def check_installed() -> None:
    """Refuses to go on where no file could be written in the end."""
    if not any(map(_is_installed, WRITERS)):
        raise ImportError(
            "Files for TensorBoard are written with TensorFlow or TensorBoard, "
            "and neither is installed. Install one, for example by `pip "
            f"install tensorboard`. Received: an environment without {WRITERS}"
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # Somebody put something else in its place.
        return False
