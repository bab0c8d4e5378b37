"""What is kept of a gradient: a few numbers, computed inside the step."""

import dataclasses

from keras import ops

from keras_perceptual.gradients import tracers

# The first numbers of a row are added up over the calls of the optimizer, of
# the last one the largest is kept.
SUMS = 4
WIDTH = 5


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
    """

    calls: int = 0
    nonzero: int = 0
    nonfinite: int = 0
    overflowed: int = 0
    norm: float = 0.0

    @property
    def finite_norm(self):
        """The norm, or `None` where no gradient was finite."""
        finite = self.calls > self.nonfinite + self.overflowed
        return self.norm if finite else None

    @classmethod
    def from_row(cls, row):
        """Reads the numbers that `statistics_row` wrote."""
        *counts, norm = (float(value) for value in row)
        return cls(*(int(count) for count in counts), norm)


def statistics_rows(gradients, loss_scale=None, is_dynamic=False):
    """Returns the statistics of gradients as rows of `WIDTH` numbers.

    A step is built faster the fewer operations each gradient needs by itself.

    Args:
        gradients: The gradients as an optimizer receives them.
        loss_scale: The factor by which the loss was scaled, if any.
        is_dynamic: Whether the optimizer lowers the scale upon overflow.

    Returns:
        Tensor shaped `(gradients, WIDTH)`.
    """
    pairs = [_largest_and_squares(gradient) for gradient in gradients]
    largest, squares = (ops.stack(x) for x in zip(*pairs, strict=True))
    finite = ops.cast(ops.isfinite(largest + squares), "float32")
    # What is no number is not zero either.
    nonzero = ops.maximum(
        ops.cast(ops.not_equal(largest, 0), "float32"), 1.0 - finite
    )
    norm = largest * ops.sqrt(squares)
    explained = 0.0
    if loss_scale is not None:
        loss_scale = ops.cast(loss_scale, "float32")
        norm = norm / loss_scale
        if is_dynamic:
            # At a scale below one the scale is not what overflows.
            explained = ops.cast(loss_scale >= 1.0, "float32")
    broken = 1.0 - finite
    return ops.stack(
        [
            ops.ones_like(norm),
            nonzero,
            broken * (1.0 - explained),
            broken * explained,
            ops.where(finite > 0, norm, 0.0),
        ],
        axis=1,
    )


def _largest_and_squares(gradient):
    """Returns the largest size, and the sum of the squares of its shares.

    The squares of small numbers vanish in float32; those of their shares in
    the largest one do not. NaN and infinity make the sum NaN.
    """
    sizes = ops.abs(tracers.load("gradients").stored_values(gradient))
    sizes = ops.cast(sizes, "float32")
    if all(sizes.shape):
        largest = ops.max(sizes)
    else:  # There may be none.
        largest = ops.max(sizes, initial=0.0)
    return largest, ops.sum(ops.square(ops.divide_no_nan(sizes, largest)))


def weight_norm(variable):
    """Returns the Euclidean norm of the values of a variable."""
    values = ops.cast(ops.ravel(variable.value), "float32")
    return float(ops.convert_to_numpy(ops.norm(values)))


def ratio_of_norms(norm, weights):
    """Returns the share of one norm in another, `None` of no weight."""
    return norm / weights if weights else None
