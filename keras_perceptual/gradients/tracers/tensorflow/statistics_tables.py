"""The statistics of gradients in variables that a step updates itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_perceptual.gradients.statistics import SUMS, WIDTH


class StatisticsTables:
    """A row of statistics for each variable of a model.

    The step may be eager, traced into a graph or compiled by XLA, and run on
    several devices, each of which has rows of its own.

    Args:
        strategy: The `tf.distribute.Strategy` of the model.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        self._tables: list[Any] = []
        self._gatherers: dict[Any, Any] = {}
        self._slots: dict[Any, Any] = {}

    def make_room(self, keys: Sequence[Any]) -> None:
        """Has a row for each variable, given by its `id`."""
        keys = [key for key in keys if key not in self._slots]
        if not keys:
            return
        for row, key in enumerate(keys):
            self._slots[key] = (len(self._tables), row)
        self._tables.append(
            tf.Variable(
                tf.zeros((len(keys), WIDTH)),
                trainable=False,
                name="gradient_statistics",
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
        )

    def clear(self) -> None:
        """Has nothing but zeros in all rows."""
        for table in self._tables:
            table.assign(tf.zeros_like(table))

    def add(self, keys: Sequence[Any], rows: Any) -> None:
        """Adds rows of statistics to those of earlier calls."""
        for index, table in enumerate(self._tables):
            picked = [
                i for i, k in enumerate(keys) if self._slots[k][0] == index
            ]
            if not picked:
                continue
            slots = tf.constant([[self._slots[keys[i]][1]] for i in picked])
            new = tf.gather(rows, picked)
            # XLA gathers from tensors only.
            whole = tf.convert_to_tensor(table)
            old = tf.gather_nd(whole, slots)
            new = tf.concat(
                [
                    old[:, :SUMS] + new[:, :SUMS],
                    tf.maximum(old[:, SUMS:], new[:, SUMS:]),
                ],
                axis=1,
            )
            table.assign(tf.tensor_scatter_nd_update(whole, slots, new))

    def read(self) -> dict[int, np.ndarray]:
        """Returns the row of each variable, as NumPy arrays by key."""
        # Each replica sees its own part of the batch.
        values = [
            np.max(self._read_replicas(table), axis=0) for table in self._tables
        ]
        return {
            key: values[index][row] for key, (index, row) in self._slots.items()
        }

    def _read_replicas(self, table: Any) -> Any:
        """Returns the rows of all replicas, those of other machines too.

        All machines have to ask, and come to the same verdict: one that stops
        alone leaves the others waiting for it.
        """
        if self._strategy.num_replicas_in_sync == 1:
            return table.numpy()[np.newaxis]
        if table.ref() not in self._gatherers:
            # In a graph: devices that take turns in Python are slow.
            self._gatherers[table.ref()] = tf.function(
                lambda: self._strategy.gather(
                    self._strategy.run(
                        lambda: tf.convert_to_tensor(table)[tf.newaxis]
                    ),
                    axis=0,
                )
            )
        return self._gatherers[table.ref()]().numpy()
