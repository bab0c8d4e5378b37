"""The batches of the last steps, kept in the step itself, for TensorFlow."""

from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.tracers.tensorflow.iterators import as_in_a_step

# A queue has to have an end; who keeps batches counts them.
_CAPACITY = 2**30


class Batches:
    """Keeps the batches that a train function takes, while it is asked to.

    A graph takes its batches itself. It puts them into a queue, which holds on
    to their memory and copies nothing; XLA never sees it.
    """

    def __init__(self) -> None:
        self._on = tf.Variable(False, trainable=False, name="keeps_batches")
        self._kept: list[Any] = []
        self._queue: Any = None
        self._shape: Any = None
        self._clearing: Any = None

    def note(self, data: Any) -> None:
        """Keeps a batch, in a graph or outside."""
        data = as_in_a_step(data)
        if tf.executing_eagerly():
            if bool(self._on):
                self._kept.append(data)
            return
        tensors = tf.nest.flatten(data, expand_composites=True)
        present = [tensor is not None for tensor in tensors]
        tensors = [tensor for tensor in tensors if tensor is not None]
        dtypes = [tensor.dtype for tensor in tensors]
        if self._queue is None or self._queue.dtypes != dtypes:
            with tf.init_scope(), tf.device("CPU:0"):
                self._queue = tf.queue.FIFOQueue(_CAPACITY, dtypes)
            self._clearing = None
        structure = tf.nest.map_structure(
            lambda part: (
                part if part is None else tf.type_spec_from_value(part)
            ),
            data,
        )
        self._shape = structure, present

        def keep() -> Any:
            with tf.device("CPU:0"):
                self._queue.enqueue(tensors)
            return True

        tf.cond(self._on, keep, lambda: False)

    def start(self) -> None:
        """Forgets what was kept, and keeps what comes."""
        self.stop()
        self._on.assign(True)

    def stop(self) -> None:
        """Keeps nothing any more, and forgets what was kept."""
        self._on.assign(False)
        self._kept.clear()
        if self._queue is None:
            return
        if self._clearing is None:
            self._clearing = _clearing(self._queue)
        self._clearing()

    def taken(self) -> list[Any]:
        """Returns what was kept since the last time, the first batch first."""
        found, self._kept = self._kept, []
        if self._queue is None:
            return found
        structure, present = self._shape
        for _ in range(int(self._queue.size())):
            parts = self._queue.dequeue()
            parts = iter(parts if isinstance(parts, list) else [parts])
            flat = [next(parts) if there else None for there in present]
            found.append(
                tf.nest.pack_sequence_as(
                    structure, flat, expand_composites=True
                )
            )
        return found


def _clearing(queue: Any) -> Any:
    """Returns a function that empties a queue."""

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def clear() -> Any:
        def drop(count: Any) -> Any:
            queue.dequeue()
            return [count - 1]

        return tf.while_loop(lambda count: count > 0, drop, [queue.size()])

    return clear
