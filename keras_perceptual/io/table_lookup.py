"""Looking colors up in tables with NumPy alone, in float64."""

import itertools
from collections.abc import Iterator

import numpy as np

from keras_perceptual.typing import Domain


def to_places(colors: np.ndarray, domain: Domain, size: int) -> np.ndarray:
    """Returns where colors lie among the entries of a table, from zero.

    Colors outside the domain lie at its ends; NaN stays NaN.
    """
    low, high = np.array(domain)
    places = (colors - low) / (high - low) * (size - 1)
    return np.clip(places, 0, size - 1)


def look_up_curves(places: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Returns what curves have at places, each channel on its own."""
    cell, share = split_places(places, len(curves))
    channel = np.arange(curves.shape[1])
    below, above = (
        curves[cell + step, channel].astype("float64") for step in (0, 1)
    )
    return below + share * (above - below)


def look_up_trilinear(places: np.ndarray, cube: np.ndarray) -> np.ndarray:
    """Returns the blend of the eight entries of a cube around places."""
    cell, share = split_places(places, len(cube))
    result = np.zeros(())
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.where(corner, share, 1 - share).prod(axis=-1, keepdims=True)
        result = result + weight * _entries(cube, cell + corner)
    return result


def resample_trilinear(cube: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yields a cube of another size, in planes along red.

    That is what `look_up_trilinear` finds at evenly spaced places, one axis
    after the other: far fewer products than at each place by itself.
    """
    cell, share = split_places(np.linspace(0, len(cube) - 1, size), len(cube))
    cube = cube.astype("float64")

    def blend(
        values: np.ndarray, axis: int, cell: np.ndarray, share: np.ndarray
    ) -> np.ndarray:
        below, above = (values.take(cell + step, axis) for step in (0, 1))
        share = share.reshape(-1, *[1] * (values.ndim - 1 - axis))
        return below * (1 - share) + above * share

    for red in range(size):
        plane = blend(cube, 0, cell[red : red + 1], share[red : red + 1])
        yield blend(blend(plane, 1, cell, share), 2, cell, share)[0]


def look_up_tetrahedral(places: np.ndarray, cube: np.ndarray) -> np.ndarray:
    """Returns the blend of four entries, along the diagonal of grays."""
    cell, share = split_places(places, len(cube))
    # From the darkest corner to the brightest, the longest way first.
    order = np.argsort(-share, axis=-1, kind="stable")
    share = np.take_along_axis(share, order, axis=-1)
    result = before = _entries(cube, cell)
    for step in range(3):
        cell = cell + (np.arange(3) == order[..., step, None])
        after = _entries(cube, cell)
        result = result + share[..., step, None] * (after - before)
        before = after
    return result


def split_places(
    places: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cell of each place, and how far into it."""
    cell = np.floor(np.nan_to_num(places)).astype(int)
    cell = np.minimum(cell, size - 2)
    return cell, places - cell


def _entries(cube: np.ndarray, index: np.ndarray) -> np.ndarray:
    return cube[tuple(np.moveaxis(index, -1, 0))].astype("float64")
