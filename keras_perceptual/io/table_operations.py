"""What can be done with color tables, on NumPy alone."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from keras_perceptual.io import table_lookup
from keras_perceptual.io.color_table import (
    CUBE_SIZES,
    CURVE_SIZES,
    DEFAULT_DOMAIN,
    ColorTable,
    check_table,
)
from keras_perceptual.progress import track
from keras_perceptual.typing import ArrayLike, CubeInterpolation

# How many colors are looked up at a time.
PART = 2**15
INTERPOLATIONS = {
    "linear": table_lookup.look_up_trilinear,
    "tetrahedral": table_lookup.look_up_tetrahedral,
}


def apply_table(
    table: ColorTable,
    colors: ArrayLike,
    *,
    interpolation: CubeInterpolation = "linear",
) -> np.ndarray:
    """Returns colors as a table has them, computed by NumPy.

    For training, and for many images, take `keras_perceptual.LookupColorLayer`.

    Args:
        table: `ColorTable`.
        colors: Array of numbers of shape `(..., 3)`, red, green and blue, or
            what NumPy makes one of. What lies outside the domain counts as its
            end; images of 8 or 16 bits would be white, and are refused.
        interpolation: How a cube is read, `"linear"` (the eight entries around
            a color) or `"tetrahedral"` (four of them). Defaults to
            `"linear"`.

    Returns:
        An array shaped as `colors`, of its type, and float64 for integers. NaN
        stays NaN.

    Raises:
        ValueError: If the array has another shape or type, or if the
            interpolation is unknown.
        TypeError: If `table` is no `ColorTable`.

    Example:

    >>> from keras_perceptual.io import ColorTable, apply_table
    >>> table = ColorTable(curves=[[0, 0, 0], [1, 0.5, 1]])
    >>> apply_table(table, [0.25, 0.5, 2.0]).tolist()
    [0.25, 0.25, 1.0]
    """
    owner = "apply_table"
    check_table(owner, table)
    look_up = _check_interpolation(owner, interpolation)
    received = np.asarray(colors)
    if (
        received.dtype.kind not in "fiub"
        or received.shape[-1:] != (3,)
        or _is_image(received, table)
    ):
        raise ValueError(
            f"{owner} needs numbers in the domain of the table with red, green "
            "and blue last. Divide 8-bit images by 255, and take transparency "
            f"out. Received: colors of type {received.dtype} and shape "
            f"{received.shape}"
        )

    if received.dtype.kind != "f":
        received = received.astype("float64")

    def apply(colors: np.ndarray) -> np.ndarray:
        colors = colors.astype("float64")
        if table.curves is not None:
            places = table_lookup.to_places(
                colors, table.curves_domain, len(table.curves)
            )
            colors = table_lookup.look_up_curves(places, table.curves)
        if table.cube is not None:
            places = table_lookup.to_places(
                colors, table.cube_domain, len(table.cube)
            )
            colors = look_up(places, table.cube)
        return colors

    return _in_parts(apply, received)


def resize_table(
    table: ColorTable,
    *,
    curves: int | None = None,
    cube: int | None = None,
    interpolation: CubeInterpolation = "linear",
) -> ColorTable:
    """Returns a table with other numbers of entries.

    Args:
        table: `ColorTable`.
        curves: Integer, how many entries the curves are to have. Defaults to
            `None`, for as many as before.
        cube: Integer, how many the cube is to have along each edge. Defaults
            to `None`, for as many as before.
        interpolation: How the cube is read between its entries, `"linear"` or
            `"tetrahedral"`. Defaults to `"linear"`.

    Returns:
        A `ColorTable` with the same domains and title. Where a new entry lies
        on an old one, it is that one.

    Raises:
        ValueError: If a size is given for what the table does not have, or is
            none, or if the interpolation is unknown.
        TypeError: If `table` is no `ColorTable`.

    Example:

    >>> from keras_perceptual.io import ColorTable, resize_table
    >>> table = ColorTable(curves=[[0, 0, 0], [1, 0.5, 1]])
    >>> resize_table(table, curves=3).curves[:, 1].tolist()
    [0.0, 0.25, 0.5]
    """
    owner = "resize_table"
    check_table(owner, table)
    _check_interpolation(owner, interpolation)
    changed: dict[str, Any] = {}
    if curves is not None:
        size = check_size(owner, table, "curves", curves)
        entries = entries_of(table, "curves")
        places = np.linspace(0, len(entries) - 1, size)
        changed["curves"] = table_lookup.look_up_curves(
            np.stack([places] * 3, axis=-1), entries
        )
    if cube is not None:
        size = check_size(owner, table, "cube", cube)
        changed["cube"] = _resample(
            entries_of(table, "cube"), size, interpolation
        )
    return dataclasses.replace(table, **changed)


def blend_table(table: ColorTable, strength: float) -> ColorTable:
    """Returns a table that does less of what another does, or more.

    Args:
        table: `ColorTable`.
        strength: Float, how much of the change is left: 0 for none, 1 for the
            table itself, 0.5 for the colors halfway, 1.5 for half as much
            again, a negative number for the opposite.

    Returns:
        A `ColorTable` with the same domain and title. Where it has both
        tables, the curves stay, and the blend is exact at the entries of the
        cube.

    Raises:
        ValueError: If the strength is no finite number; or if there are curves
            before a cube that have a level part or turn, as what comes out of
            them does then not say what went in.
        TypeError: If `table` is no `ColorTable`.

    Example:

    >>> from keras_perceptual.io import ColorTable, blend_table
    >>> table = ColorTable(curves=[[0, 0, 0], [1, 0.5, 2]])
    >>> blend_table(table, 0.5).curves.tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.75, 1.5]]
    """
    owner = "blend_table"
    check_table(owner, table)
    if (
        isinstance(strength, bool)
        or not isinstance(strength, int | float | np.number)
        or not abs(strength) < np.inf
    ):
        raise ValueError(
            f"{owner} needs `strength` to be a finite number, mostly from 0 to "
            f"1. Received: strength={strength!r}"
        )
    name = "curves" if table.cube is None else "cube"
    before = places_of(table, name)
    if table.cube is not None and table.curves is not None:
        before = _before_curves(owner, table, before)
    entries = entries_of(table, name).astype("float64")
    blended = before + float(strength) * (entries - before)
    return dataclasses.replace(table, **{name: blended})


def _before_curves(
    owner: str, table: ColorTable, colors: np.ndarray
) -> np.ndarray:
    """Returns the colors that curves before a cube make some others of."""
    curves = entries_of(table, "curves").astype("float64")
    steps = np.diff(curves, axis=0)
    if not (np.all(steps > 0, axis=0) | np.all(steps < 0, axis=0)).all():
        raise ValueError(
            f"{owner} needs curves before a cube that rise all the way, or "
            "fall all the way. Sample both in one cube before, with "
            "`compose_tables(identity, table)` and a cube that changes "
            f"nothing. Received: {table!r}"
        )
    places = places_of(table, "curves")
    found = np.empty_like(colors)
    for c in range(3):
        way = slice(None, None, 1 if steps[0, c] > 0 else -1)
        found[..., c] = np.interp(
            colors[..., c], curves[way, c], places[way, c]
        )
    return found


def compose_tables(
    first: ColorTable,
    second: ColorTable,
    *,
    size: int | None = None,
    interpolation: CubeInterpolation = "linear",
) -> ColorTable:
    """Returns one table that does what two do, one after the other.

    Curves before a cube are kept as they are, and nothing is lost. Else what
    comes second is sampled: curves into curves, or everything into the cube
    of the first. The result is then exact at its entries.

    Args:
        first: `ColorTable`, what comes first.
        second: `ColorTable`, what comes second.
        size: Integer, how many entries what is sampled has. Defaults to
            `None`, for as many as the first table has there; of curves, as the
            one with more.
        interpolation: How cubes are read between their entries, `"linear"` or
            `"tetrahedral"`. Defaults to `"linear"`.

    Returns:
        A `ColorTable` without a title.

    Raises:
        ValueError: If the size or the interpolation is none.
        TypeError: If `first` or `second` is no `ColorTable`.

    Example:

    >>> from keras_perceptual.io import ColorTable, compose_tables
    >>> halve = ColorTable(curves=[[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> negative = ColorTable(curves=[[1, 1, 1], [0, 0, 0]])
    >>> compose_tables(halve, negative).curves.tolist()
    [[1.0, 1.0, 1.0], [0.5, 0.5, 0.5]]
    """
    owner = "compose_tables"
    check_table(owner, first)
    check_table(owner, second)
    _check_interpolation(owner, interpolation)
    name = "curves" if first.cube is None else "cube"
    if size is not None:
        size = check_size(owner, first, name, size)
    if first.cube is not None:
        table = resize_table(first, cube=size, interpolation=interpolation)
        cube = apply_table(
            second,
            entries_of(table, "cube").astype("float64"),
            interpolation=interpolation,
        )
        return dataclasses.replace(table, cube=cube, title="")
    table = first
    if second.curves is not None:
        if size is None:
            size = max(len(entries_of(first, "curves")), len(second.curves))
        table = resize_table(first, curves=size)
        curves = apply_table(
            shaper_of(second), entries_of(table, "curves").astype("float64")
        )
        table = dataclasses.replace(table, curves=curves)
    return dataclasses.replace(
        table, cube=second.cube, cube_domain=second.cube_domain, title=""
    )


def entries_of(table: ColorTable, name: str) -> np.ndarray:
    """Returns the curves or the cube of a table that has one."""
    return cast(np.ndarray, getattr(table, name))


def places_of(table: ColorTable, name: str) -> np.ndarray:
    """Returns the colors that the entries of a table stand for."""
    low, high = np.array(getattr(table, f"{name}_domain"))
    axes = np.linspace(low, high, len(entries_of(table, name)))
    if name == "curves":
        return axes
    return np.stack(np.meshgrid(*axes.T, indexing="ij"), axis=-1)


def _is_image(colors: np.ndarray, table: ColorTable) -> bool:
    """Tells whether integers are code values of an image, and no colors."""
    _, high = table.cube_domain if table.curves is None else table.curves_domain
    return colors.dtype.kind == "u" and bool((colors > high).any())


def shaper_of(table: ColorTable) -> ColorTable:
    """Returns the curves of a table alone."""
    return dataclasses.replace(table, cube=None, cube_domain=DEFAULT_DOMAIN)


def _resample(cube: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """Returns a cube of another size."""
    if interpolation == "linear":
        planes = table_lookup.resample_trilinear(cube, size)
        result = np.empty((size,) * 3 + (3,), "float32")
        for red, plane in enumerate(track(planes, size)):
            result[red] = plane
        return result
    places = [np.linspace(0, len(cube) - 1, size)] * 3
    return _in_parts(
        lambda places: INTERPOLATIONS[interpolation](places, cube),
        np.stack(np.meshgrid(*places, indexing="ij"), axis=-1),
    )


def _in_parts(
    function: Callable[[np.ndarray], np.ndarray], colors: np.ndarray
) -> np.ndarray:
    """Applies a function to some colors at a time, of whatever shape.

    That is faster than all at once, as the parts stay in the cache.
    """
    rows = colors.reshape(-1, 3)
    result = np.empty_like(rows)
    for start in track(range(0, len(rows), PART)):
        part = slice(start, start + PART)
        result[part] = function(rows[part])
    return result.reshape(colors.shape)


def _check_interpolation(
    owner: str, interpolation: str
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns the function that reads a cube in one way."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"{owner} needs `interpolation` to be one of "
            f"{list(INTERPOLATIONS)}. "
            f"Received: interpolation={interpolation!r}"
        )
    return INTERPOLATIONS[interpolation]


def check_size(owner: str, table: ColorTable, name: str, size: int) -> int:
    """Returns a number of entries for a part of a table."""
    if getattr(table, name) is None:
        raise ValueError(
            f"{owner} was given a size for `{name}`, and the table has none. "
            f"Leave it out. Received: {name}={size!r} for {table!r}"
        )
    low, high = {"curves": CURVE_SIZES, "cube": CUBE_SIZES}[name]
    is_integer = isinstance(size, int | np.integer)
    if not is_integer or isinstance(size, bool) or not low <= size <= high:
        raise ValueError(
            f"{owner} needs the size of the {name} to be a whole number from "
            f"{low} to {high}. Received: size={size!r}"
        )
    return int(size)
