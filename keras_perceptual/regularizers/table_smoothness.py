"""A regularizer for tables without bands."""

from typing import Literal

import keras

from keras_perceptual.configuration import Configured
from keras_perceptual.ops.table_shape import roughness
from keras_perceptual.typing import Tensor
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
class TableSmoothness(Configured, keras.regularizers.Regularizer):
    """Costs what varies from entry to entry of a color table.

    A table learns only where colors were seen; without this, neighbors
    drift apart, and gradients of color break up into bands. Pass it as
    `table_regularizer` of a `LookupColorLayer`.

    Args:
        factor: Float of at least 0, by which the cost is multiplied. Defaults
            to 1e-4.
        order: 1 takes the squares of the steps between neighbors, of which
            the first and the last along an axis count twice: the total
            variation of Zeng et al. It pulls toward a single color. 2 takes
            the squares of the changes of these steps, which are zero for any
            straight table, the identity among them. Defaults to 1.

    Call arguments:
        x: The table, shaped `(size, channels)` or `(reds, greens, blues,
            channels)`, with values in (0, 1).

    Returns:
        A scalar, the factor times the sum over the axes of the means.

    Raises:
        ValueError: If the factor is no such number, or the order another.

    Example:

    >>> import keras
    >>> from keras_perceptual import LookupColorLayer, TableSmoothness
    >>> layer = LookupColorLayer(
    ...     5, table_regularizer=TableSmoothness(0.5, order=2)
    ... )
    >>> layer.build((None, 8, 8, 3))
    >>> float(keras.ops.stop_gradient(layer.losses[0]))
    0.0

    Reference:
        [Zeng et al., 2020](https://arxiv.org/abs/2009.14468), with a factor of
        1e-4 beside the mean squared error; in TensorFlow Lattice, order 1 is
        a Laplacian regularizer but for the ends.
    """

    def __init__(
        self, factor: float = 1e-4, *, order: Literal[1, 2] = 1
    ) -> None:
        check = Checker(self)
        self.factor = check.number("factor", factor, minimum=0)
        self.order = check.choice("order", order, (1, 2))

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the cost of a table."""
        return self.factor * roughness(x, self.order)
