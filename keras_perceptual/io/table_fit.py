"""The cube that makes one picture of another, on NumPy alone.

What comes out of a cube is linear in its entries, so that the best of them
solve a linear system: the least squares of colors, and of how much the cube
bends. An equation reaches from an entry to its 26 neighbors at most.
"""

import itertools

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
CORNERS = tuple(itertools.product((0, 1), repeat=3))
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
        - The preconditioner of the conjugate gradients is the fast
          diagonalization of R. E. Lynch, J. R. Rice and D. H. Thomas,
          "Direct solution of partial difference equations by tensor product
          methods", 1964.
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
    stencil, right = _weigh(sources, targets, size)
    bends = _bends(size) * smoothness
    axis = np.linspace(0, 1, size)
    identity = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    cube = identity + _solve(stencil, bends, right)
    table = ColorTable(cube=cube)
    error = apply_table(table, sources) - targets
    residual = float(np.sqrt(np.mean(error**2)))
    return ColorTable(
        cube=cube, title=f"Fitted with a residual of {residual:.5f}"
    )


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
    count = size**3
    stencil = {way: np.zeros(count) for way in WAYS}
    right = np.zeros((3, count))
    strides = np.array([size**2, size, 1])
    for start in track(range(0, len(sources), PART)):
        part = slice(start, start + PART)
        cell, share = split_places(sources[part] * (size - 1), size)
        change = targets[part] - sources[part]
        corners = [
            (
                (cell + corner) @ strides,
                np.where(corner, share, 1 - share).prod(axis=-1),
            )
            for corner in CORNERS
        ]
        for one, (at, weight) in zip(CORNERS, corners, strict=True):
            for channel in range(3):
                right[channel] += np.bincount(
                    at, weight * change[:, channel], count
                )
            for other, (_, beside) in zip(CORNERS, corners, strict=True):
                way = tuple(np.subtract(other, one).tolist())
                stencil[way] += np.bincount(at, weight * beside, count)
    shape = (size,) * 3
    scaled = {w: x.reshape(shape) / len(sources) for w, x in stencil.items()}
    return scaled, right.T.reshape(*shape, 3) / len(sources)


def _bends(size: int) -> np.ndarray:
    """Returns the matrix of what bends along an axis cost, `(size, size)`."""
    bends = np.diff(np.eye(size), n=2, axis=0)
    # The mean over all places, as `roughness` has it.
    return bends.T @ bends / max(1, size**2 * (size - 2))


def _solve(
    stencil: dict[tuple[int, ...], np.ndarray],
    bends: np.ndarray,
    right: np.ndarray,
) -> np.ndarray:
    """Returns the solution, by conjugate gradients for each channel.

    Starting from zero, what no equation says stays zero.
    """
    size = len(bends)
    values, basis = np.linalg.eigh(bends)
    values = values.clip(0)
    costs = sum(np.meshgrid(*[values] * 3, indexing="ij"))
    # As if the pixels were spread evenly, all is solved in this basis.
    costs = (costs + 1 / size**3)[..., None]

    def multiply(cube: np.ndarray) -> np.ndarray:
        result = _along(bends, cube, 0)
        for axis in (1, 2):
            result += _along(bends, cube, axis)
        for way, weights in stencil.items():
            here = tuple(slice(max(0, -w), size - max(0, w)) for w in way)
            there = tuple(slice(max(0, w), size - max(0, -w)) for w in way)
            result[here] += weights[here][..., None] * cube[there]
        return result

    def precondition(cube: np.ndarray) -> np.ndarray:
        for axis in range(3):
            cube = _along(basis.T, cube, axis)
        cube = cube / costs
        for axis in range(3):
            cube = _along(basis, cube, axis)
        return cube

    def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (one * other).sum(axis=(0, 1, 2))

    found, rest = np.zeros_like(right), right.copy()
    way = near = precondition(rest)
    error = first = dot(rest, near)
    for _ in track(range(MOST_STEPS)):
        if (error <= TOLERANCE**2 * first).all():
            break
        forward = multiply(way)
        bend = dot(way, forward)
        # A channel that is done goes nowhere.
        step = error / np.where(bend > 0, bend, np.inf)
        found += step * way
        rest -= step * forward
        near = precondition(rest)
        former, error = error, dot(rest, near)
        way = near + error / np.where(former > 0, former, np.inf) * way
    return found


def _along(matrix: np.ndarray, cube: np.ndarray, axis: int) -> np.ndarray:
    """Returns a cube with a matrix multiplied along one axis."""
    return np.moveaxis(np.tensordot(matrix, cube, (1, axis)), 0, axis)
