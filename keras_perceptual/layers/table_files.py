"""What a layer of colour tables is to be, for a file, and the other way round.

A layer keeps its tables in (0, 1), a file in the numbers of its domain.
"""

from typing import Any

import numpy as np

from keras_perceptual.io.color_table import ColorTable
from keras_perceptual.typing import Domain


def from_color_table(
    owner: str, table: ColorTable
) -> tuple[dict[str, Any], np.ndarray, np.ndarray | None]:
    """Returns what a layer needs to be what a `ColorTable` says.

    Args:
        owner: Name of what asks, for messages.
        table: A `ColorTable`.

    Returns:
        Three: a dictionary of arguments, the entries of the table, and those
        of the shaper or `None`.
    """
    kind = "curves" if table.cube is None else "cube"
    entries, shaper = getattr(table, kind), None
    arguments: dict[str, Any] = {
        "size": len(entries),
        "dimensions": 1 if kind == "curves" else 3,
    }
    first = kind
    if table.curves is not None and kind == "cube":
        first = "curves"
        arguments["shaper_size"] = len(table.curves)
        shaper = _rescaled(table.curves, *_range(owner, table.cube_domain))
    low, high = _range(owner, getattr(table, f"{first}_domain"))
    arguments["value_range"] = low, high
    return arguments, _rescaled(entries, low, high), shaper


def to_color_table(
    owner: str,
    table: np.ndarray,
    shaper: np.ndarray | None,
    domain: tuple[float, float],
    title: str,
) -> ColorTable:
    """Returns a `ColorTable` of the tables of a layer.

    Args:
        owner: Name of what asks, for messages.
        table: NumPy array, `(size, 3)` or a cube.
        shaper: NumPy array `(size, 3)`, the curves before a cube, or `None`.
        domain: Pair of numbers, what (0, 1) is to be in the file.
        title: String.
    """
    low, high = domain
    if len(set(table.shape[:-1])) > 1:
        raise ValueError(
            f"{owner} writes cubes with edges of one size, as the format "
            "has it. Train a cube of one size to have a file. "
            f"Received: size={table.shape[:-1]}"
        )
    if (low, high) != (0.0, 1.0):
        table = table.astype("float64") * (high - low) + low
    both = ((low,) * 3, (high,) * 3)
    if table.ndim == 2:
        curves = np.broadcast_to(table, (len(table), 3))
        return ColorTable(curves=curves, curves_domain=both, title=title)
    if shaper is None:
        return ColorTable(cube=table, cube_domain=both, title=title)
    return ColorTable(
        curves=shaper, curves_domain=both, cube=table, title=title
    )


def _rescaled(entries: np.ndarray, low: float, high: float) -> np.ndarray:
    if (low, high) == (0.0, 1.0):
        return entries
    return (entries.astype("float64") - low) / (high - low)


def _range(owner: str, domain: Domain) -> tuple[float, float]:
    """Returns the one range of all channels."""
    low, high = domain
    if len(set(low)) > 1 or len(set(high)) > 1:
        raise ValueError(
            f"{owner} makes a layer with one range for all channels, and the "
            "domain of the file differs between them. Sample the table again "
            "over one range. "
            f"Received: domain={domain}"
        )
    return low[0], high[0]
