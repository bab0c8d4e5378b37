"""Bringing the numbers of gradients out of a training step, for PyTorch."""

import contextlib
import functools
import gc

import keras
import numpy as np
import torch

from keras_perceptual.gradients import reasons
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.explain import StepExplainer
from keras_perceptual.gradients.tracers.torch import dataflow, probes

# The methods through which an optimizer receives gradients.
APPLY_METHODS = ("apply",)


def stored_values(gradient):
    """Returns the numbers that a gradient holds, without making it dense."""
    if gradient.is_sparse:
        return gradient.coalesce().values()
    return gradient


def compute_gradients(function, variables):
    """Returns the gradients of what `function` returns, `None` for none."""
    loss = function()
    if not loss.requires_grad:
        return [None] * len(variables)
    return list(
        torch.autograd.grad(
            loss, [variable.value for variable in variables], allow_unused=True
        )
    )


def trace_function(function, variables):
    """Returns the `Dataflow` of `compute_gradients`."""

    def step(data):
        loss = function()
        torch.autograd.grad(
            loss, [variable.value for variable in variables], allow_unused=True
        )

    return dataflow.trace_step(step, None, variables, variables)


@contextlib.contextmanager
def fresh_train_step(model, recorder):
    """Lets the recorder know of the step of a train function built inside."""
    step = model.train_step

    @functools.wraps(step)
    def train_step(data):
        recorder.remember_step(step, data)
        return step(data)

    with (
        replaced(model, "train_step", train_step),
        _heed_backward(recorder.note_use),
    ):
        yield


@contextlib.contextmanager
def _heed_backward(heed):
    """Has `heed` called with what gradients are computed of."""
    original = torch.autograd.backward

    @functools.wraps(original)
    def backward(tensors, *args, **kwargs):
        heed(tensors)
        return original(tensors, *args, **kwargs)

    torch.autograd.backward = backward
    try:
        yield
    finally:
        torch.autograd.backward = original


def says_nothing_is_connected(error):
    """Whether `error` is the backend's word for a loss without gradients."""
    return isinstance(error, RuntimeError) and (
        "does not require grad and does not have a grad_fn" in str(error)
    )


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
        self._waiting = []
        self._totals = {}
        self._model = model
        self._step = None
        self._used = {}

    @torch.compiler.disable
    def add(self, keys, rows, gradients):
        """Adds a row of statistics for each of the variables in `keys`."""
        self._waiting.append((keys, rows.detach()))

    def read(self):
        """Returns the row of each variable, as NumPy arrays by key."""
        for keys, rows in self._waiting:
            for key, row in zip(keys, rows.cpu().numpy(), strict=True):
                total = self._totals.setdefault(key, np.zeros(self._width))
                total[: self._sums] += row[: self._sums]
                np.maximum(
                    total[self._sums :],
                    row[self._sums :],
                    out=total[self._sums :],
                )
        self._waiting.clear()
        return {key: row.copy() for key, row in self._totals.items()}

    @torch.compiler.disable
    def remember_step(self, step, data):
        """Keeps the step and what goes into it."""
        self._step = (step, dataflow.describe_data(data))

    @torch.compiler.disable
    def note_use(self, targets):
        """Keeps which tensors `targets` have a gradient for."""
        self._used |= dataflow.find_leaves(targets)

    def find_untracked(self, known):
        """Returns what the step computes with and nobody trains.

        Args:
            known: The Keras variables of the model and its optimizers.
        """
        strangers = self._used.keys() - {id(v.value) for v in known}
        if not strangers:
            return []
        found = [
            variable
            for variable in gc.get_objects()
            if issubclass(type(variable), keras.Variable)
            and variable.trainable
            and id(variable._value) in strangers
        ]
        # Where they lie in memory is no order.
        return sorted(found, key=lambda variable: variable.path)

    def trace_step(self, variables):
        """Returns the `Dataflow` of the step that was last taken."""
        return dataflow.trace_step(
            *self._step, variables, self._model.trainable_variables
        )

    def diagnose(self, variables):
        """Whether it can be read where gradients become zero."""
        return True

    def read_zeros(self, variables):
        """Returns a list of each `Dataflow` with the `Reading`s in it."""
        keys = [id(variable) for variable in variables]
        trained = self._model.trainable_variables
        return [probes.read_step(*self._step, trained, trained, keys)]

    def find_disconnected(self, keys):
        """Returns those of `keys` whose zero gradient means no connection.

        PyTorch has zeros behind rounding and the like, which is none.
        """
        causes = StepExplainer(self._model, self).explain_missing(
            [v for v in self._model.trainable_variables if id(v) in keys]
        )
        return {k for k, cause in causes.items() if cause.reason == reasons.CUT}
