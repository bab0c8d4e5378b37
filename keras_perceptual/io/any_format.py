"""Reading and writing color tables of any format that is known here."""

import os
from collections.abc import Callable
from typing import Any

from keras_perceptual.io.clf import read_clf
from keras_perceptual.io.color_table import ColorTable
from keras_perceptual.io.csp import read_csp, write_csp
from keras_perceptual.io.cube import read_cube, write_cube
from keras_perceptual.io.hald import read_hald, write_hald
from keras_perceptual.io.lustre import read_3dl, write_3dl
from keras_perceptual.io.panasonic import read_vlt
from keras_perceptual.io.spi1d import read_spi1d, write_spi1d
from keras_perceptual.io.spi3d import read_spi3d, write_spi3d
from keras_perceptual.typing import CubeLayout, PathLike

PICTURES = (".png", ".tif", ".tiff", ".bmp", ".ppm", ".tga", ".webp")
READERS: dict[str, Callable[[Any], ColorTable]] = {
    ".cube": read_cube,
    ".3dl": read_3dl,
    ".spi1d": read_spi1d,
    ".spi3d": read_spi3d,
    ".csp": read_csp,
    ".vlt": read_vlt,
    ".clf": read_clf,
    ".ctf": read_clf,
    **dict.fromkeys(PICTURES, read_hald),
}
WRITERS: dict[str, Callable[..., None]] = {
    ".cube": write_cube,
    ".3dl": write_3dl,
    ".spi1d": write_spi1d,
    ".spi3d": write_spi3d,
    ".csp": write_csp,
    ".png": write_hald,
}
# What holds more than a table, and which program makes a table of it.
ELSEWHERE = {
    **dict.fromkeys(
        (".icc", ".icm"),
        "A profile leads into a space that it does not fix. Convert it to a "
        ".cube file with OpenColorIO (`ociobakelut --lut`) if it has curves "
        "and a matrix, else with ArgyllCMS (`collink -3c`)",
    ),
    ".look": "A look can hold corrections beside its table. Convert it to a "
    ".cube file with OpenColorIO (`ociobakelut --lut`)",
    ".dctl": "It is a program, not a table. Apply it in DaVinci Resolve, and "
    "save the grade as a .cube file there (Generate LUT)",
}
OPTIONS = {".3dl": {"bits"}, ".png": {"bits", "layout"}}


def read_table(path: PathLike | bytes) -> ColorTable:
    r"""Reads a color table from a file, in the format that its name says.

    Args:
        path: String or path-like object, a file whose name ends in `.cube`,
            `.3dl`, `.spi1d`, `.spi3d`, `.csp`, `.vlt`, `.clf` or `.ctf`; or in
            `.png`, `.tif`, `.tiff`, `.bmp`, `.ppm`, `.tga` or `.webp`, for a
            Hald image, a strip or tiles.

    Returns:
        A `ColorTable`.

    Raises:
        ValueError: If the name ends otherwise, or if the file is not what its
            name says. For `.icc`, `.look` and `.dctl` the message says what
            makes a table of them.
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
    suffix = _suffix(name)
    reader = READERS.get(suffix)
    if suffix in ELSEWHERE:
        raise ValueError(
            f"read_table reads no {suffix} files. {ELSEWHERE[suffix]}. "
            f"Received: path={name!r}"
        )
    if reader is None:
        raise ValueError(
            "read_table goes by how the name of a file ends, and knows "
            f"{', '.join(READERS)}. Rename the file, or use the function for "
            f"its format. Received: path={name!r}"
        )
    return reader(path)


def write_table(
    path: PathLike | bytes,
    table: ColorTable,
    *,
    bits: int | None = None,
    layout: CubeLayout | None = None,
) -> None:
    """Writes a color table to a file, in the format that its name says.

    The file is there as a whole or not at all: see `write_cube`. What a format
    cannot say is an error. The function of each format says what it can:
    `write_cube`, `write_3dl`, `write_spi1d`, `write_spi3d`, `write_csp` and
    `write_hald`.

    Args:
        path: String or path-like object, a file whose name ends in `.cube`,
            `.3dl`, `.spi1d`, `.spi3d` or `.csp`, or in `.png` for a Hald
            image or a strip. A file of that name is replaced.
        table: `ColorTable`, for example of
            `keras_perceptual.LookupColorLayer.to_table`.
        bits: Integer, how many bits the whole numbers in a `.3dl` or a `.png`
            file have. Defaults to `None`, for 12 and 8.
        layout: Where the entries lie in a picture: `"hald"`, `"tiles"` or
            `"tiles_bottom_up"`. Defaults to `None`, for a Hald image.

    Raises:
        ValueError: If the name ends otherwise, also in what `read_table` can
            read, if the table says what the format cannot, or if the format
            has no such argument.
        TypeError: If `table` is no `ColorTable`.
        OSError: If the file cannot be written. There is then no new file, and
            an old one is as it was.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import ColorTable, read_table, write_table
    >>> table = ColorTable(curves=[[0, 0, 0], [1, 0.9, 0.75]], title="Warm")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "warm.cube")
    ...     write_table(path, table)
    ...     read_table(path)
    ColorTable(curves=(2, 3), title='Warm')
    """
    name = os.fsdecode(path)
    suffix = _suffix(name)
    writer = WRITERS.get(suffix)
    if writer is None:
        what = (
            f"and {suffix} is read but not written"
            if suffix in READERS
            else "of which this name has none"
        )
        raise ValueError(
            "write_table goes by how the name of a file ends, and writes "
            f"{', '.join(WRITERS)}, {what}. Take a name that ends so, and "
            "convert the file with another program if need be. "
            f"Received: path={name!r}"
        )
    given = {"bits": bits, "layout": layout}
    options = {k: v for k, v in given.items() if v is not None}
    for option in options.keys() - OPTIONS.get(suffix, ()):
        raise ValueError(
            f"write_table has no `{option}` for {suffix} files, which do "
            f"without. Leave it out. Received: {option}={options[option]!r}"
        )
    writer(path, table, **options)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
