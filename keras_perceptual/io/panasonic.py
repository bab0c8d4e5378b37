"""Reading `.vlt` files."""

import re
from typing import Any

import numpy as np

from keras_perceptual.io.color_table import CUBE_SIZES, ColorTable
from keras_perceptual.io.text_file import read_text
from keras_perceptual.io.text_rows import BLANKS, split_words
from keras_perceptual.io.text_source import Source
from keras_perceptual.typing import PathLike

WHITE = 4095


def read_vlt(path: PathLike | bytes) -> ColorTable:
    r"""Reads a cube from a `.vlt` file, of Panasonic's VariCam and Lumix.

    Args:
        path: String or path-like object, the file. Its rows are whole numbers
            of 12 bits; cameras take 17 entries along each edge.

    Returns:
        A `ColorTable` of a cube, indexed `[r, g, b]`.

    Raises:
        ValueError: If the file is no `.vlt` file, or one that is not whole.
            The message has the number of the line.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import read_vlt
    >>> corners = [(r, g, b) for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    >>> rows = [f"{4095 * r} {4095 * g} {1365 * b}" for r, g, b in corners]
    >>> head = ["# panasonic vlt file version 1.0", "LUT_3D_SIZE 2"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "look.vlt")
    ...     _ = path.write_text("\n".join([*head, *rows]))
    ...     table = read_vlt(path)
    >>> table.cube[1, 0, 1].tolist()
    [1.0, 0.0, 0.3333333432674408]

    Reference:
        - B. Turley, LUTCalc, which writes what the cameras do.
    """
    return read_text(path, "vlt", Header)


class Header:
    """The size of the cube, and what the numbers in the rows mean."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.size: int = 0

    def read(self, number: int, lines: list[bytes]) -> int:
        """Reads the size, and returns how many lines come before the rows."""
        for used, line in enumerate(lines):
            line = line.strip(BLANKS)
            if not line or line.startswith(b"#"):
                continue
            if self.size:
                return used
            problem = self._read_size(split_words(line))
            if problem:
                raise self.source.mistake(number + used, problem, line)
        return len(lines)

    def start_rows(self, number: int, line: bytes | None) -> dict[str, Any]:
        """Returns the arguments of `Rows`."""
        if not self.size:
            problem = "A line with LUT_3D_SIZE should come before. Add it."
            raise self.source.mistake(number, problem, line)
        return {
            "expected": {"LUT_3D_SIZE": self.size**3},
            "check": _check,
        }

    def make_table(self, rows: np.ndarray) -> ColorTable:
        """Returns the table, given all rows of the file."""
        cube = rows.reshape((self.size,) * 3 + (3,)).astype("float64") / WHITE
        # Red runs fastest.
        return ColorTable(cube=cube.transpose(2, 1, 0, 3))

    def _read_size(self, words: list[bytes]) -> str | None:
        low, high = CUBE_SIZES
        digits = re.fullmatch(rb"0*([0-9]{1,9})", b" ".join(words[1:]))
        if (
            words[0].upper() != b"LUT_3D_SIZE"
            or not digits
            or not low <= int(digits[1]) <= high
        ):
            return (
                "Before the rows comes LUT_3D_SIZE with one whole number from "
                f"{low} to {high}, mostly 17, and nothing else but comments. "
                "Check that this is a .vlt file."
            )
        self.size = int(digits[1])
        return None


def _check(rows: np.ndarray) -> tuple[int, str] | None:
    """Returns the first row that has no numbers of 12 bits, and why."""
    fits = np.all(
        (rows >= 0) & (rows <= WHITE) & (rows == np.floor(rows)), axis=1
    )
    if fits.all():
        return None
    return int(np.argmin(fits)), (
        f"A row of a .vlt file has three whole numbers from 0 to {WHITE}. Mend "
        "them, or check that this is no .cube file."
    )
