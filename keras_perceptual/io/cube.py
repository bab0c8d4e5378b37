"""Reading and writing `.cube` files."""

from collections.abc import Iterator

import numpy as np

from keras_perceptual.io.color_table import (
    DEFAULT_DOMAIN,
    ColorTable,
    check_table,
)
from keras_perceptual.io.cube_header import SIZE_LIMITS, Header
from keras_perceptual.io.decimals import shortest_text
from keras_perceptual.io.text_file import read_text
from keras_perceptual.io.whole_file import replace_file
from keras_perceptual.progress import track
from keras_perceptual.typing import PathLike

# The line of the title has 250 bytes with its end, as the specification asks.
MAX_TITLE_LENGTH = 250 - len('TITLE ""\n')


def read_cube(path: PathLike | bytes) -> ColorTable:
    r"""Reads a color table from a `.cube` file.

    Both dialects are read: that of Adobe (once IRIDAS), with curves or a cube,
    and that of DaVinci Resolve, with curves, a cube, or curves before a cube.
    What the file leaves open or says twice is an error, as is a keyword that
    is not known: wrong colors would be found out late. Keywords that say
    nothing about colors, such as `BMD_TITLE`, are passed over.

    Values are those nearest to the decimal numbers in the file, and are not
    clipped.

    Args:
        path: String or path-like object, the file.

    Returns:
        A `ColorTable`. Its `cube` is indexed `[r, g, b]`.

    Raises:
        ValueError: If the file is no `.cube` file, or one that is not whole
            or can be understood in two ways. The message has the number of
            the line.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import read_cube
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "warm.cube")
    ...     _ = path.write_text("LUT_1D_SIZE 2\n0 0 0\n1 0.9 0.75\n")
    ...     table = read_cube(path)
    >>> table
    ColorTable(curves=(2, 3))
    >>> table.curves[1].tolist()
    [1.0, 0.8999999761581421, 0.75]

    Reference:
        - Adobe Systems, Cube LUT Specification 1.0, 2013. Beyond it, keywords
          in lower case, indented comments, longer lines and a byte order mark
          are accepted.
        - Blackmagic Design, DaVinci Resolve, Developer/LUT/README.txt, and
          P. Chamberlain's description at
          https://forum.blackmagicdesign.com/viewtopic.php?f=21&t=40284.
          Tables in video range (`LUT_IN_VIDEO_RANGE`) are refused.
    """
    return read_text(path, "cube", Header)


def write_cube(path: PathLike | bytes, table: ColorTable) -> None:
    """Writes a color table to a `.cube` file.

    Reading the file gives the same table, to the last bit. It is written
    beside its place first and moved there when it is whole, so that no
    program ever sees half a file; a file of that name is replaced. Where the
    process is killed meanwhile, the old file stays, and a hidden one whose
    name ends in `.cube.part`. The new file has the permissions of the old one.
    Other names of it (hard links) keep the old table, which a warning says.

    Args:
        path: String or path-like object, the file to write.
        table: `ColorTable`. With curves and a cube the file is one of DaVinci
            Resolve's dialect, whose domains are one range for all channels.
            OpenColorIO reads such files only without a title, and in any file
            cubes of up to 129 entries along an edge and no numbers nearer to
            zero than 1.2e-38 but zero itself.

    Raises:
        ValueError: If the table says what a `.cube` file cannot: a title with
            quotes, line breaks or characters beyond ASCII, or one that is too
            long; more than 65536 entries of curves; domains that differ
            between channels with both tables.
        TypeError: If `table` is no `ColorTable`.
        OSError: If the file cannot be written. There is then no new file, and
            an old one is as it was.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import ColorTable, write_cube
    >>> table = ColorTable(curves=[[0, 0, 0], [1, 0.9, 0.75]], title="Warm")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "warm.cube")
    ...     write_cube(path, table)
    ...     print(path.read_text())
    TITLE "Warm"
    LUT_1D_SIZE 2
    0.0 0.0 0.0
    1.0 0.9 0.75

    Reference:
        - Adobe Systems, Cube LUT Specification 1.0, 2013, and Blackmagic
          Design for files with both tables: see `read_cube`.
    """
    check_table("write_cube", table)
    header = "".join(f"{line}\n" for line in _header_lines(table))
    parts = _parts(header.encode("ascii"), table)
    replace_file("write_cube", path, parts)


def _header_lines(table: ColorTable) -> Iterator[str]:
    """Yields the lines before the rows."""
    if table.title:
        yield f'TITLE "{_check_title(table.title)}"'
    both = table.curves is not None and table.cube is not None
    for keyword, name in (("LUT_1D", "curves"), ("LUT_3D", "cube")):
        values = getattr(table, name)
        if values is None:
            continue
        if len(values) > (most := SIZE_LIMITS[f"{keyword}_SIZE"][1]):
            raise ValueError(
                f"write_cube can give a file {most} entries of {name}, as the "
                "specification has it. Call resize_table before. Received: "
                f"{table!r}"
            )
        yield f"{keyword}_SIZE {len(values)}"
        domain = low, high = getattr(table, f"{name}_domain")
        if domain == DEFAULT_DOMAIN:
            continue
        if not both:
            yield f"DOMAIN_MIN {low[0]!r} {low[1]!r} {low[2]!r}"
            yield f"DOMAIN_MAX {high[0]!r} {high[1]!r} {high[2]!r}"
        elif len(set(low)) == len(set(high)) == 1:
            yield f"{keyword}_INPUT_RANGE {low[0]!r} {high[0]!r}"
        else:
            raise ValueError(
                "write_cube can give curves and a cube in one file a range "
                "each, the same for all channels. Write them to two files, or "
                "sample the table again over one range. "
                f"Received: {name}_domain={domain}"
            )


def _check_title(title: str) -> str:
    """Refuses a title that would not come back as it is."""
    if (
        not title.isascii()
        or not title.isprintable()
        or '"' in title
        or len(title) > MAX_TITLE_LENGTH
    ):
        raise ValueError(
            "write_cube writes titles of up to "
            f"{MAX_TITLE_LENGTH} printable ASCII characters without quotes. "
            "Take another, with `dataclasses.replace(table, title='...')`. "
            f"Received: title={title!r}"
        )
    return title


def _parts(header: bytes, table: ColorTable) -> Iterator[bytes]:
    """Yields the bytes of a file, in parts that memory has room for."""
    yield header
    if table.curves is not None:
        yield shortest_text(table.curves)
    if table.cube is not None:
        yield from red_fastest(table.cube)


def red_fastest(cube: np.ndarray) -> Iterator[bytes]:
    """Yields the rows of a cube as text, in a part for each blue."""
    for plane in track(np.moveaxis(cube, 2, 0)):
        yield shortest_text(plane.swapaxes(0, 1).reshape(-1, 3))
