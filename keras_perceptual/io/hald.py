"""The pictures that hold a cube: Hald images, strips and tiles."""

import math
import os
import zlib
from typing import Any, BinaryIO

import numpy as np

from keras_perceptual.files import check_file, show_path
from keras_perceptual.io import png, tiles
from keras_perceptual.io.color_table import ColorTable
from keras_perceptual.io.table_parts import (
    check_bits,
    take_only_cube,
    to_codes,
)
from keras_perceptual.io.whole_file import replace_file
from keras_perceptual.typing import ArrayLike, CubeLayout, PathLike

# Twice the pixels of the largest one, not compressed.
MAX_FILE_SIZE = 2 * 3 * 4096**2
# Formats that keep every pixel, and those of TIFF's ways to compress that do.
EXACT_FORMATS = frozenset("BMP DIB PCX PNG PPM QOI SGI TGA TIFF WEBP".split())
EXACT_COMPRESSIONS = frozenset(
    "raw packbits lzma tiff_adobe_deflate tiff_deflate tiff_lzw zstd".split()
)

# Modes of Pillow that `convert("RGBA")` keeps.
MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1")
TIFF_TAGS = {"Photometric": 262, "ColorMap": 320}
# How gray pixels of 16 bits are stored that Pillow returns as they are.
GRAY_16 = frozenset(("I;16", "I;16B", "I;16L", "I;16N"))


def read_hald(
    image: PathLike | ArrayLike, *, layout: CubeLayout | None = None
) -> ColorTable:
    """Reads a cube from a Hald image, a strip or tiles.

    These are pictures with every entry of a cube as a pixel. Whatever an image
    editor does to one, the cube does to other pictures. A Hald image has the
    entries row by row, red running fastest and blue slowest: a cube of level
    8, 64 entries along an edge, is a picture of 512 x 512 pixels.

    Game engines, OBS, ReShade and GPUImage have a tile for each blue instead,
    with red to the right and green down or, in Unity, up. The tiles lie in a
    strip of 1024 x 32 or of 32 x 1024 pixels, or in several rows: 64 of them
    are a picture of 512 x 512 pixels, too.

    Args:
        image: String or path-like object, an image file, which is read by
            Pillow (`pip install pillow`); or an array of shape `(side, side,
            3)`, integers of 8 or 16 bits, or floating-point numbers with 1
            for white. Gray ones, `(side, side)` or with one channel, stand
            for three equal channels, and opacity may come last if all is
            opaque. Of files, those of 8 bits are read, in color, gray or with
            a palette, and of 16 bits gray ones and, in PNG, those in color.
            The side of a Hald image is 8, 27, 64, 125, ..., 4096; tiles have 2
            to 256 pixels along a side, and are as many.
        layout: Where the entries lie: `"hald"`, `"tiles"`, from the top to
            the bottom, or `"tiles_bottom_up"`, the same picture upside down.
            Defaults to `None`, for the one in which the colors change little
            from entry to entry, and in a strip become brighter with all
            channels, or darker. What is not clear so is refused.

    Returns:
        A `ColorTable` of a cube, indexed `[r, g, b]`.

    Raises:
        ValueError: If the image is none, has another size, is not opaque,
            leaves its layout open, or is one that Pillow would round (16 bits)
            or that was rounded when it was written (JPEG, lossy WebP, AVIF and
            the like).
        ImportError: If a file is given and Pillow is not installed.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.io import read_hald
    >>> ramp = np.linspace(0, 255, 4).astype("uint8")
    >>> blue, green, red = np.meshgrid(ramp, ramp, ramp, indexing="ij")
    >>> entries = np.stack([red, green, blue], axis=-1)
    >>> entries[0, 0, 3] = [255, 51, 0]  # What becomes of pure red.
    >>> read_hald(entries.reshape(8, 8, 3)).cube[3, 0, 0].tolist()
    [1.0, 0.20000000298023224, 0.0]

    Reference:
        - E. Eskelinen, [Hald CLUT](http://www.quelsolaar.com/technology/clut.html).
    """
    if layout is not None and layout not in tiles.LAYOUTS:
        raise ValueError(
            f"read_hald needs `layout` to be one of {list(tiles.LAYOUTS)} or "
            f"None, to find it out. Received: layout={layout!r}"
        )
    if isinstance(image, str | bytes | os.PathLike):
        pixels, received = _read_image(image), f"path={show_path(image)}"
    else:
        pixels = np.asarray(image)
        received = f"an array of shape {pixels.shape} and type {pixels.dtype}"
    white = {"|u1": 255, "<u2": 65535, ">u2": 65535}.get(pixels.dtype.str, 1)
    if white == 1 and pixels.dtype.kind != "f":
        raise _not_an_image(received)
    pixels = _opaque_colors(pixels, white, received)
    size = _find_size(pixels.shape[:2], received)
    layout = layout or tiles.find_layout(pixels, size)
    if layout is None:
        raise ValueError(
            "read_hald cannot tell from the colors of this picture where the "
            "entries lie, and the wrong way would give wrong colors. Pass "
            f"`layout`, one of {list(tiles.LAYOUTS)}. Received: {received}"
        )
    if layout == "hald" and pixels.shape[0] != pixels.shape[1]:
        raise ValueError(
            "read_hald needs a square picture for the layout 'hald', and not "
            f"{pixels.shape[:2]}. Pass 'tiles' or 'tiles_bottom_up'. "
            f"Received: {received}"
        )
    cube = tiles.order(pixels, size, layout)
    return ColorTable(cube=cube.astype("float64") / white)


