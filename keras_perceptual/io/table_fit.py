"""The cube that makes one picture of another, on NumPy and SciPy.

What comes out of a cube is linear in its entries, so that the best of them
solve a linear system: the least squares of colors, and of how much the cube
bends. An equation reaches from an entry to its 26 neighbors at most.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_perceptual.io.color_table import CUBE_SIZES, ColorTable
from keras_perceptual.io.table_lookup import split_places
from keras_perceptual.io.table_operations import apply_table
from keras_perceptual.progress import track
from keras_perceptual.typing import ArrayLike

# Of larger pictures, so many pixels are taken, evenly spaced.
MOST_PIXELS = 2**22
# How many colors are weighed at a time.
PART = 2**16
# Steps of conjugate gradients, and the share of the error that ends them.
MOST_STEPS = 1000
TOLERANCE = 1e-7
# Of the cycle that leads there: the size of the smallest cube, and how often
# each is smoothed before and after.
COARSEST = 5
SMOOTHINGS = 2
CORNERS = tuple(itertools.product((0, 1), repeat=3))
KINDS = tuple(itertools.product((0, 1, 2), repeat=3))
WAYS = tuple(itertools.product((-1, 0, 1), repeat=3))


def fit_table(
    before: ArrayLike,
    after: ArrayLike,
    size: int = 33,
    smoothness: float = 1e-4,
) -> ColorTable:
    """Returns the cube that comes nearest to making one picture of another.

    The other may be a grade, the camera's own picture of the same pixels, or
    what a style transfer made. The result is that of training a
    `keras_perceptual.LookupColorLayer` of this size with the loss `"mse"` and
    `TableSmoothness(smoothness, order=2)`, computed within seconds. Where no
    colors are, the cube leads on what is next to it.

    Args:
        before: Array of shape `(..., 3)`, a picture or several: integers of 8
            or 16 bits, or floating-point numbers from 0 to 1. Of more than
            four million pixels, evenly spaced ones are taken.
        after: Array of the same shape and the same kind, what the colors are
            to become, pixel by pixel.
        size: Integer from 2 to 256, the number of entries along each edge.
            Defaults to 33.
        smoothness: Float of at least 0, what bends in the cube cost beside the
            mean squared error. Defaults to 1e-4.

    Returns:
        A `ColorTable` of a cube over colors from 0 to 1. Its title says the
        residual: the root of the mean squared error of the pixels, in numbers
        from 0 to 1.

    Raises:
        ValueError: If the pictures are none, are not alike, or hold numbers
            that are not finite; or if an argument is another.
        ImportError: If SciPy is not installed.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.io import fit_table
    >>> before = np.random.default_rng(0).random((64, 64, 3))
    >>> table = fit_table(before, 0.5 * before + 0.25, size=5)
    >>> table
    ColorTable(cube=(5, 5, 5, 3), title='Fitted with a residual of 0.00000')
    >>> table.cube[0, 0, 4].round(3).tolist()
    [0.25, 0.25, 0.75]

    Reference:
        - W. L. Briggs, V. E. Henson and S. F. McCormick, "A Multigrid
          Tutorial", 2000, for how the equations are solved.
    """
    owner = "fit_table"
    low, high = CUBE_SIZES
    is_integer = isinstance(size, int | np.integer)
    if not is_integer or isinstance(size, bool) or not low <= size <= high:
        raise ValueError(
            f"{owner} needs `size` to be a whole number from {low} to {high}. "
            f"Received: size={size!r}"
        )
    if (
        isinstance(smoothness, bool)
        or not isinstance(smoothness, int | float | np.number)
        or not 0 <= smoothness < np.inf
    ):
        raise ValueError(
            f"{owner} needs `smoothness` to be a finite number of at least 0. "
            f"Received: smoothness={smoothness!r}"
        )
    sources, targets = _check_pictures(owner, before, after)
    sparse = _import_sparse(owner)
    stencil, right = _weigh(sources, targets, size)
    matrix = _equations(sparse, stencil, smoothness)
    change = _solve(matrix, _Cycle(sparse, matrix, size), right.reshape(-1, 3))
    # What no equation says stays as it was.
    change[matrix.diagonal() <= 0] = 0
    axis = np.linspace(0, 1, size)
    identity = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    cube = identity + change.reshape(identity.shape)
    table = ColorTable(cube=cube)
    error = apply_table(table, sources) - targets
    residual = float(np.sqrt(np.mean(error**2)))
    return ColorTable(
        cube=cube, title=f"Fitted with a residual of {residual:.5f}"
    )


def _import_sparse(owner: str) -> Any:
    """Returns SciPy's module of sparse matrices, an optional dependency."""
    try:
        from scipy import sparse
    except ImportError as error:
        raise ImportError(
            f"{owner} solves its equations with SciPy, which is not installed. "
            "Install it with `pip install scipy`, or train a LookupColorLayer "
            "on the two pictures. Received: no module scipy"
        ) from error
    return sparse


