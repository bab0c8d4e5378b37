"""A cube of colors the other way round, on NumPy alone.

Read along tetrahedra, a cube is straight inside each of them. So is its inverse
between the four colors that the corners become: what is to be found is the
tetrahedron that a color lies in. Where none is flat or turned over, and no two
lie in the same place, there is just one for each color that the cube makes.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_perceptual.progress import track

# How many pairs of a tetrahedron and an entry are looked at together.
PART = 2**19
# As a share of a tetrahedron, by how much a color may lie beside it.
MARGIN = 1e-7
# Cells by which the cube is led on beyond its ends, in a straight line.
BEYOND = 2
# The ways from the darkest corner of a cell to the brightest, along its edges.
PATHS = tuple(itertools.permutations(range(3)))


def invert_cube(
    cube: np.ndarray, size: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Returns a cube that undoes another, and the domain of it.

    Args:
        cube: Array of shape `(n, n, n, 3)`.
        size: Integer, the number of entries of the result along each edge.

    Returns:
        Pair of an array of shape `(size, size, size, 3)`, where in `cube` each
        color comes from, counted in entries from zero, and the pair of the
        colors that its first and last entry stand for. Those are the lowest
        and the highest that `cube` makes. What it does not make in between
        comes from beyond its ends, or from where its neighbors come from.

    Raises:
        ValueError: If two colors become one, or if no entry of the result is
            a color that the cube makes.
    """
    cube = cube.astype("float64")
    low, high = cube.min(axis=(0, 1, 2)), cube.max(axis=(0, 1, 2))
    if not np.all(low < high):
        raise _mistake(cube, (0, 0, 0))
    # A color is from now on where it lies among the entries of the result.
    colors = _led_on((cube - low) / (high - low) * (size - 1))
    places = np.indices(cube.shape[:3], dtype="float64")
    places = _led_on(np.moveaxis(places, 0, -1))
    found = np.full((size**3, 3), np.nan)
    sign = None
    for is_inside, slab in track(
        list(itertools.product((True, False), range(len(colors) - 1)))
    ):
        chosen = _is_inside(len(colors) - 1, slab) == is_inside
        for path in PATHS:
            ends = corners(colors, path, slab)[chosen]
            starts = corners(places, path, slab)[chosen]
            if not len(ends):
                continue
            edges = ends[:, 1:] - ends[:, :1]
            turned = np.linalg.det(edges) * np.linalg.det(np.eye(3)[[*path]])
            sign = sign or np.sign(turned[0])
            is_right = turned * sign > 0
            if is_inside and not is_right.all():
                raise _mistake(cube, starts[~is_right][0, 0])
            fill(found, starts[is_right], ends[is_right], size, cube, is_inside)
    found = _spread(found.reshape(size, size, size, 3))
    return found, (low, high)


def _led_on(cube: np.ndarray) -> np.ndarray:
    """Returns a cube with one more entry at each end, in a straight line."""
    for axis in range(3):
        x = np.moveaxis(cube, axis, 0)
        first = x[0] + BEYOND * (x[0] - x[1])
        last = x[-1] + BEYOND * (x[-1] - x[-2])
        x = np.concatenate([first[None], x, last[None]])
        cube = np.moveaxis(x, 0, axis)
    return cube


def _is_inside(cells: int, slab: int) -> np.ndarray:
    """Returns which cells of a slab are not at the ends, in one row."""
    inside = np.zeros((cells, cells), bool)
    inside[1:-1, 1:-1] = 0 < slab < cells - 1
    return inside.reshape(-1)


def corners(cube: np.ndarray, path: Sequence[int], slab: int) -> np.ndarray:
    """Returns the corners of a tetrahedron of each cell, `(cells, 4, 3)`."""
    cells = len(cube) - 1
    steps = np.zeros((4, 3), int)
    steps[1:] = np.cumsum(np.eye(3, dtype=int)[[*path]], axis=0)
    corners = [
        cube[slab + r, g : g + cells, b : b + cells] for r, g, b in steps
    ]
    return np.stack(corners, axis=-2).reshape(-1, 4, 3)


