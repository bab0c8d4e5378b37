"""How smooth a color table is, and whether it rises.

Tables are shaped `(size, channels)` for curves or `(reds, greens, blues,
channels)` for a cube.
"""

from keras import ops

from keras_perceptual.ops.image_gradients import crop
from keras_perceptual.typing import TableAxes, Tensor

AXES = ("own", "all")


def table_axes(table: Tensor) -> tuple[int, ...]:
    """Returns the axes along which a table has entries."""
    return tuple(range(len(table.shape) - 1))


def roughness(table: Tensor, order: int = 1) -> Tensor:
    """Returns how much a table varies from entry to entry.

    Args:
        table: Floating-point tensor, curves or a cube.
        order: 1 for the squares of the steps between neighbors, of which the
            first and the last along an axis count twice; 2 for the squares of
            the changes of these steps, which are zero where a table is
            straight.

    Returns:
        A scalar: the sum over the axes of the means.
    """
    total = 0.0
    for axis in table_axes(table):
        steps = _steps(table, axis)
        if order == 1:
            last = steps.shape[axis] - 1
            count = ops.size(steps)
            ends = crop(steps, axis, 0, last), crop(steps, axis, last, 0)
            # Of a single step both ends are the same one.
            extra = sum(ops.sum(ops.square(x)) for x in ends[: 1 + bool(last)])
            total += (ops.sum(ops.square(steps)) + extra) / ops.cast(
                count, steps.dtype
            )
        else:
            changes = ops.square(_steps(steps, axis))
            # Two entries have none, and a mean of none is NaN.
            average = ops.mean if steps.shape[axis] > 1 else ops.sum
            total += average(changes)
    return total


def descent(table: Tensor, axes: TableAxes = "own") -> Tensor:
    """Returns how far a table falls where it should rise.

    Args:
        table: Floating-point tensor, curves or a cube.
        axes: `"own"` looks at each channel along its own axis, the reds along
            red, `"all"` at every channel along every axis.

    Returns:
        A scalar: the sum over the axes of the means of the falls.
    """
    total = 0.0
    for axis in table_axes(table):
        x = table
        if axes == "own" and len(table.shape) == 4:
            x = table[..., axis : axis + 1]
        total += ops.mean(ops.relu(-_steps(x, axis)))
    return total


def make_monotonic(table: Tensor, axes: TableAxes = "own") -> Tensor:
    """Returns a table that never falls, and one that does not as it is.

    It lies halfway between the least such table above and the largest one
    below.

    Args:
        table: Floating-point tensor, curves or a cube.
        axes: `"own"` for each channel along its own axis, the reds along red,
            `"all"` for every channel along every axis.

    Returns:
        Tensor shaped as `table`.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.table_shape import make_monotonic
    >>> curve = keras.ops.convert_to_tensor([[0.0], [0.6], [0.4], [1.0]])
    >>> found = keras.ops.convert_to_numpy(make_monotonic(curve))
    >>> found[:, 0].tolist()
    [0.0, 0.5, 0.5, 1.0]
    """
    if axes == "own" and len(table.shape) == 4:
        channels = [
            _between(table[..., axis : axis + 1], (axis,))
            for axis in table_axes(table)
        ]
        return ops.concatenate(channels, axis=-1)
    return _between(table, table_axes(table))


def _between(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    above, below = x, x
    for axis in axes:
        # Each round looks twice as far as the one before.
        reach = 1
        while reach < x.shape[axis]:
            above = ops.concatenate(
                [
                    crop(above, axis, 0, x.shape[axis] - reach),
                    ops.maximum(
                        crop(above, axis, reach, 0),
                        crop(above, axis, 0, reach),
                    ),
                ],
                axis=axis,
            )
            below = ops.concatenate(
                [
                    ops.minimum(
                        crop(below, axis, reach, 0),
                        crop(below, axis, 0, reach),
                    ),
                    crop(below, axis, x.shape[axis] - reach, 0),
                ],
                axis=axis,
            )
            reach *= 2
    # Halves of neighbors are as far apart as neighbors: nothing falls by
    # rounding.
    return 0.5 * above + 0.5 * below


def _steps(x: Tensor, axis: int) -> Tensor:
    """Returns the steps from each entry to the next."""
    return crop(x, axis, 1, 0) - crop(x, axis, 0, 1)
