"""What a layer of color tables is to be, for a file, and the other way round.

A layer keeps its tables in (0, 1), a file in the numbers of its domain. The
ends of the layer's `value_range` are the lowest and the highest number of the
domain in any channel.
"""

from typing import Any, cast

import numpy as np

from keras_perceptual.io.color_table import DEFAULT_DOMAIN, ColorTable
from keras_perceptual.typing import Domain


def from_color_table(
    table: ColorTable,
) -> tuple[dict[str, Any], np.ndarray, np.ndarray | None]:
    """Returns what a layer needs to be what a `ColorTable` says.

    Args:
        table: A `ColorTable`.

    Returns:
        Three: a dictionary of arguments, the entries of the table, and those
        of the shaper or `None`.
    """
    entries = cast(
        np.ndarray, table.curves if table.cube is None else table.cube
    )
    arguments: dict[str, Any] = {
        "size": len(entries),
        "dimensions": 1 if table.cube is None else 3,
    }
    shaper = None
    if table.cube is not None and table.curves is not None:
        arguments["shaper_size"] = len(table.curves)
        shaper = _divided(table.curves, *table.cube_domain)
    for name in ("curves_domain", "cube_domain"):
        domain = getattr(table, name)
        if domain != DEFAULT_DOMAIN:
            arguments[name] = domain
    first = table.cube_domain if table.curves is None else table.curves_domain
    low, high = arguments["value_range"] = covered(first)
    return arguments, _divided(entries, (low,) * 3, (high,) * 3), shaper


def to_color_table(
    owner: str,
    table: np.ndarray,
    shaper: np.ndarray | None,
    domains: tuple[Domain, Domain],
    title: str,
) -> ColorTable:
    """Returns a `ColorTable` of the tables of a layer.

    Args:
        owner: Name of what asks, for messages.
        table: NumPy array, `(size, 3)` or a cube.
        shaper: NumPy array `(size, 3)`, the curves before a cube, or `None`.
        domains: Two domains: of the colors that go in, and of those that go
            from a shaper into the cube.
        title: String.
    """
    if len(set(table.shape[:-1])) > 1:
        raise ValueError(
            f"{owner} writes cubes with edges of one size, as the format "
            "has it. Train a cube of one size to have a file. "
            f"Received: size={table.shape[:-1]}"
        )
    first, second = domains
    low, high = covered(first)
    table = _multiplied(table, (low,) * 3, (high,) * 3)
    if table.ndim == 2:
        curves = np.broadcast_to(table, (len(table), 3))
        return ColorTable(curves=curves, curves_domain=first, title=title)
    if shaper is None:
        return ColorTable(cube=table, cube_domain=first, title=title)
    return ColorTable(
        curves=_multiplied(shaper, *second),
        curves_domain=first,
        cube=table,
        cube_domain=second,
        title=title,
    )


def covered(domain: Domain) -> tuple[float, float]:
    """Returns the lowest and the highest number of a domain."""
    low, high = domain
    return min(low), max(high)


def moved(domain: Domain, ends: tuple[float, float]) -> Domain:
    """Returns a domain whose lowest and highest number are others."""
    (low, high), (first, last) = covered(domain), ends
    if (low, high) == (first, last):
        return domain
    scale = (last - first) / (high - low)

    def move(end: tuple[float, float, float]) -> tuple[float, float, float]:
        red, green, blue = (
            # The ends themselves are not rounded.
            {low: first, high: last}.get(x, first + (x - low) * scale)
            for x in end
        )
        return red, green, blue

    return move(domain[0]), move(domain[1])


def _divided(entries: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """Returns entries in numbers of a domain as such from 0 to 1."""
    if (low, high) == DEFAULT_DOMAIN:
        return entries
    low, high = np.array(low), np.array(high)
    return (entries.astype("float64") - low) / (high - low)


def _multiplied(entries: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """Returns entries from 0 to 1 in numbers of a domain."""
    if (low, high) == DEFAULT_DOMAIN:
        return entries
    low, high = np.array(low), np.array(high)
    return entries.astype("float64") * (high - low) + low
