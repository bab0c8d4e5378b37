"""Reading `.3dl` files."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_perceptual.io.color_table import CUBE_SIZES, ColorTable
from keras_perceptual.io.text_file import read_text
from keras_perceptual.io.text_rows import BLANKS, is_keyword, split_words
from keras_perceptual.io.text_source import Source
from keras_perceptual.typing import PathLike

# Code values have as many bits in practice.
BITS = (8, 10, 12, 16)
# Points of the grid that are off by less than this are taken for rounded.
SLACK = 2
# What Lustre writes after the rows, where it changes nothing.
FOOTER = re.compile(rb"lut(?:8|10|12|16)?|gamma[ \t]+1(?:\.0*)?", re.IGNORECASE)


def read_3dl(path: PathLike | bytes, *, bits: int | None = None) -> ColorTable:
    r"""Reads a cube from a `.3dl` file, of Autodesk Flame and Lustre.

    Such a file holds whole numbers (code values) and mostly does not say of
    how many bits. The line `Mesh` of Lustre's dialect does; else 8, 10, 12 or
    16 are chosen so that the largest number fits best, as OpenColorIO does.
    That fails for a table that is dark throughout: pass `bits` for one.

    Args:
        path: String or path-like object, the file.
        bits: 8, 10, 12 or 16, how many bits the numbers have: with 10, 1023 is
            white. Defaults to `None`, for what the file lets one conclude.

    Returns:
        A `ColorTable` of a cube, indexed `[r, g, b]`.

    Raises:
        ValueError: If the file is no `.3dl` file, or one that is not whole or
            leaves something open, or if `bits` is another number. The message
            has the number of the line. So is a grid refused that is not
            even: programs differ in what they make of it.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import read_3dl
    >>> corners = [(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)]
    >>> rows = [f"{1023 * r} {1023 * g} {512 * b}" for r, g, b in corners]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "look.3dl")
    ...     _ = path.write_text("\n".join(["0 1023", *rows]))
    ...     table = read_3dl(path)
    >>> table.cube[1, 0, 1].tolist()
    [1.0, 0.0, 0.5004887580871582]

    Reference:
        - [OpenColorIO](https://opencolorio.org), `FileFormat3DL.cpp`, where
          the format is described as far as it is known.
    """
    if bits is not None and bits not in BITS:
        raise ValueError(
            "read_3dl reads numbers of 8, 10, 12 or 16 bits. Pass one of them, "
            f"or None to conclude it from the file. Received: bits={bits!r}"
        )
    return read_text(path, "3dl", functools.partial(Header, bits=bits))


class Header:
    """What stands before the rows, and what the numbers in them mean."""

    def __init__(self, source: Source, bits: int | None = None) -> None:
        self.source = source
        self.bits = bits
        self.mesh: int = 0
        self.size: int = 0

    def read(self, number: int, lines: list[bytes]) -> int:
        """Reads keywords and the grid, and returns how many lines that are."""
        for used, line in enumerate(lines):
            if self.size:
                return used
            line = line.strip(BLANKS)
            if line and not line.startswith(b"#"):
                words = split_words(line)
                if is_keyword(line) or words[0].lower() == b"3dmesh":
                    problem = self._read_keyword(words)
                else:
                    problem = self._read_grid(words)
                if problem:
                    raise self.source.mistake(number + used, problem, line)
        return len(lines)

    def start_rows(self, number: int, line: bytes | None) -> dict[str, Any]:
        """Returns the arguments of `Rows`."""
        if not self.size:
            problem = (
                "A line with the points of the grid should come before the "
                "rows, as in `0 512 1023`. Check that this is a .3dl file, and "
                "add it."
            )
            raise self.source.mistake(number, problem, line)
        return {
            "expected": {f"{self.size} points of the grid": self.size**3},
            "check": self._check,
            "footer": FOOTER,
        }

    def make_table(self, rows: np.ndarray) -> ColorTable:
        """Returns the table, given all rows of the file."""
        white = 2 ** (self.bits or self._likely_bits(rows.max())) - 1
        # Blue runs fastest.
        cube = rows.reshape((self.size,) * 3 + (3,)).astype("float64")
        return ColorTable(cube=cube / white)

    def _read_keyword(self, words: Sequence[bytes]) -> str | None:
        keyword = words[0].lower()
        if keyword == b"3dmesh" and len(words) == 1:
            return None
        if keyword != b"mesh":
            return (
                "Before the rows of a .3dl file come 3DMESH, Mesh and the "
                "grid. Take out what is something else, or put # before it."
            )
        digits = [re.fullmatch(rb"[0-9]{1,2}", word) for word in words[1:]]
        if self.mesh or len(digits) != 2 or not all(digits):
            return (
                "Mesh stands in a file once and is followed by two whole "
                "numbers, the bits of the grid and those of the rows. Write it "
                "as `Mesh 5 12`."
            )
        self.mesh, bits = (int(word) for word in words[1:])
        if bits not in BITS or not 0 < self.mesh <= 7:
            return (
                "Mesh is followed by 1 to 7, for a grid of 3 to 129 points, "
                "and by 8, 10, 12 or 16. Convert the table to these."
            )
        self.bits = self.bits or bits
        return None

    def _read_grid(self, words: Sequence[bytes]) -> str | None:
        low, high = CUBE_SIZES
        if not all(re.fullmatch(rb"[0-9]{1,6}", word) for word in words) or (
            not low <= len(words) <= high
        ):
            return (
                "The first line of numbers has the points of the grid, "
                f"{low} to {high} whole numbers that are not negative. Check "
                "that this is a .3dl file, and add the line."
            )
        grid = np.array([int(word) for word in words])
        if self.mesh and len(grid) != 2**self.mesh + 1:
            return (
                f"Mesh {self.mesh} is for {2**self.mesh + 1} points, and here "
                f"are {len(grid)}. Mend the one that is wrong."
            )
        even = any(
            np.all(abs(grid - np.linspace(0, 2**bits - 1, len(grid))) < SLACK)
            for bits in BITS
        )
        if not even:
            return (
                "The points of the grid, in the first line of numbers, should "
                "go in equal steps from 0 to 255, 1023, 4095 or 65535; of "
                "others, programs make different things. Sample the table "
                "again on an even grid."
            )
        self.size = len(grid)
        return None

    def _check(self, rows: np.ndarray) -> tuple[int, str] | None:
        """Returns the first row that has no code values, and why."""
        most = 2 * 2 ** (self.bits or BITS[-1])
        fits = np.all(
            (rows >= 0) & (rows < most) & (rows == np.floor(rows)), axis=1
        )
        if fits.all():
            return None
        return int(np.argmin(fits)), (
            "A row of a .3dl file has three whole numbers from 0 to "
            f"{most - 1}, twice of white. Mend them, or pass other `bits`."
        )

    def _likely_bits(self, largest: Any) -> int:
        """Returns the fewest bits that have half of the largest number."""
        if largest < 128:
            raise ValueError(
                "read_3dl cannot conclude from numbers this small how many "
                "bits they have. Pass `bits`, mostly 10 or 12. Received: "
                f"{self.source.name!r} with a largest number of {largest:.0f}"
            )
        return next(bits for bits in BITS if largest < 2 * 2**bits)
