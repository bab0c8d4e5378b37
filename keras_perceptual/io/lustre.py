"""Reading and writing `.3dl` files."""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_perceptual.io.color_table import (
    CUBE_SIZES,
    CURVE_SIZES,
    ColorTable,
)
from keras_perceptual.io.table_parts import check_bits, take_cube, to_codes
from keras_perceptual.io.text_file import read_text
from keras_perceptual.io.text_rows import BLANKS, is_keyword, split_words
from keras_perceptual.io.text_source import Source
from keras_perceptual.io.whole_file import replace_file
from keras_perceptual.progress import track
from keras_perceptual.typing import PathLike

# Code values have as many bits in practice.
BITS = (8, 10, 12, 16)
# Below, numbers are taken for those of another format.
SMALLEST_WHITE = 128
# What OpenColorIO reads of one line.
MAX_SHAPER_LENGTH = 4000
# Points of a shaper that are off from the identity by less than this are taken
# for rounded, as by OpenColorIO.
SLACK = 2
# What Lustre writes after the rows, where it changes nothing.
FOOTER = re.compile(rb"lut(?:8|10|12|16)?|gamma[ \t]+1(?:\.0*)?", re.IGNORECASE)


def read_3dl(path: PathLike | bytes, *, bits: int | None = None) -> ColorTable:
    r"""Reads a color table from a `.3dl` file, of Autodesk Flame and Lustre.

    Such a file holds whole numbers (code values) and mostly does not say of
    how many bits. The line `Mesh` of Lustre's dialect does; else 8, 10, 12 or
    16 are chosen so that the largest number fits best, as OpenColorIO does.
    That fails for a table that is dark throughout: pass `bits` for one.

    A first line of other than three numbers is a shaper: curves that go from
    its first number to its last in equal steps. So is one of three that rise
    from 0 to white.

    Args:
        path: String or path-like object, the file.
        bits: 8, 10, 12 or 16, how many bits the numbers have: with 10, 1023 is
            white. Defaults to `None`, for what the file lets one conclude.

    Returns:
        A `ColorTable` of a cube, indexed `[r, g, b]`; and of curves before it,
        where there is a shaper that changes anything.

    Raises:
        ValueError: If the file is no `.3dl` file, or one that is not whole or
            leaves something open, or if `bits` is another number. The message
            has the number of the line.
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


def write_3dl(
    path: PathLike | bytes, table: ColorTable, *, bits: int | None = None
) -> None:
    """Writes a cube to a `.3dl` file, in the dialect of Autodesk Flame.

    The entries are rounded to whole numbers. The file does not say of how many
    bits they are; so it is refused where a program would conclude wrong ones.
    Curves before the cube become the shaper, as OpenColorIO reads it; other
    programs may take its line for the points of the grid. The title is not
    written, as the format has no place for it.

    Args:
        path: String or path-like object, the file to write. It is there as a
            whole or not at all: see `write_cube`.
        table: `ColorTable` of a cube over colors from 0 to 1, with entries
            from 0 to 1, with or without a curve that all channels share before
            it.
        bits: 8, 10, 12 or 16, how many bits the numbers have. Defaults to
            `None`: 12, or 16 for a table that is dark throughout.

    Raises:
        ValueError: If the table has no cube, another domain, entries outside
            (0, 1) or curves that differ; if it is so dark that the bits could
            not be concluded; or if `bits` is another number.
        TypeError: If `table` is no `ColorTable`.
        OSError: If the file cannot be written. There is then no new file, and
            an old one is as it was.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> import numpy as np
    >>> from keras_perceptual.io import ColorTable, write_3dl
    >>> cube = np.moveaxis(np.indices((2, 2, 2)), 0, -1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "look.3dl")
    ...     write_3dl(path, ColorTable(cube=cube), bits=10)
    ...     print(path.read_text()[:24])
    0 0 0
    0 0 1023
    0 1023 0

    Reference:
        - [OpenColorIO](https://opencolorio.org), `FileFormat3DL.cpp`.
    """
    owner = "write_3dl"
    check_bits(owner, bits, BITS)
    cube = take_cube(owner, table)
    codes = _codes(owner, cube, (bits,) if bits else (12, 16))
    line = _shaper_line(owner, table.curves, len(cube))
    replace_file(owner, path, _parts(line, codes))


def _codes(
    owner: str, entries: np.ndarray, choices: tuple[int, ...]
) -> np.ndarray:
    """Returns whole numbers whose bits a reader concludes."""
    for bits in choices:
        codes = to_codes(owner, entries, bits)
        largest = codes.max()
        if largest >= SMALLEST_WHITE and _bits_for(largest) == bits:
            return codes
    raise ValueError(
        f"{owner} was given entries so dark that programs would conclude "
        "another number of bits from the largest of them, and read other "
        "colors. Pass more `bits`, or write a .cube file. Received: a largest "
        f"entry of {entries.max()} for {choices[-1]} bits"
    )


def _shaper_line(owner: str, curves: np.ndarray | None, size: int) -> str:
    """Returns the line before the rows, with its end, or none."""
    if curves is None:
        # Three numbers would be a row, and two a mistake.
        points = np.rint(np.linspace(0, 1023, size if size > 3 else 0))
    else:
        if (curves != curves[:, :1]).any() or len(curves) <= 3:
            raise ValueError(
                f"{owner} writes curves before a cube as one that all channels "
                "share, of four entries and more. Sample both in a cube, with "
                "`compose_tables(identity, table)` and a cube that changes "
                "nothing; or call resize_table, or write a .cube file. "
                f"Received: curves.shape={curves.shape}"
            )
        points = _codes(owner, curves[:, 0], BITS[::-1])
    line = " ".join(f"{point:.0f}" for point in points)
    if len(line) > MAX_SHAPER_LENGTH:
        raise ValueError(
            f"{owner} writes curves in one line, of which OpenColorIO reads "
            f"{MAX_SHAPER_LENGTH} bytes. Call `resize_table(table, "
            f"curves=512)` before. Received: {len(points)} entries"
        )
    return f"{line}\n" if line else ""


def _parts(line: str, codes: np.ndarray) -> Iterator[bytes]:
    yield line.encode("ascii")
    # Blue runs fastest.
    for plane in track(codes):
        rows = plane.reshape(-1, 3)
        text = "%d %d %d\n" * len(rows) % tuple(rows.ravel().tolist())
        yield text.encode("ascii")


class Header:
    """What stands before the rows, and what the numbers in them mean."""

    def __init__(self, source: Source, bits: int | None = None) -> None:
        self.source = source
        self.bits = bits
        self.mesh: int = 0
        self.shaper: np.ndarray | None = None

    def read(self, number: int, lines: list[bytes]) -> int:
        """Reads keywords and a shaper, and returns how many lines that are."""
        for used, line in enumerate(lines):
            line = line.strip(BLANKS)
            if not line or line.startswith(b"#"):
                continue
            words = split_words(line)
            if words[0].lower() == b"3dmesh" or (
                is_keyword(line) and self.shaper is None
            ):
                problem = self._read_keyword(words)
            elif self.shaper is not None or _is_row(words):
                return used
            else:
                problem = self._read_shaper(words)
            if problem:
                raise self.source.mistake(number + used, problem, line)
        return len(lines)

    def start_rows(self, number: int, line: bytes | None) -> dict[str, Any]:
        """Returns the arguments of `Rows`."""
        size = 2**self.mesh + 1 if self.mesh else CUBE_SIZES[1]
        reason = f"Mesh {self.mesh}" if self.mesh else "the largest cube"
        return {
            "expected": {reason: size**3},
            "check": self._check,
            "check_count": None if self.mesh else _check_count,
            "footer": FOOTER,
        }

    def make_table(self, rows: np.ndarray) -> ColorTable:
        """Returns the table, given all rows of the file."""
        white = 2 ** (self.bits or self._likely_bits(rows.max())) - 1
        # Blue runs fastest.
        cube = rows.reshape((_cube_size(len(rows)),) * 3 + (3,))
        return ColorTable(
            curves=None if self.shaper is None else _curves(self.shaper),
            cube=cube.astype("float64") / white,
        )

    def _read_keyword(self, words: Sequence[bytes]) -> str | None:
        keyword = words[0].lower()
        if keyword == b"3dmesh" and len(words) == 1:
            return None
        if keyword != b"mesh":
            return (
                "Before the rows of a .3dl file come 3DMESH, Mesh and a "
                "shaper. Take out what is something else, or put # before it."
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

    def _read_shaper(self, words: Sequence[bytes]) -> str | None:
        low, high = CURVE_SIZES
        if not all(re.fullmatch(rb"[0-9]{1,6}", word) for word in words) or (
            not low <= len(words) <= high
        ):
            return (
                "Three numbers are a row, and more or fewer a shaper, "
                f"{low} to {high} whole numbers that are not negative. Check "
                "that this is a .3dl file, and mend the line."
            )
        shaper = np.array([int(word) for word in words], "float64")
        if not SMALLEST_WHITE <= shaper.max() < 2 * 2 ** BITS[-1]:
            return (
                "A shaper has numbers of 8, 10, 12 or 16 bits, as in "
                f"`0 512 1023`, and here the largest is {shaper.max():.0f}. "
                "Check that this is a .3dl file, and mend the line."
            )
        self.shaper = shaper
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
        if largest < SMALLEST_WHITE:
            raise ValueError(
                "read_3dl cannot conclude from numbers this small how many "
                "bits they have. Pass `bits`, mostly 10 or 12. Received: "
                f"{self.source.name!r} with a largest number of {largest:.0f}"
            )
        return _bits_for(largest)


def _is_row(words: Sequence[bytes]) -> bool:
    """Tells three numbers apart from a shaper, which goes from 0 to white.

    Black would become a bright color in a row like that.
    """
    if len(words) != 3 or not all(word.isdigit() for word in words):
        return len(words) == 3
    low, middle, high = map(int, words)
    whites = [2**bits - 1 for bits in BITS]
    return not (low == 0 < middle < high and high in whites)


def _cube_size(count: int) -> int:
    """Returns the edge of a cube of so many entries, 0 if there is none."""
    low, high = CUBE_SIZES
    size = round(count ** (1 / 3))
    return size if low <= size <= high and size**3 == count else 0


def _check_count(count: int) -> str | None:
    if _cube_size(count):
        return None
    return (
        "The file should have the rows of a cube, such as 4913 for 17 along "
        f"each edge or 35937 for 33, and has {count}. Check that this is a "
        ".3dl file, and whether it was cut off."
    )


def _bits_for(largest: Any) -> int:
    return next(bits for bits in BITS if largest < 2 * 2**bits)


def _curves(shaper: np.ndarray) -> np.ndarray | None:
    """Returns the curves of a shaper, `None` where it changes nothing."""
    white = 2 ** _bits_for(shaper.max()) - 1
    even = np.linspace(0, white, len(shaper))
    if np.all(abs(shaper - even) < SLACK):
        return None
    return np.stack([shaper / white] * 3, axis=-1)
