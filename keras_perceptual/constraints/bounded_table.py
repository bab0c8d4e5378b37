"""A constraint for tables that stay in a range."""

import keras
from keras import ops

from keras_perceptual.configuration import Configured
from keras_perceptual.typing import Tensor
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
class BoundedTable(Configured, keras.constraints.Constraint):
    """Keeps every entry of a color table in a range.

    Args:
        low: Float, the lower end. Defaults to 0.
        high: Float above it, the upper end. Defaults to 1.

    Call arguments:
        w: The table, of any shape.

    Returns:
        The table, with what lay outside moved to the ends.

    Raises:
        ValueError: If an end is no finite number, or they are the wrong way
            round.

    Example:

    >>> from keras_perceptual import BoundedTable, LookupColorLayer
    >>> layer = LookupColorLayer(5, table_constraint=BoundedTable())

    Reference:
        `keras.constraints.NonNeg` is its lower end alone. What a `.cube` file
        holds need not be in (0, 1), but what a screen shows is.
    """

    def __init__(self, *, low: float = 0.0, high: float = 1.0) -> None:
        self.low, self.high = Checker(self).bounds(low, high)

    def __call__(self, w: Tensor) -> Tensor:
        """Returns the table in the range."""
        return ops.clip(w, self.low, self.high)
