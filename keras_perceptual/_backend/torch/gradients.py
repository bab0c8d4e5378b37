"""Bringing the numbers of gradients out of a training step, for PyTorch."""

import contextlib

import numpy as np
import torch

# The methods through which an optimizer receives gradients.
APPLY_METHODS = ("apply",)


def stored_values(gradient):
    """Returns the numbers that a gradient holds, without making it dense."""
    if gradient.is_sparse:
        return gradient.coalesce().values()
    return gradient


@contextlib.contextmanager
def fresh_train_step(model, recorder):
    """Makes sure that a train function built inside traces the step anew."""
    yield


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

    def find_disconnected(self, keys):
        """Returns those of `keys` whose zero gradient means no connection."""
        return set()
