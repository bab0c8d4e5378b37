"""What is read of a training: a few numbers a variable, now and then."""

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

COLUMNS = ("norm", "update", "zeros", "finite")


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """One step of a training.

    Attributes:
        step: How many steps the training had taken after it.
        epoch: The number of its epoch.
        loss: The loss in the logs of Keras, a mean over the epoch so far, or
            NaN where there is none.
        paths: The paths of the trainable variables.
        norm: The Euclidean norm of the gradient of each, without the loss
            scale; NaN where no finite one is known.
        weights: The norm of each variable after the step.
        update: The norm of what the step added to it, divided by `weights`;
            NaN where the variable is zero or not finite.
        zeros: The share of exact zeros in each gradient, NaN where none is
            known.
        finite: Whether all numbers of the variable and of its gradient are
            finite. A gradient that loss scaling throws away does not count.
        dead: The share of units whose output is zero for the whole batch, by
            the path of each layer that ends in a ReLU.
        terms: The value of each term of the loss in this step, by name and
            without its weight.
    """

    step: int
    epoch: int
    loss: float
    paths: tuple[str, ...]
    norm: np.ndarray
    weights: np.ndarray
    update: np.ndarray
    zeros: np.ndarray
    finite: np.ndarray
    dead: Mapping[str, float] = dataclasses.field(default_factory=dict)
    terms: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def is_finite(self) -> bool:
        """Whether nothing in it is NaN or infinite for no good reason."""
        return bool(np.all(self.finite))

    @property
    def change(self) -> np.ndarray:
        """The norm of what the step added to each variable."""
        return np.asarray(self.update * self.weights)


class Readings:
    """The last readings of a training, the oldest first.

    Args:
        keep: How many are kept.
    """

    def __init__(self, keep: int) -> None:
        self._kept: collections.deque[Reading] = collections.deque(maxlen=keep)
        # The smallest norm and the smallest change of each variable, with
        # which most of what does not stand out is passed over.
        self.least: np.ndarray = np.zeros(0)
        self.least_change: np.ndarray = np.zeros(0)

    def add(self, reading: Reading) -> None:
        """Adds one, in the place of the oldest if there are too many."""
        if self._kept and self._kept[-1].paths != reading.paths:
            # Of another model, or of one that was built in between.
            self._kept.clear()
        if not self._kept:
            self.least = np.full(len(reading.paths), np.inf)
            self.least_change = self.least
        self._kept.append(reading)
        self.least = _smaller(self.least, reading.norm)
        self.least_change = _smaller(self.least_change, reading.change)

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Reading]:
        return iter(self._kept)

    def __getitem__(self, place: int) -> Reading:
        return self._kept[place]

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the variables."""
        return self._kept[-1].paths if self._kept else ()

    @property
    def layers(self) -> tuple[str, ...]:
        """The paths of the layers that may be dead."""
        return tuple(self._kept[-1].dead) if self._kept else ()

    def column(self, name: str, last: int | None = None) -> np.ndarray:
        """Returns an array of one kind of number: readings, variables.

        Args:
            name: A column of readings; with `"dead"`, layers take the place
                of variables.
            last: How many readings, the last ones. Defaults to all of them.
        """
        first = max(len(self) - (last or len(self)), 0)
        chosen = list(itertools.islice(self._kept, first, None))
        if name == "dead":
            layers = self.layers
            rows = [[r.dead.get(k, np.nan) for k in layers] for r in chosen]
            return np.array(rows, float).reshape(len(chosen), len(layers))
        shape = (len(chosen), len(self.paths))
        return np.array([getattr(r, name) for r in chosen]).reshape(shape)

    @property
    def steps(self) -> np.ndarray:
        """The step of each reading."""
        return np.array([reading.step for reading in self], int)


def _smaller(least: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Returns the smaller ones of two, of those above zero."""
    with np.errstate(invalid="ignore"):
        return np.minimum(least, np.where(numbers > 0, numbers, np.inf))


def to_records(readings: Readings) -> list[dict[str, Any]]:
    """Returns one dictionary for each variable in each reading."""
    return [
        {
            "step": reading.step,
            "epoch": reading.epoch,
            "loss": reading.loss,
            "variable": path,
            "norm": float(reading.norm[place]),
            "update": float(reading.update[place]),
            "zeros": float(reading.zeros[place]),
            "finite": bool(reading.finite[place]),
        }
        for reading in readings
        for place, path in enumerate(reading.paths)
    ]


def make_reading(
    step: int,
    epoch: int,
    loss: float,
    variables: Any,
    rows: dict[int, Any],
    updates: np.ndarray,
    *,
    counts_zeros: bool,
    dead: Mapping[str, float] | None = None,
    terms: Mapping[str, float] | None = None,
) -> Reading:
    """Returns a `Reading`.

    Args:
        step: As the attribute.
        epoch: As the attribute.
        loss: As the attribute.
        variables: The trainable variables.
        rows: The `GradientStatistics` of those that have some, by `id`.
        updates: What `update_rows` returned.
        counts_zeros: Whether the share of zeros is in the statistics.
        dead: As the attribute.
        terms: As the attribute.
    """
    known = [rows.get(id(variable)) for variable in variables]
    called = np.array([bool(s and s.calls) for s in known], bool)
    norm = np.array(
        [
            np.nan if not s or s.finite_norm is None else s.finite_norm
            for s in known
        ],
        float,
    )
    zeros = np.array([s.zeros if s else np.nan for s in known], float)
    well = np.array([not (s and s.nonfinite) for s in known], bool)
    weights, update = np.asarray(updates, float).T
    with np.errstate(all="ignore"):
        ratio = np.where(weights > 0, update / weights, np.nan)
    return Reading(
        step=step,
        epoch=epoch,
        loss=loss,
        paths=tuple(variable.path for variable in variables),
        norm=np.where(called, norm, np.nan),
        weights=weights,
        update=np.where(np.isfinite(ratio), ratio, np.nan),
        zeros=np.where(
            called & counts_zeros & np.isfinite(norm), zeros, np.nan
        ),
        finite=well & np.isfinite(weights) & np.isfinite(update),
        dead=dead or {},
        terms=terms or {},
    )
