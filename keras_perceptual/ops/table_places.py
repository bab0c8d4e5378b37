"""Which entries of a cube a color is blended from, and in what shares.

Cells are counted so that both ends belong to a cell, and the slope there is
that of the cell, on every backend.
"""

import dataclasses
import itertools
import typing
from collections.abc import Callable, Iterator, Sequence

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.value_range import clamp
from keras_perceptual.typing import (
    Extrapolation,
    Interpolation,
    Tensor,
    ValueRange,
)


class Places(typing.NamedTuple):
    """Where colors of shape `(...)` are read in a table.

    Attributes:
        indices: List of integer tensors `(...)`, the entries of each color.
        fractions: List of three tensors `(...)`, how far into its cell each
            color lies along each axis.
        weights: Function that returns a list of tensors `(...)`, the shares
            of the entries. They sum to 1.
        blend: Function of the list of entries, each shaped `(..., width)`,
            that returns their blend. It is the sum of entries times weights,
            computed so that far outside the table rounding stays small.
        slopes: Function of a list of tensors `(...)`, a value for each entry,
            that returns the derivative of the sum of values times weights by
            each of the fractions.
    """

    indices: list[Tensor]
    fractions: list[Tensor]
    weights: Callable[[], list[Tensor]]
    blend: Callable[[list[Tensor]], Tensor]
    slopes: Callable[[list[Tensor]], list[Tensor]]


def locate(
    x: Tensor,
    size: int,
    value_range: ValueRange = (0.0, 1.0),
    extrapolate: Extrapolation = "linear",
) -> tuple[Tensor, Tensor]:
    """Returns the cell that each value lies in, and how far into it.

    The cells are 0 to `size - 2`, whatever the value, so that an index never
    points outside the table. NaN lies in any of them, and its place there is
    NaN; an infinite place is infinite.

    Args:
        x: Tensor.
        size: Integer, the number of entries.
        value_range: Pair of floats, the values of the first and last entry.
        extrapolate: `"linear"`, or `"clamp"` to move values to the ends of
            the range first.

    Returns:
        Two tensors shaped as `x`, integers and floats.
    """
    low, high = value_range
    # Subtracted first: the lower end is then exactly zero.
    position = (x - low if low else x) * ((size - 1) / (high - low))
    if extrapolate == "clamp":
        position = clamp(position, 0.0, size - 1.0)
    cell = ops.clip(ops.stop_gradient(position), 0.0, size - 2.0)
    # Once more as integers: what NaN becomes is not said anywhere.
    cell = ops.clip(ops.cast(cell, "int32"), 0, size - 2)
    return cell, position - ops.cast(cell, position.dtype)


def nearest(
    x: Tensor, size: int, value_range: ValueRange = (0.0, 1.0)
) -> Tensor:
    """Returns the entry nearest to each value, of two the upper one."""
    low, high = value_range
    position = (x - low) * ((size - 1) / (high - low)) + 0.5
    position = ops.clip(ops.floor(position), 0.0, size - 1.0)
    # Once more as integers: what NaN becomes is not said anywhere.
    return ops.clip(ops.cast(position, "int32"), 0, size - 1)


def strides(sizes: Sequence[int]) -> tuple[int, int, int]:
    """Returns how many entries apart neighbors are, along each edge."""
    return sizes[1] * sizes[2], sizes[2], 1


@dataclasses.dataclass(frozen=True)
class CubePlaces:
    """A function of colors `(..., 3)` that returns where a cube is read.

    Attributes:
        sizes: Tuple, the number of entries along each edge.
        interpolation: `"linear"`, for eight entries, or `"tetrahedral"`, for
            four.
        value_range: Pair of floats, as for `locate`.
        extrapolate: `"linear"` or `"clamp"`, as for `locate`.
    """

    sizes: tuple[int, ...]
    interpolation: Interpolation
    value_range: tuple[float, float] = (0.0, 1.0)
    extrapolate: Extrapolation = "linear"

    def __call__(self, colors: Tensor) -> Places:
        """Returns the `Places` of the colors."""
        return self.of_channels([colors[..., i] for i in range(3)])

    def of_channels(self, channels: Sequence[Tensor]) -> Places:
        """Returns the `Places` of colors given as three tensors `(...)`."""
        found = [
            locate(channel, size, self.value_range, self.extrapolate)
            for channel, size in zip(channels, self.sizes, strict=True)
        ]
        fractions = [fraction for _, fraction in found]
        steps = strides(self.sizes)
        corner = sum(
            cell * step for (cell, _), step in zip(found, steps, strict=True)
        )
        if self.interpolation == "linear":
            return _trilinear(corner, fractions, steps)
        return _tetrahedral(corner, fractions, steps)