def write_hald(
    path: PathLike | bytes,
    table: ColorTable,
    *,
    layout: CubeLayout = "hald",
    bits: int = 8,
) -> None:
    """Writes a cube as a Hald image or a strip, a PNG file.

    For both see `read_hald`. The entries are rounded to `bits`. Neither has a
    place for the title, which is not written.

    Args:
        path: String or path-like object, the file to write. It is there as a
            whole or not at all: see `write_cube`.
        table: `ColorTable` of a cube alone, over colors from 0 to 1, with
            entries from 0 to 1; for a Hald image of 4, 9, 16, 25, 36, 49, 64
            or another square number of entries along each edge.
        layout: `"hald"`, or `"tiles"` for a strip as Unreal has it, green
            running down, or `"tiles_bottom_up"` as Unity has it. Defaults to
            `"hald"`.
        bits: 8 or 16. Not every program keeps all of 16 bits: Pillow and game
            engines do not. Defaults to 8.

    Raises:
        ValueError: If the table has curves, another domain, entries outside
            (0, 1) or no such size; or if an argument is another.
        TypeError: If `table` is no `ColorTable`.
        OSError: If the file cannot be written. There is then no new file, and
            an old one is as it was.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> import numpy as np
    >>> from keras_perceptual.io import ColorTable, read_hald, write_hald
    >>> cube = np.moveaxis(np.indices((4, 4, 4)) / 3, 0, -1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "look.png")
    ...     write_hald(path, ColorTable(cube=cube), bits=16)
    ...     read_hald(path).cube[3, 0, 1].tolist()
    [1.0, 0.0, 0.3333333432674408]

    Reference:
        - E. Eskelinen, [Hald CLUT](http://www.quelsolaar.com/technology/clut.html).
    """
    owner = "write_hald"
    check_bits(owner, bits, (8, 16))
    if layout not in tiles.LAYOUTS:
        raise ValueError(
            f"{owner} needs `layout` to be one of {list(tiles.LAYOUTS)}. "
            f"Received: layout={layout!r}"
        )
    cube = take_only_cube(owner, table)
    size = len(cube)
    level = math.isqrt(size)
    if layout == "hald" and level**2 != size:
        near = {max(level, 2) ** 2, (level + 1) ** 2}
        raise ValueError(
            f"{owner} writes Hald images of cubes with a square number of "
            "entries along each edge. Call `resize_table(table, cube=...)` "
            f"with {' or '.join(map(str, sorted(near)))}, or pass "
            f"layout='tiles'. Received: cube.shape={cube.shape}"
        )
    pixels = to_codes(owner, tiles.draw(cube, layout), bits)
    replace_file(owner, path, png.encode(pixels.astype(f"uint{bits}")))


