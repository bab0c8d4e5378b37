"""A regularizer for tables that stay in a range."""

import keras
from keras import ops

from keras_perceptual.configuration import Configured
from keras_perceptual.typing import Tensor
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
class TableRange(Configured, keras.regularizers.Regularizer):
    """Costs what of a color table lies outside a range.

    A table that is written to a file of eight bits, or shown, is clipped; the
    difference between what was trained and what is seen is what this costs.
    For a table that never leaves the range, see `BoundedTable`.

    Args:
        factor: Float of at least 0, by which the cost is multiplied. Defaults
            to 1.
        low: Float, the lower end. Defaults to 0.
        high: Float above it, the upper end. Defaults to 1.

    Call arguments:
        x: The table, of any shape.

    Returns:
        A scalar, the factor times the mean of the squares of the distances to
        the range.

    Raises:
        ValueError: If an argument is no finite number, or the ends are the
            wrong way round.

    Example:

    >>> import keras
    >>> from keras_perceptual import TableRange
    >>> table = keras.ops.convert_to_tensor([[-0.5], [0.5]])
    >>> float(TableRange()(table))
    0.125

    Reference:
        The quadratic penalty of constrained optimization, for example J.
        Nocedal and S. Wright, "Numerical Optimization", chapter 17.
    """

    def __init__(
        self, factor: float = 1.0, *, low: float = 0.0, high: float = 1.0
    ) -> None:
        check = Checker(self)
        self.factor = check.number("factor", factor, minimum=0)
        self.low, self.high = check.bounds(low, high)

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the cost of a table."""
        outside = ops.relu(self.low - x) + ops.relu(x - self.high)
        return self.factor * ops.mean(ops.square(outside))
