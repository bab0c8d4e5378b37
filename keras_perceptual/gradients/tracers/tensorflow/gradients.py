"""Bringing the numbers of gradients out of a training step, for TensorFlow.

The step may be eager, traced into a graph or compiled by XLA, so the numbers
are kept in variables that the step itself updates.
"""

import concurrent.futures
import contextlib
import functools
import gc

import keras
import numpy as np
import tensorflow as tf

from keras_perceptual.gradients import zeros
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.tracers.tensorflow import dataflow, probes
from keras_perceptual.gradients.tracers.tensorflow.custom_gradients import (
    forgettable_custom_gradients,
)
from keras_perceptual.gradients.tracers.tensorflow.tapes import (
    intercept_gradient,
)

# How many numbers can be read where gradients become zero.
MOST_NUMBERS = 2**16

# The methods through which an optimizer receives gradients.
APPLY_METHODS = ("apply",)


def stored_values(gradient):
    """Returns the numbers that a gradient holds, without making it dense."""
    if isinstance(gradient, tf.IndexedSlices):
        return gradient.values
    return gradient


def compute_gradients(function, variables):
    """Returns the gradients of what `function` returns, `None` for none."""
    with tf.GradientTape() as tape:
        loss = function()
    return tape.gradient(loss, [variable.value for variable in variables])


def trace_function(function, variables):
    """Returns the `Dataflow` of `compute_gradients`."""
    return dataflow.trace_step(
        lambda data: compute_gradients(function, variables), (), variables
    )


@contextlib.contextmanager
def fresh_train_step(model, recorder):
    """Lets the recorder know of the step of a train function built inside."""
    step = model.train_step

    @functools.wraps(step)
    def train_step(data):
        recorder.remember_step(step, data)
        return step(data)

    def answer(original, tape, target, sources, *args, **kwargs):
        recorder.note_use(tape.watched_variables())
        recorder.remember_gradient(target, sources)
        # Whatever happens there must not end a training that is well.
        with contextlib.suppress(Exception):
            recorder.probe(target, sources)
        return original(tape, target, sources, *args, **kwargs)

    with (
        replaced(model, "train_step", train_step),
        intercept_gradient(answer),
        forgettable_custom_gradients(),
    ):
        yield


def says_nothing_is_connected(error):
    """Whether `error` is the backend's word for a loss without gradients."""
    return False


