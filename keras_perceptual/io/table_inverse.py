"""Color tables the other way round, on NumPy alone."""

import warnings

import numpy as np

from keras_perceptual.io.color_table import ColorTable, check_table
from keras_perceptual.io.cube_inverse import invert_cube
from keras_perceptual.io.cube_nearest import invert_to_nearest
from keras_perceptual.io.table_operations import (
    apply_table,
    check_size,
    compose_tables,
    entries_of,
    places_of,
    shaper_of,
)


def invert_table(
    table: ColorTable, *, size: int | None = None, nearest: bool = False
) -> ColorTable:
    """Returns a table that undoes another.

    Args:
        table: `ColorTable` of curves, each of which rises all the way, or
            falls, or of a cube that makes another color of every color, or
            of both.
        size: Integer, how many entries the result has, along each edge if it
            is a cube. Defaults to `None`: 4096 for curves, and as many as it
            has for a cube.
        nearest: Boolean, whether any table is inverted, as well as it can be:
            of several colors that become one, the result has one of them, and
            what the table does not make comes from the nearest color that it
            does. A warning says how many entries do not come back. For
            photographs whose look clips or folds, as most do. Defaults to
            `False`.

    Returns:
        A `ColorTable`, of curves if the other has curves alone, else of a
        cube. Its domain is what the other returns: from the lowest red, green
        and blue to the highest. At its entries it is exact, for a cube that is
        read with `interpolation="tetrahedral"`; between them it is straight,
        where the inverse may have a kink. What a cube does not make comes from
        up to two of its cells outside of its domain, further off from where
        its neighbors come from; with `nearest=True`, from inside of it.

    Raises:
        ValueError: If the size is none; and, without `nearest`, if a curve has
            a level part or turns, or if the cube makes one color of several.
        TypeError: If `table` is no `ColorTable`.

    Example:

    >>> from keras_perceptual.io import ColorTable, apply_table, invert_table
    >>> table = ColorTable(curves=[[0, 0, 0], [0.25, 0.5, 1], [1, 1, 4]])
    >>> inverse = invert_table(table)
    >>> apply_table(inverse, [0.25, 0.5, 1.0]).round(3).tolist()
    [0.5, 0.5, 0.5]

    Reference:
        - The entries of a cube are those of OpenColorIO's exact inverse,
          `INTERP_TETRAHEDRAL` with `TRANSFORM_DIR_INVERSE`.
    """
    owner = "invert_table"
    check_table(owner, table)
    if table.cube is None:
        size = 4096 if size is None else size
        size = check_size(owner, table, "curves", size)
        inverse = (_nearest_curves if nearest else _invert_curves)(
            owner, table, size
        )
    else:
        size = len(table.cube) if size is None else size
        size = check_size(owner, table, "cube", size)
        # First, as it costs nothing to find out that they cannot be undone.
        curves = None
        if table.curves is not None:
            curves = invert_table(shaper_of(table), nearest=nearest)
        invert = invert_to_nearest if nearest else invert_cube
        places, domain = invert(table.cube, size)
        low, high = np.array(table.cube_domain)
        colors = low + places * ((high - low) / (len(table.cube) - 1))
        inverse = ColorTable(cube=colors, cube_domain=domain)
    if nearest:
        _report(owner, table, inverse)
    if table.cube is None or curves is None:
        return inverse
    return compose_tables(inverse, curves)


def _report(owner: str, table: ColorTable, inverse: ColorTable) -> None:
    """Warns about entries that an inverse does not bring back."""
    name = "curves" if table.cube is None else "cube"
    entries = entries_of(table, name)
    low, high = np.array(getattr(table, f"{name}_domain"))
    again = apply_table(
        inverse, entries.astype("float64"), interpolation="tetrahedral"
    )
    step = (high - low) / (len(entries) - 1)
    lost = (abs(again - places_of(table, name)) > step).any(axis=-1)
    if lost.any():
        warnings.warn(
            f"{owner} cannot bring {lost.sum()} of the {lost.size} entries of "
            f"the {name} back to within one entry: others become the same "
            "color, or one next to it. Received: "
            f"{table!r}, nearest=True",
            stacklevel=3,
        )


def _invert_curves(owner: str, table: ColorTable, size: int) -> ColorTable:
    """Returns curves that undo others."""
    curves = entries_of(table, "curves").astype("float64")
    steps = np.diff(curves, axis=0)
    turns = ~(np.all(steps > 0, axis=0) | np.all(steps < 0, axis=0))
    if turns.any():
        names = np.array(["red", "green", "blue"])[turns]
        raise ValueError(
            f"{owner} needs curves that rise all the way, or fall all the way: "
            "a level part has no single value to go back to. Give it a slight "
            "slope, for example by adding `1e-4 * numpy.linspace(0, 1, size)`, "
            "or pass `nearest=True`. "
            f"Received: a curve that does not, for {' and '.join(names)}"
        )
    ends = np.sort(curves[[0, -1]], axis=0)
    low, high = table.curves_domain
    entries = np.linspace(low, high, len(curves))
    wanted = np.linspace(ends[0], ends[1], size)
    found = np.empty((size, 3))
    for c in range(3):
        rising = slice(None, None, 1 if steps[0, c] > 0 else -1)
        found[:, c] = np.interp(
            wanted[:, c], curves[rising, c], entries[rising, c]
        )
    return ColorTable(curves=found, curves_domain=ends)


def _nearest_curves(owner: str, table: ColorTable, size: int) -> ColorTable:
    """Returns curves that undo others as far as that is possible."""
    curves = entries_of(table, "curves").astype("float64")
    low, high = curves.min(axis=0), curves.max(axis=0)
    # Of a curve that is level, any width will do.
    high = np.where(high > low, high, low + 1)
    wanted = np.linspace(low, high, size)
    first, last = table.curves_domain
    entries = np.linspace(first, last, len(curves))
    found = np.empty((size, 3))
    for c in range(3):
        way = _way_up(curves[:, c])
        values = np.maximum.accumulate(curves[way, c])
        # Of each value the first place.
        values, at = np.unique(values, return_index=True)
        found[:, c] = np.interp(wanted[:, c], values, entries[way[at], c])
    return ColorTable(curves=found, curves_domain=np.stack([low, high]))


def _way_up(curve: np.ndarray) -> np.ndarray:
    """Returns places from where a curve is lowest to where it is highest.

    In between it takes all of its values. Where it is level at an end, the
    inner end of that counts.
    """
    lowest, highest = curve.argmin(), curve.argmax()
    before = np.flatnonzero(curve[:highest] == curve.min())
    if len(before):
        return np.arange(before[-1], highest + 1)
    before = np.flatnonzero(curve[: lowest + 1] == curve.max())
    return np.arange(lowest, before[-1] - 1, -1)
