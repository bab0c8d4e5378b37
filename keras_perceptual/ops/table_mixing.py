"""Color tables mixed from others, for each image in its own shares."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_perceptual.typing import Tensor


def mix_tables(tables: Sequence[Any], weights: Tensor) -> Tensor:
    """Returns a table for each image, a weighted sum of the same tables.

    Each product is taken entry by entry, not by a matrix product, which some
    accelerators compute in less than single precision.

    Args:
        tables: List of floating-point tensors of one shape.
        weights: Tensor of shape `(batch, len(tables))`, how much of each table
            goes into that of each image.

    Returns:
        A tensor of shape `(batch, ...)`, the shape of a table at the end.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.table_mixing import mix_tables
    >>> curves = keras.ops.convert_to_tensor([[0.0, 0.5, 1.0], [1.0, 0.0, 0.0]])
    >>> weights = keras.ops.convert_to_tensor([[1.0, 0.0], [0.5, 0.25]])
    >>> keras.ops.convert_to_numpy(mix_tables(list(curves), weights)).tolist()
    [[0.0, 0.5, 1.0], [0.25, 0.25, 0.5]]
    """
    total = 0.0
    for place, table in enumerate(tables):
        share = ops.reshape(
            weights[:, place], (-1, *(1 for _ in tuple(table.shape)))
        )
        total += share * ops.convert_to_tensor(table)
    return total
