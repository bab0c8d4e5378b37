"""Reading and writing `.spi1d` files."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_perceptual.io.color_table import CURVE_SIZES, ColorTable
from keras_perceptual.io.decimals import shortest_text
from keras_perceptual.io.table_parts import one_range, take_curves
from keras_perceptual.io.text_file import read_text
from keras_perceptual.io.text_rows import BLANKS, NUMBER, split_words
from keras_perceptual.io.text_source import Source
from keras_perceptual.io.whole_file import replace_file
from keras_perceptual.typing import PathLike

KEYWORDS = ("Version", "From", "Length", "Components")


def read_spi1d(path: PathLike | bytes) -> ColorTable:
    r"""Reads curves from a `.spi1d` file, of Sony Pictures Imageworks.

    Args:
        path: String or path-like object, the file.

    Returns:
        A `ColorTable` of curves. Where the file has one component, all
        channels have its curve. `From` is the domain.

    Raises:
        ValueError: If the file is no `.spi1d` file, or one that is not whole
            or leaves something open, such as the third of two components. The
            message has the number of the line.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import read_spi1d
    >>> text = "Version 1\nFrom 0 2\nLength 2\nComponents 1\n{\n0.25\n1\n}\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "log.spi1d")
    ...     _ = path.write_text(text)
    ...     table = read_spi1d(path)
    >>> table.curves.tolist()
    [[0.25, 0.25, 0.25], [1.0, 1.0, 1.0]]
    >>> table.curves_domain
    ((0.0, 0.0, 0.0), (2.0, 2.0, 2.0))

    Reference:
        - [OpenColorIO](https://opencolorio.org), `FileFormatSpi1D.cpp`, where
          the format is described.
    """
    return read_text(path, "spi1d", Header)


def write_spi1d(path: PathLike | bytes, table: ColorTable) -> None:
    """Writes curves to a `.spi1d` file, of Sony Pictures Imageworks.

    Reading the file gives the same curves, to the last bit. A curve that all
    channels share is written once. The title is not written, as the format has
    no place for it.

    Args:
        path: String or path-like object, the file to write. It is there as a
            whole or not at all: see `write_cube`.
        table: `ColorTable` of curves alone, over the same domain in all
            channels.

    Raises:
        ValueError: If the table has a cube, or a domain for each channel.
        TypeError: If `table` is no `ColorTable`.
        OSError: If the file cannot be written. There is then no new file, and
            an old one is as it was.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import ColorTable, write_spi1d
    >>> table = ColorTable(curves=[[0, 0, 0], [1, 1, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "log.spi1d")
    ...     write_spi1d(path, table)
    ...     print(" ".join(path.read_text().split()))
    Version 1 From 0.0 1.0 Length 2 Components 1 { 0.0 1.0 }

    Reference:
        - [OpenColorIO](https://opencolorio.org), `FileFormatSpi1D.cpp`.
    """
    owner = "write_spi1d"
    curves = take_curves(owner, table)
    low, high = one_range(owner, table.curves_domain)
    replace_file(owner, path, _parts(curves, low, high))


def _parts(curves: np.ndarray, low: float, high: float) -> Iterator[bytes]:
    # A zero with a sign is another entry.
    if (curves.view("uint32") == curves.view("uint32")[:, :1]).all():
        curves = curves[:, :1]
    size, components = curves.shape
    head = (
        f"Version 1\nFrom {low!r} {high!r}\nLength {size}\n"
        f"Components {components}\n{{\n"
    )
    yield head.encode("ascii")
    yield shortest_text(curves)
    yield b"}\n"


class Header:
    """What stands before the numbers of a `.spi1d` file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.values: dict[str, Any] = {}
        self.opened: bool = False

    def read(self, number: int, lines: list[bytes]) -> int:
        """Reads keywords, and returns how many lines come before the rows."""
        for used, line in enumerate(lines):
            if self.opened:
                return used
            line = line.strip(BLANKS)
            if line == b"{":
                self.opened = True
            elif line and not line.startswith(b"#"):
                self._read_keyword(number + used, line)
        return len(lines)

    def start_rows(self, number: int, line: bytes | None) -> dict[str, Any]:
        """Checks that all is there, and returns the arguments of `Rows`."""
        missing = [k for k in KEYWORDS if k not in self.values and k != "From"]
        if missing or not self.opened:
            lacks = " and ".join([*missing, *([] if self.opened else ["{"])])
            raise self.source.mistake(
                number,
                f"A line with {lacks} should come before the numbers. Check "
                "that this is a .spi1d file, and add it.",
                line,
            )
        return {
            "expected": {"Length": self.values["Length"]},
            "columns": self.values["Components"],
            "footer": re.compile(rb"\}"),
        }

    def make_table(self, rows: np.ndarray) -> ColorTable:
        """Returns the table, given all rows of the file."""
        low, high = self.values.get("From", (0.0, 1.0))
        return ColorTable(
            curves=rows.repeat(3 // rows.shape[1], axis=1),
            curves_domain=((low,) * 3, (high,) * 3),
        )

    def _read_keyword(self, number: int, line: bytes) -> None:
        word, *words = split_words(line)
        keyword = word.decode("ascii", "replace").capitalize()
        if keyword not in KEYWORDS:
            problem = (
                f"Before the numbers come {', '.join(KEYWORDS)} and a line "
                "with {. Take out what is something else, or put # before it."
            )
        elif keyword in self.values:
            problem = f"{keyword} may stand in a file once. Take one out."
        else:
            self.values[keyword], problem = READERS[keyword](words)
        if problem:
            raise self.source.mistake(number, problem, line)


def _read_version(words: Sequence[bytes]) -> tuple[int | None, str | None]:
    if words in ([b"1"], [b"1.0"]):
        return 1, None
    return None, "Version 1 is read and no other. Convert the file to it."


def _read_domain(
    words: Sequence[bytes],
) -> tuple[tuple[float, float] | None, str | None]:
    if len(words) == 2 and all(map(NUMBER.fullmatch, words)):
        low, high = map(float, words)
        if 0 < high - low < math.inf:
            return (low, high), None
    return None, (
        "From is followed by two finite numbers, the lower one first, which "
        "the first and the last entry stand for. Write it as `From 0.0 1.0`."
    )


def _read_length(words: Sequence[bytes]) -> tuple[int | None, str | None]:
    low, high = CURVE_SIZES
    digits = re.fullmatch(rb"0*([0-9]{1,9})", b" ".join(words))
    if digits and low <= int(digits[1]) <= high:
        return int(digits[1]), None
    return None, (
        f"Length is followed by one whole number from {low} to {high}. Sample "
        "the table again at such a length."
    )


def _read_components(words: Sequence[bytes]) -> tuple[int | None, str | None]:
    if words in ([b"1"], [b"3"]):
        return int(words[0]), None
    return None, (
        "Components is followed by 1, for one curve for all channels, or by 3; "
        "two would leave blue open. Write three numbers in each line."
    )


READERS: dict[str, Callable[[Sequence[bytes]], tuple[Any, str | None]]] = {
    "Version": _read_version,
    "From": _read_domain,
    "Length": _read_length,
    "Components": _read_components,
}