def _check_pictures(
    owner: str, before: ArrayLike, after: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels of two pictures, `(pixels, 3)`, from 0 to 1."""
    pair = np.asarray(before), np.asarray(after)
    received = " and ".join(f"{x.dtype} {x.shape}" for x in pair)
    first, second = pair
    if (
        first.shape != second.shape
        or first.shape[-1:] != (3,)
        or not first.size
        or any(x.dtype.kind not in "fu" for x in pair)
        or (first.dtype.kind == "u" and first.dtype != second.dtype)
        or first.dtype.kind != second.dtype.kind
        or (first.dtype.kind == "u" and first.dtype.itemsize > 2)
    ):
        raise ValueError(
            f"{owner} needs two arrays of the same shape (..., 3), both of "
            "integers of 8 or 16 bits or both of floating-point numbers from 0 "
            "to 1. Convert them, and take transparency out. "
            f"Received: {received}"
        )
    white = np.iinfo(first.dtype).max if first.dtype.kind == "u" else 1
    pixels = [x.reshape(-1, 3) for x in pair]
    every = -(-len(pixels[0]) // MOST_PIXELS)
    pixels = [x[::every].astype("float64") / white for x in pixels]
    if not all(np.isfinite(x).all() for x in pixels):
        raise ValueError(
            f"{owner} needs colors that are finite. Take the pixels out that "
            f"are not. Received: {received} with NaN or infinity"
        )
    return pixels[0].clip(0, 1), pixels[1]


def _weigh(
    sources: np.ndarray, targets: np.ndarray, size: int
) -> tuple[dict[tuple[int, ...], np.ndarray], np.ndarray]:
    """Returns the equations of least squares for the change of the identity.

    Returns:
        Pair of a dictionary, from the way to a neighbor to what it counts in
        the equation of each entry, of shape `(size, size, size)`; and the
        right sides, `(size, size, size, 3)`.
    """
    cells = (size - 1,) * 3
    count = (size - 1) ** 3
    # Two weights multiply to one of three along each axis, in a cell.
    squares = {kinds: np.zeros(count) for kinds in KINDS}
    sums = {corner: np.zeros((3, count)) for corner in CORNERS}
    for start in track(range(0, len(sources), PART)):
        part = slice(start, start + PART)
        cell, share = split_places(sources[part] * (size - 1), size)
        change = (targets[part] - sources[part]).T
        at = np.ravel_multi_index(tuple(cell.T), cells)
        far = share.T
        near = 1 - far
        products = near * near, near * far, far * far
        for kinds, total in squares.items():
            x, y, z = (products[k][axis] for axis, k in enumerate(kinds))
            total += np.bincount(at, x * y * z, count)
        for corner, total in sums.items():
            x, y, z = ((near, far)[k][axis] for axis, k in enumerate(corner))
            weight = x * y * z
            for channel in range(3):
                total[channel] += np.bincount(
                    at, weight * change[channel], count
                )
    shape = (size,) * 3
    stencil = {way: np.zeros(shape) for way in WAYS}
    right = np.zeros((*shape, 3))
    for one in CORNERS:
        here = tuple(slice(k, size - 1 + k) for k in one)
        right[here] += np.moveaxis(sums[one].reshape(3, *cells), 0, -1)
        for other in CORNERS:
            way = tuple(b - a for a, b in zip(one, other, strict=True))
            kinds = tuple(a + b for a, b in zip(one, other, strict=True))
            stencil[way][here] += squares[kinds].reshape(cells)
    scaled = {way: weights / len(sources) for way, weights in stencil.items()}
    return scaled, right / len(sources)


def _equations(
    sparse: Any, stencil: dict[tuple[int, ...], np.ndarray], smoothness: float
) -> Any:
    """Returns the sparse matrix of colors and of what bends in a cube."""
    size = len(stencil[0, 0, 0])
    diagonals: dict[int, np.ndarray] = {}
    for way, weights in stencil.items():
        offset = (way[0] * size + way[1]) * size + way[2]
        # Columns count there; what goes round has no weight.
        rolled = np.roll(weights.ravel(), offset)
        diagonals[offset] = diagonals.get(offset, 0) + rolled
    total = sparse.dia_array(
        (np.array(list(diagonals.values())), list(diagonals)),
        shape=(size**3, size**3),
    ).tocsr()
    bends = np.diff(np.eye(size), n=2, axis=0)
    # The mean over all places, as `roughness` has it.
    bends = bends.T @ bends * (smoothness / max(1, size**2 * (size - 2)))
    for axis in range(3):
        parts = [sparse.eye_array(size)] * 3
        parts[axis] = sparse.csr_array(bends)
        total = total + _product(sparse, parts)
    return total


def _product(sparse: Any, parts: Sequence[Any]) -> Any:
    """Returns the matrix that applies one to each axis of a cube."""
    first, second, third = parts
    return sparse.kron(sparse.kron(first, second), third, format="csr")


class _Cycle:
    """An estimate of what solves an equation, from coarser and coarser cubes.

    It is the preconditioner of conjugate gradients: a cycle of multigrid.

    Args:
        sparse: The module of SciPy.
        matrix: The sparse matrix of the equations.
        size: Integer, the number of entries along each edge.
    """

    def __init__(self, sparse: Any, matrix: Any, size: int) -> None:
        self.matrix = matrix
        # Whatever the matrix, no step is longer than one that converges.
        total = abs(matrix).sum(axis=1)[:, None]
        self.step: np.ndarray = np.where(
            total > 0, 1 / np.where(total > 0, total, 1), 0
        )
        self.coarser: _Cycle | None = None
        if size <= COARSEST:
            self.inverse = np.linalg.pinv(matrix.toarray(), hermitian=True)
            return
        coarse = size // 2 + 1
        hats = np.interp(
            np.linspace(0, coarse - 1, size)[:, None] - np.arange(coarse),
            [-1, 0, 1],
            [0, 1, 0],
        )
        self.widen = _product(sparse, [sparse.csr_array(hats)] * 3)
        self.narrow = self.widen.T.tocsr()
        smaller = self.narrow @ matrix @ self.widen
        self.coarser = _Cycle(sparse, smaller, coarse)

    def estimate(self, right: np.ndarray) -> np.ndarray:
        """Returns about what the matrix makes the right side of."""
        if self.coarser is None:
            return self.inverse @ right
        found = self.step * right
        for _ in range(SMOOTHINGS - 1):
            found += self.step * (right - self.matrix @ found)
        rest = self.narrow @ (right - self.matrix @ found)
        found += self.widen @ self.coarser.estimate(rest)
        for _ in range(SMOOTHINGS):
            found += self.step * (right - self.matrix @ found)
        return found


def _solve(matrix: Any, cycle: _Cycle, right: np.ndarray) -> np.ndarray:
    """Returns the solution, by conjugate gradients for each channel."""

    def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.einsum("nc,nc->c", one, other)

    found, rest = np.zeros_like(right), right.copy()
    way = near = cycle.estimate(rest)
    error = first = dot(rest, near)
    for _ in track(range(MOST_STEPS)):
        if (error <= TOLERANCE**2 * first).all():
            break
        forward = matrix @ way
        bend = dot(way, forward)
        # A channel that is done goes nowhere.
        step = error / np.where(bend > 0, bend, np.inf)
        found += step * way
        rest -= step * forward
        near = cycle.estimate(rest)
        former, error = error, dot(rest, near)
        way = near + error / np.where(former > 0, former, np.inf) * way
    return found
