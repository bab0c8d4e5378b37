"""Reading colour tables of any format that is known here."""

import os
from collections.abc import Callable
from typing import Any

from keras_perceptual.io.color_table import ColorTable
from keras_perceptual.io.cube import read_cube
from keras_perceptual.io.hald import read_hald
from keras_perceptual.io.lustre import read_3dl
from keras_perceptual.io.spi1d import read_spi1d
from keras_perceptual.io.spi3d import read_spi3d
from keras_perceptual.typing import PathLike

READERS: dict[str, Callable[[Any], ColorTable]] = {
    ".cube": read_cube,
    ".3dl": read_3dl,
    ".spi1d": read_spi1d,
    ".spi3d": read_spi3d,
    **dict.fromkeys((".png", ".tif", ".tiff", ".bmp", ".ppm"), read_hald),
}


def read_table(path: PathLike | bytes) -> ColorTable:
    r"""Reads a colour table from a file, in the format that its name says.

    Args:
        path: String or path-like object, a file whose name ends in `.cube`,
            `.3dl`, `.spi1d` or `.spi3d`; or in `.png`, `.tif`, `.tiff`,
            `.bmp` or `.ppm`, for a Hald image.

    Returns:
        A `ColorTable`.

    Raises:
        ValueError: If the name ends otherwise, or if the file is not what its
            name says.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "warm.cube")
    ...     _ = path.write_text("LUT_1D_SIZE 2\n0 0 0\n1 0.9 0.75\n")
    ...     read_table(path)
    ColorTable(curves=(2, 3))
    """
    name = os.fsdecode(path)
    reader = READERS.get(os.path.splitext(name)[1].lower())
    if reader is None:
        raise ValueError(
            "read_table goes by how the name of a file ends, and knows "
            f"{', '.join(READERS)}. Rename the file, or use the function for "
            f"its format. Received: path={name!r}"
        )
    return reader(path)
