"""Where the entries of a cube lie in a picture.

A Hald image has them row by row. Tiles are pictures of one blue each, with red
to the right and green down, in a strip or in several rows: what game engines,
OBS and phones use. For 64 entries, 512 x 512 pixels can be either.
"""

import numpy as np

from keras_perceptual.io.color_table import CUBE_SIZES
from keras_perceptual.typing import CubeLayout

LAYOUTS: tuple[CubeLayout, ...] = ("hald", "tiles", "tiles_bottom_up")
# Read in the wrong way, pictures of real tables of 64 entries had a roughness
# of five times and more. The identity of 4 entries has 1.7 times.
CLEAR_RATIO = 1.5
# A channel that changes the brightness by less, in standard deviations, does
# not say which end of it is dark. In black and white, red does by half of one.
CLEAR_SLOPE = 0.1


def cube_size(shape: tuple[int, ...]) -> int | None:
    """Returns how many entries along an edge a picture has, if any."""
    height, width = shape
    size = round((height * width) ** (1 / 3))
    low, high = CUBE_SIZES
    if not low <= size <= high or size**3 != height * width:
        return None
    return None if height % size or width % size else size


# Numbers that are not finite are refused later, by name.
@np.errstate(over="ignore", invalid="ignore")
def find_layout(pixels: np.ndarray, size: int) -> CubeLayout | None:
    """Returns how the entries lie in a picture, `None` if it is not clear.

    The colors of a table change little from entry to entry, and it is mostly
    brighter towards the end of each channel, or darker towards each in a
    negative.

    Args:
        pixels: Array of shape `(height, width, 3)`.
        size: What `cube_size` returns for it.
    """
    tiles, upside_down = (order(pixels, size, name) for name in LAYOUTS[1:])
    if pixels.shape[0] == pixels.shape[1]:
        hald = order(pixels, size, "hald")
        if np.array_equal(hald, tiles):
            return "hald"
        ratio = min(map(_roughness, (tiles, upside_down))) / _roughness(hald)
        if ratio >= CLEAR_RATIO:
            return "hald"
        if ratio > 1 / CLEAR_RATIO:
            return None
    if np.array_equal(tiles, upside_down):
        return "tiles"
    brightness = tiles.mean(axis=-1, dtype="float64")
    red, green = (_slope(brightness, axis) for axis in (0, 1))
    if min(abs(red), abs(green)) <= CLEAR_SLOPE * brightness.std():
        return None
    return "tiles" if red * green > 0 else "tiles_bottom_up"


def order(pixels: np.ndarray, size: int, layout: CubeLayout) -> np.ndarray:
    """Returns the cube in a picture, indexed `[r, g, b]`."""
    if layout == "hald":
        # Red runs fastest.
        return pixels.reshape(size, size, size, 3).transpose(2, 1, 0, 3)
    if layout == "tiles_bottom_up":
        pixels = pixels[::-1]
    down, right = (length // size for length in pixels.shape[:2])
    tiles = pixels.reshape(down, size, right, size, 3)
    return tiles.transpose(3, 1, 0, 2, 4).reshape(size, size, size, 3)


def _roughness(cube: np.ndarray) -> float:
    """Returns how much the entries differ from those beside them."""
    # Integers without a sign would wrap around.
    cube = cube.astype("float32")
    return sum(
        float(np.abs(np.diff(cube, axis=axis)).mean(dtype="float64"))
        for axis in range(3)
    )


def _slope(brightness: np.ndarray, axis: int) -> float:
    """Returns how much brighter the upper half of a channel is."""
    lower, _, upper = np.split(
        np.moveaxis(brightness, axis, 0),
        [len(brightness) // 2, -(len(brightness) // 2)],
    )
    return float(upper.mean() - lower.mean())
