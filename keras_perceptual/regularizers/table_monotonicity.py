"""A regularizer for tables that rise."""

import keras

from keras_perceptual.configuration import Configured
from keras_perceptual.ops.table_shape import AXES, descent
from keras_perceptual.typing import TableAxes, Tensor
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
class TableMonotonicity(Configured, keras.regularizers.Regularizer):
    """Costs what falls in a color table where it should rise.

    More light going in should not give less coming out: where it does,
    highlights turn round. For a table that never falls, not even between two
    steps of training, see `MonotonicTable`.

    Args:
        factor: Float of at least 0, by which the cost is multiplied. Defaults
            to 10.
        axes: `"own"` looks at each channel along its own axis: more red gives
            no less red. `"all"` looks at every channel along every axis, as
            Zeng et al. do: more red gives no less green either, which a grade
            that raises the saturation does not keep to. Defaults to `"own"`.

    Call arguments:
        x: The table, shaped `(size, channels)` or `(reds, greens, blues,
            channels)`, with values in (0, 1).

    Returns:
        A scalar, the factor times the sum over the axes of the mean falls.

    Raises:
        ValueError: If the factor is no such number, or the axes others.

    Example:

    >>> import keras
    >>> from keras_perceptual import TableMonotonicity
    >>> falling = keras.ops.convert_to_tensor([[1.0], [0.75], [0.0]])
    >>> float(TableMonotonicity(2.0)(falling))
    1.0

    Reference:
        [Zeng et al., 2020](https://arxiv.org/abs/2009.14468), with a factor of
        10 and all axes.
    """

    def __init__(
        self, factor: float = 10.0, *, axes: TableAxes = "own"
    ) -> None:
        check = Checker(self)
        self.factor = check.number("factor", factor, minimum=0)
        self.axes = check.choice("axes", axes, AXES)

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the cost of a table."""
        return self.factor * descent(x, self.axes)
