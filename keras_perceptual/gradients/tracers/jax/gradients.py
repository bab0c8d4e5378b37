"""Bringing the numbers of gradients out of a training step, for JAX.

JAX gives a variable that the loss does not depend on a gradient of zeros.
Whether a zero comes from there is read off the traced computation: such a
zero is a constant, which depends on nothing that goes into the step.
"""

import contextlib
import functools

import jax
import keras
import numpy as np

from keras_perceptual.gradients import zeros
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.tracers.jax import dataflow, jaxprs, probes
from keras_perceptual.gradients.tracers.jax.differentiation import (
    heed_gradients,
)
from keras_perceptual.gradients.tracers.jax.reads import reads_noted

# The methods through which an optimizer receives gradients.
APPLY_METHODS = ("stateless_apply", "apply")


def stored_values(gradient):
    """Returns the numbers that a gradient holds, without making it dense."""
    return gradient


def compute_gradients(function, variables, values=None):
    """Returns the gradients of what `function` returns.

    Args:
        function: Function without arguments that computes with `variables`.
        variables: Keras variables.
        values: What the variables stand for. Defaults to their values.
    """

    def loss(values):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function()

    if values is None:
        values = [variable.value for variable in variables]
    return jax.grad(loss)(values)


def trace_function(function, variables):
    """Returns the `Dataflow` of `compute_gradients`."""
    state = dataflow.describe_data(([v.value for v in variables],))
    return dataflow.trace_step(
        lambda state, data: compute_gradients(function, variables, state[0]),
        state,
        (),
        variables,
    )


@contextlib.contextmanager
def fresh_train_step(model, recorder):
    """Makes sure that a train function built inside traces the step anew.

    JAX keeps traces by function, and the bound method of a model is the same
    function every time.
    """
    step = model.train_step

    def train_step(state, data):
        recorder.remember_step(step, state, data)
        return step(state, data)

    with (
        replaced(model, "train_step", train_step),
        reads_noted(recorder.note_use),
        recorder.heed_gradients(),
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
        self._sums = sums
        self._width = width
        self._totals = {}
        self._step = None
        self._gradients = None
        self._used = {}
        self._model = model
        self._suspects = []
        self._probes = []

    def add(self, keys, rows, gradients):
        """Adds a row of statistics for each of the variables in `keys`."""
        if self._gradients is not None:
            self._gradients.update(zip(keys, gradients, strict=True))
            return
        jax.debug.callback(functools.partial(self._receive, tuple(keys)), rows)

    def _receive(self, keys, rows):
        for key, row in zip(keys, np.asarray(rows), strict=True):
            total = self._totals.setdefault(key, np.zeros(self._width))
            total[: self._sums] += row[: self._sums]
            np.maximum(
                total[self._sums :], row[self._sums :], out=total[self._sums :]
            )

    def read(self):
        """Returns the row of each variable, as NumPy arrays by key."""
        jax.effects_barrier()
        return {key: row.copy() for key, row in self._totals.items()}

    def remember_step(self, step, state, data):
        """Keeps the step and the shapes that go into it."""
        self._step = (step, *dataflow.describe_data((state, data)))

    def note_use(self, variable):
        """Keeps a Keras variable that the step reads."""
        self._used[id(variable)] = variable

    def find_untracked(self, known):
        """Returns what the step computes with and nobody trains.

        Args:
            known: The Keras variables of the model and its optimizers.
        """
        known = {id(variable) for variable in known}
        return [
            variable
            for key, variable in self._used.items()
            if key not in known and variable.trainable
        ]

    def trace_step(self, variables):
        """Returns the `Dataflow` of the step that was last taken."""
        return dataflow.trace_step(*self._step, variables)

    def diagnose(self, variables):
        """Has the next trace of the step read where gradients become zero.

        Returns:
            Whether it can.
        """
        self._suspects = [id(variable) for variable in variables]
        return True

    def heed_gradients(self):
        """Has steps that are traced inside read what `diagnose` asked for."""
        if not self._suspects:
            return contextlib.nullcontext()
        return heed_gradients(self._probe)

    def _probe(self, target, leaves):
        variables = self._model.trainable_variables
        if len(leaves) != len(variables):
            return
        # Whatever happens there must not end a training that is well.
        with contextlib.suppress(Exception):
            flow, operations, numbers = probes.read_gradients(
                target, leaves, [id(v) for v in variables], self._suspects
            )
            if numbers is not None:
                total = np.zeros(numbers.shape, "float32")
                self._probes.append((flow, operations, total))
                jax.debug.callback(
                    lambda found: np.maximum(total, found, out=total), numbers
                )

    def read_zeros(self, variables):
        """Returns a list of each `Dataflow` with the `Reading`s in it."""
        jax.effects_barrier()
        return [
            (flow, zeros.unpack_readings(operations, numbers))
            for flow, operations, numbers in self._probes
        ]

    def find_disconnected(self, keys):
        """Returns those of `keys` whose zero gradient means no connection."""
        if self._step is None or self._gradients is not None:
            return set()
        step, state, data = self._step

        def gradients_of(state, data):
            self._gradients = {}
            try:
                step(state, data)
                return {k: self._gradients[k] for k in keys}
            finally:
                self._gradients = None

        try:
            traced, shapes = jax.make_jaxpr(gradients_of, return_shape=True)(
                state, data
            )
        except Exception:
            # A step that only runs eagerly cannot be traced: what is zero
            # then stays a zero.
            return set()
        depends = jaxprs.dependent_outputs(
            traced.jaxpr, [True] * len(traced.jaxpr.invars)
        )
        # A dictionary is flattened in the order of its sorted keys.
        return {
            key
            for key, dependent in zip(sorted(shapes), depends, strict=True)
            if not dependent
        }