class GradientRecorder:
    """Adds up rows of statistics, one row for each variable.

    Args:
        model: The model whose step is watched.
        sums: How many of the numbers of a row are added up; of the remaining
            ones the largest is kept.
        width: Length of a row.
    """

    def __init__(self, model, *, sums, width):
        self._model = model
        self._strategy = model.distribute_strategy
        self._sums = sums
        self._width = width
        self._tables = []
        self._gatherers = {}
        self._slots = {}
        self._step = None
        self._traced = []
        self._used = {}
        self._suspects = []
        self._numbers = None
        self._probes = []
        # Replicas cannot create variables in the middle of a step.
        with self._strategy.scope():
            self._make_room([id(v) for v in model.trainable_variables])

    def _make_room(self, keys):
        keys = [key for key in keys if key not in self._slots]
        if not keys:
            return
        for row, key in enumerate(keys):
            self._slots[key] = (len(self._tables), row)
        self._tables.append(
            tf.Variable(
                tf.zeros((len(keys), self._width)),
                trainable=False,
                name="gradient_statistics",
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
        )

    def add(self, keys, rows, gradients):
        """Adds a row of statistics for each of the variables in `keys`."""
        with tf.init_scope():
            self._make_room(keys)
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
                    old[:, : self._sums] + new[:, : self._sums],
                    tf.maximum(old[:, self._sums :], new[:, self._sums :]),
                ],
                axis=1,
            )
            table.assign(tf.tensor_scatter_nd_update(whole, slots, new))

    def read(self):
        """Returns the row of each variable, as NumPy arrays by key."""
        # Each replica sees its own part of the batch.
        values = [
            np.max(self._read_replicas(table), axis=0) for table in self._tables
        ]
        return {
            key: values[index][row] for key, (index, row) in self._slots.items()
        }

    def _read_replicas(self, table):
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

    def remember_step(self, step, data):
        """Keeps the step and the shapes of what goes into it."""
        self._traced = []
        # Data of an unknown kind cannot be traced with, only trained on.
        with contextlib.suppress(TypeError, ValueError):
            self._step = (step, dataflow.describe_data(data))

    def remember_gradient(self, target, sources):
        """Keeps the graph in which a gradient by variables is asked for."""
        if dataflow.are_variables(sources):
            graph = tf.compat.v1.get_default_graph()
            operations = len(graph.get_operations())
            self._traced.append((graph, operations, target, sources))

    def note_use(self, variables):
        """Keeps the variables that gradients could be asked for."""
        self._used.update((id(v), v) for v in variables)

    def find_untracked(self, known):
        """Returns what the step computes with and nobody trains.

        Args:
            known: The Keras variables of the model and its optimizers.
        """
        known = {k for v in known for k in self._keys_of_copies(v.value)}
        found = {k: v for k, v in self._used.items() if k not in known}
        if not found:
            return []
        owners = {
            key: variable
            for variable in gc.get_objects()
            # Not `isinstance`: some objects answer for others, and warn.
            if issubclass(type(variable), keras.Variable)
            for key in self._keys_of_copies(variable._value)
        }
        found = [owners.get(key, variable) for key, variable in found.items()]
        # Every device has used its own copy.
        found = {id(variable): variable for variable in found}
        return [variable for variable in found.values() if variable.trainable]

    def _keys_of_copies(self, native):
        """Returns the `id` of a variable and of its copies on devices."""
        copies = self._strategy.experimental_local_results(native)
        return {id(native), *map(id, copies)}

    def trace_step(self, variables):
        """Returns the `Dataflow` of the step that was last taken."""
        if (
            len(self._traced) == 1
            and not self._model.run_eagerly
            and self._model.steps_per_execution == 1
            and self._strategy.num_replicas_in_sync == 1
        ):
            # What comes before its only gradient is all there is to know.
            ((graph, operations, target, sources),) = self._traced
            return dataflow.describe_graph(
                graph,
                variables,
                [dataflow.describe_derivative(target, sources, variables)],
                operations,
            )
        # A thread of its own is outside the scope of any strategy, in which a
        # variable of several devices could not be told from its copies.
        with concurrent.futures.ThreadPoolExecutor(1) as outside:
            return outside.submit(
                dataflow.trace_step, *self._step, variables
            ).result()

    def diagnose(self, variables):
        """Has the next trace of the step read where gradients become zero.

        Returns:
            Whether it can.
        """
        if self._strategy.num_replicas_in_sync == 1:
            self._suspects = list(variables)
            # None can be created in the middle of a step.
            self._numbers = tf.Variable(tf.zeros(MOST_NUMBERS), trainable=False)
        return bool(self._suspects)

    def probe(self, target, sources):
        """Adds what `diagnose` asked for to a step that is being traced."""
        if not self._suspects or tf.executing_eagerly():
            return
        flow = dataflow.describe_graph(
            tf.compat.v1.get_default_graph(),
            self._suspects,
            [dataflow.describe_derivative(target, sources, self._suspects)],
        )
        operations = zeros.choose_operations(
            flow, [id(variable) for variable in self._suspects]
        )
        if not operations:
            return
        numbers = probes.read_operations(
            operations, [t for t in tf.nest.flatten(target) if tf.is_tensor(t)]
        )
        start = sum(size for *_, size in self._probes)
        end = start + numbers.shape[0]
        if end > MOST_NUMBERS:
            return
        space = [[start, MOST_NUMBERS - end]]
        whole = tf.convert_to_tensor(self._numbers)
        self._numbers.assign(tf.maximum(whole, tf.pad(numbers, space)))
        self._probes.append((flow, operations, end - start))

    def read_zeros(self, variables):
        """Returns a list of each `Dataflow` with the `Reading`s in it."""
        found, start = [], 0
        for flow, operations, size in self._probes:
            numbers = self._numbers.numpy()[start : start + size]
            found.append((flow, zeros.unpack_readings(operations, numbers)))
            start += size
        return found

    def find_disconnected(self, keys):
        """Returns those of `keys` whose zero gradient means no connection."""
        return set()
