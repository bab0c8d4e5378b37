"""What is kept of a gradient: a few numbers, computed inside the step."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from keras import ops

from keras_perceptual.gradients import tracers

# The first numbers of a row are added up over the calls of the optimizer, of
# the others the largest is kept.
SUMS = 4
WIDTH = 7
# How many numbers a tensor may have that is copied to be measured with others.
MOST_STACKED = 2**16
# How many numbers are measured at a time on the host.
PIECE = 2**20
# How much rounding leaves of what cancels out.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class GradientStatistics:
    """What the optimizers were given for one variable.

    Attributes:
        calls: How many gradients were given.
        nonzero: How many of them were not zero everywhere.
        nonfinite: How many held NaN or infinity for no good reason.
        overflowed: How many held NaN or infinity that dynamic loss scaling
            answers by skipping the step and lowering the scale.
        norm: The largest Euclidean norm among the finite ones.
        data_norm: The same without what a penalty on the variable adds.
        zeros: The largest share of numbers that are exactly zero, if they are
            counted.
    """

    calls: int = 0
    nonzero: int = 0
    nonfinite: int = 0
    overflowed: int = 0
    norm: float = 0.0
    data_norm: float = 0.0
    zeros: float = 0.0

    @property
    def only_penalized(self) -> bool:
        """Whether a penalty on the variable is all that reaches it."""
        return self.norm > 0 and self.data_norm <= ROUNDING * self.norm

    @property
    def finite_norm(self) -> float | None:
        """The norm, or `None` where no gradient was finite."""
        finite = self.calls > self.nonfinite + self.overflowed
        return self.norm if finite else None

    @classmethod
    def from_row(cls, row: np.ndarray) -> Self:
        """Reads the numbers that `statistics_rows` wrote."""
        numbers = [float(value) for value in row]
        return cls(*map(int, numbers[:SUMS]), *numbers[SUMS:])

    @staticmethod
    def add_rows(total: Any, row: Any) -> Any:
        """Adds a row to others, in place: two NumPy arrays."""
        total[:SUMS] += row[:SUMS]
        np.maximum(total[SUMS:], row[SUMS:], out=total[SUMS:])


def statistics_rows(
    gradients: Sequence[Any],
    norms: Callable[[Any], Any],
    loss_scale: Any = None,
    is_dynamic: bool = False,
    penalties: Mapping[int, Any] | None = None,
    counts_zeros: bool = False,
) -> Any:
    """Returns the statistics of gradients as rows of `WIDTH` numbers.

    Args:
        gradients: The numbers of each gradient as an optimizer receives it, a
            tensor.
        norms: Function of a list of tensors that returns their Euclidean norms
            in one, as `scaled_norms` does.
        loss_scale: The factor by which the loss was scaled, if any.
        is_dynamic: Whether the optimizer lowers the scale upon overflow.
        penalties: What a penalty adds to some of the gradients, by place,
            without the loss scale.
        counts_zeros: Whether to find the share of exact zeros.

    Returns:
        Tensor shaped `(gradients, WIDTH)`.
    """
    sizes = norms(gradients)
    finite = ops.isfinite(sizes)
    # What is no number is not zero either.
    nonzero = ops.not_equal(sizes, 0)
    explained = 0.0
    if loss_scale is not None:
        loss_scale = ops.cast(loss_scale, "float32")
        sizes = sizes / ops.cast(loss_scale, sizes.dtype)
        if is_dynamic:
            # At a scale below one the scale is not what overflows.
            explained = ops.cast(loss_scale >= 1.0, "float32")
    sizes = ops.cast(ops.where(finite, sizes, 0.0), "float32")
    broken = 1.0 - ops.cast(finite, "float32")
    return ops.stack(
        [
            ops.ones_like(sizes),
            ops.cast(nonzero, "float32"),
            broken * (1.0 - explained),
            broken * explained,
            sizes,
            _norms_of_data(
                sizes, gradients, norms, loss_scale, penalties or {}
            ),
            (
                _shares_of_zeros(gradients)
                if counts_zeros
                else ops.zeros_like(sizes)
            ),
        ],
        axis=1,
    )


def _shares_of_zeros(gradients: Sequence[Any]) -> Any:
    """Returns the share of exact zeros in each gradient."""
    return ops.stack(
        [
            ops.mean(ops.cast(ops.equal(gradient, 0), "float32"))
            for gradient in gradients
        ]
    )


def _norms_of_data(
    sizes: Any,
    gradients: Sequence[Any],
    norms: Callable[[Any], Any],
    loss_scale: Any,
    penalties: Mapping[int, Any],
) -> Any:
    """Returns the norms without the penalties, those of others as they are."""
    if not penalties:
        return sizes
    scale = 1.0 if loss_scale is None else loss_scale
    rests = norms(
        [
            ops.cast(gradients[place], "float32") / scale
            - ops.cast(penalty, "float32")
            for place, penalty in penalties.items()
        ]
    )
    rests = ops.unstack(ops.cast(rests, "float32"), len(penalties))
    rests = dict(zip(penalties, rests, strict=True))
    return ops.stack(
        [rests.get(place, sizes[place]) for place in range(len(gradients))]
    )


def scaled_norms(gradients: Sequence[Any]) -> Any:
    """Returns the Euclidean norms of some tensors in one, in float32.

    The squares of small numbers vanish in float32; those of their shares in
    the largest one do not. The norm is not finite where a number is not.
    """
    # The fewer reductions, the faster they are compiled; what is large is not
    # copied for that.
    groups: dict[Any, list[int]] = {}
    for place, gradient in enumerate(gradients):
        shape = tuple(gradient.shape)
        is_small = None not in shape and math.prod(shape) <= MOST_STACKED
        key = (shape, str(gradient.dtype)) if is_small else place
        groups.setdefault(key, []).append(place)
    found = ops.concatenate(
        [
            _norms_of_stack(ops.stack([gradients[i] for i in places]))
            for places in groups.values()
        ]
    )
    order = np.argsort([i for places in groups.values() for i in places])
    return ops.take(found, order, axis=0)


def _norms_of_stack(gradients: Any) -> Any:
    """Returns the norms of tensors of one shape, along the first axis."""
    sizes = ops.cast(ops.abs(gradients), "float32")
    sizes = ops.reshape(sizes, (gradients.shape[0], -1))
    # There may be none in a tensor.
    largest = ops.max(sizes, axis=1, keepdims=True, initial=0.0)
    shares = ops.divide_no_nan(sizes, largest)
    squares = ops.sum(ops.square(shares), axis=1)
    largest = ops.squeeze(largest, axis=1)
    # That of large numbers may be beyond float32.
    bounded = ops.minimum(largest * ops.sqrt(squares), np.finfo("float32").max)
    return ops.where(ops.isfinite(largest + squares), bounded, np.nan)


def update_rows(
    before: Sequence[Any],
    after: Sequence[Any],
    norms: Callable[[Any], Any],
) -> Any:
    """Returns what a step did to variables, as rows of two numbers.

    Args:
        before: What each held before the step, a tensor.
        after: What each holds now.
        norms: As for `statistics_rows`.

    Returns:
        Tensor shaped `(variables, 2)`: the norm of the weights now, and that
        of what was added to them. Neither is finite where a weight is not.
    """
    steps = [
        ops.cast(new, "float32") - ops.cast(old, "float32")
        for old, new in zip(before, after, strict=True)
    ]
    return ops.stack([norms(after), norms(steps)], axis=1)


def weight_norm(variable: Any) -> float:
    """Returns the Euclidean norm of the values of a variable."""
    # On the host, since JAX would compile something for each shape; in pieces,
    # since float64 takes twice the room.
    values = tracers.load("variable_values").read_value(variable).ravel()
    pieces = np.array_split(values, 1 + values.size // PIECE)
    return math.hypot(
        *(float(np.linalg.norm(piece.astype("float64"))) for piece in pieces)
    )


def ratio_of_norms(norm: float, weights: float) -> float | None:
    """Returns the share of one norm in another, `None` of no weight."""
    return norm / weights if weights else None
