"""A constraint for tables that rise."""

import keras
from keras import ops

from keras_perceptual.configuration import Configured
from keras_perceptual.ops.table_shape import AXES, make_monotonic
from keras_perceptual.typing import TableAxes, Tensor
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
class MonotonicTable(Configured, keras.constraints.Constraint):
    """Keeps a color table from falling, after every step of the optimizer.

    A table that rises everywhere stays as it is. Of another, the result is the
    mean of the least rising table above it and the largest one below it.

    Args:
        axes: `"own"` holds each channel along its own axis: more red gives no
            less red. `"all"` holds every channel along every axis: more red
            gives no less green either, which a grade that raises the
            saturation does not keep to. Defaults to `"own"`.
        low: Float, the least value an entry can have. Defaults to 0.
        high: Float above it, the largest one. Defaults to 1.

    Call arguments:
        w: The table, shaped `(size, channels)` or `(reds, greens, blues,
            channels)`.

    Returns:
        A table of the same shape that never falls.

    Raises:
        ValueError: If the axes are others, if an end is no finite number, or
            if they are the wrong way round.

    Example:

    >>> import keras
    >>> from keras_perceptual import MonotonicTable
    >>> table = keras.ops.convert_to_tensor([[-0.5], [0.75], [0.25], [2.0]])
    >>> keras.ops.convert_to_numpy(MonotonicTable()(table))[:, 0].tolist()
    [0.0, 0.5, 0.5, 1.0]

    Reference:
        TensorFlow Lattice keeps its calibrators and lattices from falling
        with projections of the same kind.
    """

    def __init__(
        self, *, axes: TableAxes = "own", low: float = 0.0, high: float = 1.0
    ) -> None:
        check = Checker(self)
        self.axes = check.choice("axes", axes, AXES)
        self.low, self.high = check.bounds(low, high)

    def __call__(self, w: Tensor) -> Tensor:
        """Returns the table, rising."""
        return make_monotonic(ops.clip(w, self.low, self.high), self.axes)