def _trilinear(
    corner: Tensor, fractions: list[Tensor], steps: tuple[int, int, int]
) -> Places:
    """All eight corners of the cell, by the opposite volumes."""
    indices = [corner]
    for step in steps:
        indices = [j for i in indices for j in (i, i + step)]

    def weights() -> list[Tensor]:
        """The volumes."""
        shares = [1.0]
        for fraction in fractions:
            shares = [
                share * part
                for share in shares
                for part in (1 - fraction, fraction)
            ]
        return shares

    def blend(rows: list[Tensor]) -> Tensor:
        """One axis after the other."""
        for fraction in fractions:
            rows = _mix(rows, ops.expand_dims(fraction, -1))
        return rows[0]

    def slopes(values: list[Tensor]) -> list[Tensor]:
        """The differences along an axis, mixed along the others."""
        found: list[list[Tensor]] = []
        for fraction in fractions:
            found = [_mix(differences, fraction) for differences in found]
            found.append([high - low for low, high in _halves(values)])
            values = _mix(values, fraction)
        return [differences[0] for differences in found]

    return Places(indices, fractions, weights, blend, slopes)


def _halves(values: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Returns pairs of what lies on the two sides of the first axis."""
    half = len(values) // 2
    return zip(values[:half], values[half:], strict=True)


def _mix(values: list[Tensor], fraction: Tensor) -> list[Tensor]:
    """Returns half as many values, mixed along the first axis."""
    return [low + fraction * (high - low) for low, high in _halves(values)]


def _tetrahedral(
    corner: Tensor, fractions: list[Tensor], steps: tuple[int, int, int]
) -> Places:
    """Four corners: the cell is cut along its gray diagonal.

    The way from the darkest corner to the brightest goes along the axis with
    the largest fraction first. Of equal fractions red goes before green, and
    green before blue: values agree, and slopes are those of that side.
    """
    r, g, b = fractions
    red, green, blue = steps
    choose = _backend.choose
    # Sort the three, along with the steps that they stand for.
    swap = r < g
    high, high_step = choose(swap, g, r), choose(swap, green, red)
    low, low_step = choose(swap, r, g), choose(swap, red, green)
    first_is_blue, last_is_blue = high < b, low >= b
    first = choose(first_is_blue, b, high)
    first_step = choose(first_is_blue, blue, high_step)
    last = choose(last_is_blue, b, low)
    last_step = choose(last_is_blue, blue, low_step)
    second = choose(first_is_blue, high, choose(last_is_blue, low, b))
    across = sum(steps)

    def blend(rows: list[Tensor]) -> Tensor:
        """One step of the way after the other."""
        result = rows[0]
        for share, before, after in zip(
            (first, second, last), rows[:-1], rows[1:], strict=True
        ):
            result = result + ops.expand_dims(share, -1) * (after - before)
        return result

    def slopes(values: list[Tensor]) -> list[Tensor]:
        """The differences along the way, given back to the axes."""
        of_first, of_second, of_last = (
            after - before for before, after in itertools.pairwise(values)
        )
        of_high = choose(first_is_blue, of_second, of_first)
        of_low = choose(last_is_blue, of_second, of_last)
        of_blue = choose(last_is_blue, of_last, of_second)
        return [
            choose(swap, of_low, of_high),
            choose(swap, of_high, of_low),
            choose(first_is_blue, of_first, of_blue),
        ]

    return Places(
        [corner]
        # Numbers of Python are as wide as the floats that Keras is set to.
        + [
            corner + ops.cast(step, corner.dtype)
            for step in (first_step, across - last_step, across)
        ],
        fractions,
        lambda: [1 - first, first - second, second - last, last],
        blend,
        slopes,
    )
