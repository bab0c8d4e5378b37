"""Where the entries of a cube lie in a picture.

A Hald image has them row by row. Tiles are pictures of one blue each, with red
to the right and green down, in a strip or in several rows: what game engines,
OBS and phones use. For 64 entries, 512 x 512 pixels can be either.
"""

from collections.abc import Sequence

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


@np.errstate(all="ignore")
def find_layout(pixels: np.ndarray, size: int) -> CubeLayout | None:
    """Returns how the entries lie in a picture, `None` if it is not clear.

    The colors of a table change little from entry to entry, and are mostly
    brighter toward the end of each channel.

    Args:
        pixels: Array of shape `(height, width, 3)`.
        size: What `cube_size` returns for it.
    """
    if not np.isfinite(pixels).all():
        return "tiles"  # Refused as entries, with a better message.
    tiles, upside_down = (order(pixels, size, name) for name in LAYOUTS[1:])
    if pixels.shape[0] == pixels.shape[1]:
        hald = order(pixels, size, "hald")
        if np.array_equal(hald, tiles):
            return "hald"
        least = min(map(_roughness, (tiles, upside_down)))
        ratio = np.divide(least, _roughness(hald))
        if ratio >= CLEAR_RATIO:
            return "hald"
        if not ratio <= 1 / CLEAR_RATIO:  # NaN of zeros is not, either.
            return None
    if np.array_equal(tiles, upside_down):
        return "tiles"
    if size not in pixels.shape[:2]:
        # Between rows in the wrong order, blue jumps.
        ratio = np.divide(_roughness(upside_down, [2]), _roughness(tiles, [2]))
        if ratio >= CLEAR_RATIO:
            return "tiles"
        if ratio <= 1 / CLEAR_RATIO:
            return "tiles_bottom_up"
    return _layout_of_strip(tiles, upside_down)


def _layout_of_strip(
    tiles: np.ndarray, upside_down: np.ndarray
) -> CubeLayout | None:
    """Returns which end of a strip is the upper one, if it is clear.

    Red is to the right in both. Where green has the opposite sense, the strip
    is upside down, unless the look darkens one of the channels: so all of them
    have to become brighter then, and green to count.
    """
    red, green, _ = _slopes(tiles)
    if red * green > 0:
        return "tiles"
    red, green, blue = _slopes(upside_down)
    if min(red, blue) >= 0 and red > 0 and 3 * green > max(red, blue):
        return "tiles_bottom_up"
    return None


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


def draw(cube: np.ndarray, layout: CubeLayout) -> np.ndarray:
    """Returns the picture of a cube, of which `order` makes the cube again.

    Tiles lie in a strip, from the left to the right. For a Hald image, the
    size has to be a square number.
    """
    size = len(cube)
    if layout == "hald":
        side = round(size**1.5)
        return cube.transpose(2, 1, 0, 3).reshape(side, side, 3)
    strip = cube.transpose(1, 2, 0, 3).reshape(size, size**2, 3)
    return strip if layout == "tiles" else strip[::-1]


def _roughness(cube: np.ndarray, axes: Sequence[int] = (0, 1, 2)) -> float:
    """Returns how much the entries differ from those beside them."""
    # Integers without a sign would wrap around.
    cube = cube.astype("float32")
    return sum(
        float(np.abs(np.diff(cube, axis=axis)).mean(dtype="float64"))
        for axis in axes
    )


def _slopes(cube: np.ndarray) -> list[float]:
    """Returns how much brighter each channel makes a color, 0 for hardly."""
    brightness = cube.mean(axis=-1, dtype="float64")
    half, least = len(cube) // 2, CLEAR_SLOPE * brightness.std()
    slopes = []
    for axis in range(3):
        along = np.moveaxis(brightness, axis, 0)
        slope = float(along[-half:].mean() - along[:half].mean())
        slopes.append(slope if abs(slope) > least else 0.0)
    return slopes