def _opaque_colors(pixels: np.ndarray, white: int, received: str) -> np.ndarray:
    """Returns the three colors of an image, without an opacity that is full."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4):
        raise _not_an_image(received)
    if pixels.shape[2] in (2, 4):
        if (pixels[..., -1] != white).any():
            raise _not_an_image(received)
        pixels = pixels[..., :-1]
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _not_an_image(received: str) -> ValueError:
    return ValueError(
        "read_hald needs an opaque image of shape (side, side, 3) or, in gray, "
        "(side, side), of type uint8, uint16 or of floating-point numbers. "
        f"Take transparency out, and convert it. Received: {received}"
    )


def _find_size(shape: tuple[int, ...], received: str) -> int:
    """Returns how many entries along an edge an image of a shape has."""
    size = tiles.cube_size(shape)
    if size is None:
        raise ValueError(
            "read_hald needs a square image with a side of 8, 27, 64, 125, ... "
            "up to 4096 pixels, the third power of a whole number, or as many "
            "square tiles as one of them has pixels along a side, such as "
            f"1024 x 32, and not {shape}. Check that it is a Hald image or a "
            "strip, and that it was neither cropped nor scaled. "
            f"Received: {received}"
        )
    return size


def _read_image(path: PathLike) -> np.ndarray:
    """Returns the pixels of an image file, as integers of 8 or 16 bits."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "read_hald reads files with Pillow, which is not installed. "
            "Install it with `pip install pillow`, or pass the pixels as an "
            f"array. Received: path={show_path(path)}"
        ) from error
    received = f"path={show_path(path)}"
    check_file("read_hald", path, MAX_FILE_SIZE)
    with open(path, "rb") as file:
        # Of a file with damage, Pillow raises errors of many types.
        try:
            image = Image.open(file)
            lossy, mode, shape = _is_lossy(image), image.mode, image.size[::-1]
            gray_16 = mode.startswith("I") and _is_gray_16(image)
            rounded = not gray_16 and (
                any(_is_rounded(*tile) for tile in image.tile)
                or _has_rounded_palette(image)
            )
        except Exception as error:
            raise _damaged(received) from error
        if lossy:
            raise ValueError(
                f"read_hald needs the exact colors, which {lossy} does not "
                "keep. Save the image as PNG, or as TIFF without JPEG. "
                f"Received: {received}"
            )
        color_16 = None
        if image.format == "PNG" and rounded:
            _find_size(shape, received)
            color_16 = _color_16(file, received)
        if color_16 is not None:
            return color_16
        if not gray_16 and (mode not in MODES or rounded):
            raise ValueError(
                "read_hald reads files with 8 bits, in color, gray or with a "
                "palette, and with 16 in gray or, in PNG, in color: what can "
                "be read exactly here. Save the image as such, or read it with "
                "another library and pass the pixels as an array. "
                f"Received: {received} of mode {mode}"
                + (" with more than 8 bits" if rounded else "")
            )
        _find_size(shape, received)  # Before a large image is decoded.
        try:
            if mode == "RGB" and "transparency" not in image.info:
                return np.asarray(image)
            if gray_16:
                return _gray_16(image)
            return np.asarray(image.convert("RGBA"))
        except Exception as error:
            raise _damaged(received) from error


def _color_16(file: BinaryIO, received: str) -> np.ndarray | None:
    """Returns a PNG image of 16 bits in color, `None` if it is another."""
    file.seek(0)
    try:
        return png.decode_16(file.read())
    except (ValueError, zlib.error, MemoryError) as error:
        raise _damaged(received) from error


def _is_gray_16(image: Any) -> bool:
    """Tells whether all parts of an image have one channel of 16 bits."""
    arguments = [part[3] for part in image.tile]
    kinds = {a if isinstance(a, str) else a[0] for a in arguments}
    # Pillow does not invert such files whose white is zero.
    return kinds <= GRAY_16 and _tiff_tag(image, "Photometric") != 0


def _has_rounded_palette(image: Any) -> bool:
    """Tells whether Pillow keeps the upper half alone of a palette in TIFF."""
    palette = np.array(_tiff_tag(image, "ColorMap", ()))
    return all((palette % step).any() for step in (256, 257))


def _tiff_tag(image: Any, name: str, default: Any = None) -> Any:
    return getattr(image, "tag_v2", {}).get(TIFF_TAGS[name], default)


def _gray_16(image: Any) -> np.ndarray:
    """Returns a gray image of 16 bits, with its opacity if it has any."""
    pixels = np.asarray(image).astype("uint16")
    clear = image.info.get("transparency")
    if clear is None:
        return pixels
    opacity = np.where(pixels == clear, 0, 65535).astype("uint16")
    return np.stack([pixels, opacity], axis=-1)


def _is_lossy(image: Any) -> str:
    """Returns the name of how an image is stored, `""` if that is exact."""
    kind = image.format
    if kind not in EXACT_FORMATS:
        return kind
    if kind == "TIFF":
        compression = image.info.get("compression", "raw")
        return (
            ""
            if compression in EXACT_COMPRESSIONS
            else (f"TIFF with compression {compression!r}")
        )
    if kind == "WEBP":
        return "" if _holds_chunk(image.fp, b"VP8L") else "lossy WebP"
    return ""


def _holds_chunk(file: BinaryIO, kind: bytes) -> bool:
    """Whether a RIFF file holds a chunk, wherever it is among the others."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        if head[:4] == kind:
            return True
        size = int.from_bytes(head[4:], "little")
        # Chunks begin at even places.
        file.seek(size + size % 2, os.SEEK_CUR)
    return False


def _is_rounded(codec: str, extents: Any, offset: int, arguments: Any) -> bool:
    """Tells whether Pillow turns a part of an image into 8 bits."""
    if codec.startswith("ppm"):
        return arguments[-1] != 255
    return ";16" in str(arguments)


def _damaged(received: str) -> ValueError:
    return ValueError(
        "read_hald found no image that Pillow can read. Check that the file is "
        f"whole, and save it as PNG. Received: {received}"
    )