def fill(
    found: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    size: int,
    cube: np.ndarray,
    is_inside: bool,
) -> None:
    """Writes where the entries come from that lie in some tetrahedra.

    Args:
        found: Array of shape `(size ** 3, 3)`, NaN where nothing is known yet.
        starts: Array of shape `(tetrahedra, 4, 3)`, their corners in `cube`.
        ends: Array of the same shape, their corners in the result.
        size: Integer, the number of entries along each edge.
        cube: What is inverted.
        is_inside: Boolean, whether these may not contradict what is known,
            and replace it otherwise; else they only add to it.
    """
    inverse = np.linalg.inv(ends[:, 1:] - ends[:, :1])
    first = np.ceil(ends.min(axis=1) - MARGIN).clip(0)
    last = np.floor(ends.max(axis=1) + MARGIN).clip(max=size - 1)
    shapes = (last - first + 1).clip(0).astype(int)
    counts = shapes.prod(axis=1)
    totals = np.cumsum(counts)
    for begin in range(0, totals[-1] if len(totals) else 0, PART):
        pair = np.arange(begin, min(begin + PART, totals[-1]))
        which = np.searchsorted(totals, pair, side="right")
        rest = pair - (totals - counts)[which]
        entries = np.empty((len(pair), 3))
        for axis in (2, 1, 0):
            rest, entries[:, axis] = np.divmod(rest, shapes[which, axis])
        entries += first[which]
        # Of one that is next to flat, the inverse may be infinite.
        with np.errstate(invalid="ignore", over="ignore"):
            shares = np.einsum(
                "pi,pij->pj", entries - ends[which, 0], inverse[which]
            )
            hits = (shares > -MARGIN).all(axis=1)
            hits &= shares.sum(axis=1) < 1 + MARGIN
        which, shares = which[hits], shares[hits]
        edges = starts[which, 1:] - starts[which, :1]
        places = starts[which, 0] + np.einsum("pi,pij->pj", shares, edges)
        at = np.ravel_multi_index(entries[hits].astype(int).T, (size,) * 3)
        if is_inside:
            # Before and after, as an entry can be hit twice here as well.
            _check_agreement(found[at], places, cube)
        else:
            is_new = np.isnan(found[at, 0])
            at, places = at[is_new], places[is_new]
        found[at] = places
        if is_inside:
            _check_agreement(found[at], places, cube)


def _check_agreement(
    known: np.ndarray, places: np.ndarray, cube: np.ndarray
) -> None:
    """Refuses a color that comes from two places."""
    differ = (abs(known - places) > 1e-3).any(axis=1)
    if differ.any():
        raise _mistake(cube, places[differ][0])


def _spread(cube: np.ndarray) -> np.ndarray:
    """Fills in what is not known with the mean of what is next to it."""
    if np.isnan(cube).all():
        raise ValueError(
            "invert_table found none of the colors that the cube makes among "
            "the entries of the result. Pass a larger `size`. "
            f"Received: size={len(cube)}"
        )
    while np.isnan(cube).any():
        around = np.pad(cube, [(1, 1)] * 3 + [(0, 0)], constant_values=np.nan)
        total, count = np.zeros_like(cube), np.zeros(cube.shape)
        for axis in range(3):
            middle = [slice(1, -1)] * 3
            for middle[axis] in (slice(None, -2), slice(2, None)):
                near = around[tuple(middle)]
                total += np.nan_to_num(near)
                count += ~np.isnan(near)
        cube = np.where(
            np.isnan(cube) & (count > 0), total / count.clip(1), cube
        )
    return cube


def _mistake(cube: np.ndarray, place: Any) -> ValueError:
    """Returns the error about a cube that has no inverse."""
    near = [int(x) for x in np.clip(place, 0, len(cube) - 1)]
    return ValueError(
        "invert_table needs a cube that makes another color of every color. "
        "This one is level somewhere, turns back, or lies over itself. Pass "
        "`nearest=True` for the nearest colors. "
        f"Received: cube.shape={cube.shape}, where it happens at {near}"
    )
