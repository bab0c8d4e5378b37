"""Files of summaries, as TensorBoard reads them."""

import itertools
import os
import socket
import time
from typing import Any

from keras_perceptual.typing import PathLike

# Their numbers in the protocol of TensorBoard.
SCALAR, TENSOR, BLOB_SEQUENCE = 1, 2, 3
_counter = itertools.count()


class EventFile:
    """A new file in a folder, to which summaries are added.

    It is made with the file formats of TensorFlow alone: no TensorBoard has to
    be installed, as it has for `tf.summary.scalar`, and no operation runs, for
    which TensorFlow would take hold of a GPU that another backend works on.

    Args:
        folder: The folder, which is made if it is not there. TensorBoard reads
            the files of a folder one after the other: one writer for each.
    """

    def __init__(self, folder: PathLike) -> None:
        import tensorflow as tf

        folder = os.fspath(folder)
        tf.io.gfile.makedirs(folder)
        name = (
            f"events.out.tfevents.{int(time.time()):010}."
            f"{socket.gethostname()}.{os.getpid()}.{next(_counter)}.v2"
        )
        self._tf = tf
        self._writer = tf.io.TFRecordWriter(os.path.join(folder, name))
        self._write(file_version="brain.Event:2")

    def add_scalar(self, tag: str, number: float, step: int) -> None:
        """Adds a number."""
        self._add(tag, step, "scalars", SCALAR, float(number), "float32")

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
        v1 = self._tf.compat.v1
        data = v1.SummaryMetadata.PluginData(plugin_name=plugin)
        summary = v1.Summary.Value(
            tag=tag,
            tensor=self._tf.make_tensor_proto(value, dtype),
            metadata=v1.SummaryMetadata(plugin_data=data, data_class=kind),
        )
        self._write(step=step, summary=v1.Summary(value=[summary]))

    def _write(self, **fields: Any) -> None:
        event = self._tf.compat.v1.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
