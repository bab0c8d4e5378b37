"""The nearest inverse of a cube that clips or folds, on NumPy alone.

What the cube makes is found exactly, in the tetrahedra that its colors span,
as in `cube_inverse`; of several places that become one color, any. For other
colors, the nearest that the cube makes is looked for: first among its entries,
which spread from neighbor to neighbor, then on the faces around the best.
"""

import itertools

import numpy as np

from keras_perceptual.io.cube_inverse import PATHS, corners, fill
from keras_perceptual.io.table_lookup import look_up_tetrahedral
from keras_perceptual.progress import track

# Below this share of a cube of its longest edge, a tetrahedron counts as flat.
FLAT = 1e-9
# How often the search moves on to the faces around a better entry.
MOST_MOVES = 6


def invert_to_nearest(
    cube: np.ndarray, size: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Returns a cube that undoes another as far as that is possible.

    Args:
        cube: Array of shape `(n, n, n, 3)`.
        size: Integer, the number of entries of the result along each edge.

    Returns:
        Pair of an array of shape `(size, size, size, 3)`, where in `cube` each
        color comes from, counted in entries from zero, or else the nearest
        color that it makes; and the pair of the colors that its first and
        last entry stand for.
    """
    cube = cube.astype("float64")
    low, high = cube.min(axis=(0, 1, 2)), cube.max(axis=(0, 1, 2))
    # Of a channel that is level, any width will do.
    width = np.where(high > low, high - low, 1.0)
    step = width / (size - 1)
    places = _inside((cube - low) / step, size)
    targets = np.moveaxis(np.indices((size,) * 3), 0, -1) * step
    missing = np.isnan(places[..., 0])
    if missing.any():
        seeds = _spread(places, cube - low, targets, step)
        places[missing] = _refine(cube - low, seeds[missing], targets[missing])
    return places, (low, low + width)


def _inside(colors: np.ndarray, size: int) -> np.ndarray:
    """Returns where the entries come from that lie in some tetrahedron."""
    found = np.full((size**3, 3), np.nan)
    places = np.moveaxis(np.indices(colors.shape[:3], "float64"), 0, -1)
    for slab in track(range(len(colors) - 1)):
        for path in PATHS:
            ends = corners(colors, path, slab)
            edges = ends[:, 1:] - ends[:, :1]
            longest = abs(edges).max(axis=(1, 2))
            is_solid = abs(np.linalg.det(edges)) > FLAT * longest**3
            starts = corners(places, path, slab)
            fill(found, starts[is_solid], ends[is_solid], size, colors, False)
    return found.reshape(size, size, size, 3)


def _spread(
    found: np.ndarray, cube: np.ndarray, targets: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Returns a place for each target, whose color is about the nearest.

    Each target takes over what its neighbors have if that is nearer, of those
    that are far first: jump flooding.
    """
    size = len(targets)
    distance = np.full(targets.shape[:3], np.inf)
    colors, places = np.zeros_like(targets), np.zeros_like(targets)
    # Entries, and halfway between them.
    grid = np.moveaxis(np.indices([2 * len(cube) - 1] * 3) / 2, 0, -1)
    grid = grid.reshape(-1, 3)
    entries = look_up_tetrahedral(grid, cube)
    at = np.clip(np.rint(entries / step), 0, size - 1).astype(int)
    away = ((entries - targets[tuple(at.T)]) ** 2).sum(axis=-1)
    # The nearest last, which stays of several in one place.
    order = np.argsort(-away, kind="stable")
    index = tuple(at[order].T)
    distance[index], colors[index] = away[order], entries[order]
    places[index] = grid[order]
    known = ~np.isnan(found[..., 0])
    distance[known], colors[known] = 0, targets[known]
    places[known] = found[known]
    jumps = [2**k for k in range((size - 1).bit_length())][::-1]
    for jump in track([*jumps, 1]):
        for way in itertools.product((-jump, 0, jump), repeat=3):
            here = tuple(slice(max(0, -w), size - max(0, w)) for w in way)
            there = tuple(slice(max(0, w), size - max(0, -w)) for w in way)
            away = ((colors[there] - targets[here]) ** 2).sum(axis=-1)
            is_nearer = (away < distance[here]) & np.isfinite(distance[there])
            for values, new in (
                (distance, away),
                (colors, colors[there]),
                (places, places[there]),
            ):
                values[here][is_nearer] = new[is_nearer]
    return places


def _refine(
    cube: np.ndarray, seeds: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Returns the places of the nearest colors on the faces around entries."""
    last = len(cube) - 1
    base = np.clip(np.rint(seeds), 0, last).astype(int)
    places = base.astype("float64")
    distance = ((cube[tuple(base.T)] - targets) ** 2).sum(axis=-1)
    moving = np.arange(len(base))
    for _ in track(range(MOST_MOVES)):
        for offset in itertools.product((-1, 0), repeat=3):
            cells = base[moving] + offset
            inside = ((cells >= 0) & (cells < last)).all(axis=-1)
            rows, cells = moving[inside], cells[inside]
            for path in PATHS:
                steps = np.zeros((4, 3), int)
                steps[1:] = np.cumsum(np.eye(3, dtype=int)[[*path]], axis=0)
                starts = cells[:, None] + steps
                ends = cube[tuple(np.moveaxis(starts, -1, 0))]
                away, weights = _project(ends, targets[rows])
                better = away < distance[rows]
                changed = rows[better]
                distance[changed] = away[better]
                places[changed] = np.einsum(
                    "pk,pki->pi", weights[better], starts[better]
                )
        new = np.rint(places[moving]).astype(int)
        moved = (new != base[moving]).any(axis=-1)
        moving, new = moving[moved], new[moved]
        base[moving] = new
        if not len(moving):
            break
    return places


def _project(
    corners: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest points to targets on the faces of tetrahedra.

    Args:
        corners: Array of shape `(tetrahedra, 4, 3)`.
        targets: Array of shape `(tetrahedra, 3)`.

    Returns:
        Pair of arrays: the squares of the distances, and the weights of the
        corners, `(tetrahedra, 4)`.
    """
    best = np.full(len(corners), np.inf)
    weights = np.zeros(corners.shape[:2])

    def take(parts: dict[int, np.ndarray], valid: np.ndarray) -> None:
        point = sum(w[:, None] * corners[:, k] for k, w in parts.items())
        away = ((point - targets) ** 2).sum(axis=-1)
        better = valid & (away < best)
        best[better] = away[better]
        weights[better] = 0
        for k, w in parts.items():
            weights[better, k] = w[better]

    everywhere = np.ones(len(corners), bool)
    for a, b in itertools.combinations(range(4), 2):
        edge, rest = corners[:, b] - corners[:, a], targets - corners[:, a]
        length = (edge**2).sum(axis=-1)
        share = (edge * rest).sum(axis=-1) / np.where(length > 0, length, 1)
        share = share.clip(0, 1)
        take({a: 1 - share, b: share}, everywhere)
    for a, b, c in itertools.combinations(range(4), 3):
        one, other = (corners[:, k] - corners[:, a] for k in (b, c))
        rest = targets - corners[:, a]
        g11, g12, g22, d1, d2 = (
            (x * y).sum(axis=-1)
            for x, y in (
                (one, one),
                (one, other),
                (other, other),
                (one, rest),
                (other, rest),
            )
        )
        area = g11 * g22 - g12**2
        is_flat = area <= FLAT * g11 * g22
        area = np.where(is_flat, 1, area)
        first = (g22 * d1 - g12 * d2) / area
        second = (g11 * d2 - g12 * d1) / area
        inside = ~is_flat & (np.minimum(first, second) >= 0)
        inside &= first + second <= 1
        take({a: 1 - first - second, b: first, c: second}, inside)
    return best, weights
