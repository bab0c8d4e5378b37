"""Reading and writing `.spi3d` files."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_perceptual.io.color_table import CUBE_SIZES, ColorTable
from keras_perceptual.io.decimals import shortest_text
from keras_perceptual.io.table_parts import take_only_cube
from keras_perceptual.io.text_file import read_text
from keras_perceptual.io.text_rows import BLANKS, split_words
from keras_perceptual.io.text_source import Source
from keras_perceptual.io.whole_file import replace_file
from keras_perceptual.progress import track
from keras_perceptual.typing import PathLike

EXPECTED = ("SPILUT 1.0", "3 3", "the size of the cube, as in 33 33 33")


def read_spi3d(path: PathLike | bytes) -> ColorTable:
    r"""Reads a cube from a `.spi3d` file, of Sony Pictures Imageworks.

    Its rows say which entry of the cube they are, and can be in any order.

    Args:
        path: String or path-like object, the file.

    Returns:
        A `ColorTable` of a cube, indexed `[r, g, b]`.

    Raises:
        ValueError: If the file is no `.spi3d` file, or one that is not whole
            or has an entry twice. The message has the number of the line.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import read_spi3d
    >>> corners = [(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)]
    >>> rows = [f"{r} {g} {b} {1 - r} {g} {b}" for r, g, b in corners]
    >>> text = "\n".join(["SPILUT 1.0", "3 3", "2 2 2", *rows])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "look.spi3d")
    ...     _ = path.write_text(text)
    ...     table = read_spi3d(path)
    >>> table.cube[1, 0, 1].tolist()
    [0.0, 0.0, 1.0]

    Reference:
        - [OpenColorIO](https://opencolorio.org), `FileFormatSpi3D.cpp`, where
          the format is described.
    """
    return read_text(path, "spi3d", Header)


def write_spi3d(path: PathLike | bytes, table: ColorTable) -> None:
    """Writes a cube to a `.spi3d` file, of Sony Pictures Imageworks.

    Reading the file gives the same cube, to the last bit. The title is not
    written, as the format has no place for it.

    Args:
        path: String or path-like object, the file to write. It is there as a
            whole or not at all: see `write_cube`.
        table: `ColorTable` of a cube alone, over colors from 0 to 1.

    Raises:
        ValueError: If the table has curves, or another domain.
        TypeError: If `table` is no `ColorTable`.
        OSError: If the file cannot be written. There is then no new file, and
            an old one is as it was.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> import numpy as np
    >>> from keras_perceptual.io import ColorTable, write_spi3d
    >>> cube = np.moveaxis(np.indices((2, 2, 2)), 0, -1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "look.spi3d")
    ...     write_spi3d(path, ColorTable(cube=cube * [1, 0.5, 1]))
    ...     print(path.read_text()[:57])
    SPILUT 1.0
    3 3
    2 2 2
    0 0 0 0.0 0.0 0.0
    0 0 1 0.0 0.0 1.0

    Reference:
        - [OpenColorIO](https://opencolorio.org), `FileFormatSpi3D.cpp`.
    """
    owner = "write_spi3d"
    cube = take_only_cube(owner, table)
    replace_file(owner, path, _parts(cube))


def _parts(cube: np.ndarray) -> Iterator[bytes]:
    size = len(cube)
    yield f"SPILUT 1.0\n3 3\n{size} {size} {size}\n".encode("ascii")
    places = [b"%d %d" % (g, b) for g in range(size) for b in range(size)]
    for red, plane in enumerate(track(cube)):
        colors = shortest_text(plane.reshape(-1, 3)).splitlines()
        yield b"".join(
            b"%d %s %s\n" % (red, place, color)
            for place, color in zip(places, colors, strict=True)
        )


class Header:
    """The three lines before the rows, and where the rows belong."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.step: int = 0
        self.size: int

    def read(self, number: int, lines: list[bytes]) -> int:
        """Reads three lines, and returns how many come before the rows."""
        for used, line in enumerate(lines):
            if self.step == len(EXPECTED):
                return used
            line = line.strip(BLANKS)
            if line and not line.startswith(b"#"):
                problem = self._read_line(line)
                if problem:
                    raise self.source.mistake(number + used, problem, line)
                self.step += 1
        return len(lines)

    def start_rows(self, number: int, line: bytes | None) -> dict[str, Any]:
        """Returns the arguments of `Rows`."""
        if self.step < len(EXPECTED):
            raise self.source.mistake(number, self._expectation(), line)
        self.seen: np.ndarray = np.zeros(self.size**3, bool)
        return {
            "expected": {f"a cube of {self.size}": self.size**3},
            "columns": 6,
            "check": self._check,
        }

    def make_table(self, rows: np.ndarray) -> ColorTable:
        """Returns the table, given all rows of the file."""
        cube = np.empty((self.size**3, 3), "float32")
        cube[self._places(rows)] = rows[:, 3:]
        return ColorTable(cube=cube.reshape((self.size,) * 3 + (3,)))

    def _read_line(self, line: bytes) -> str | None:
        words = split_words(line)
        if self.step == 0:
            first = words[0].lower()
            fits = first == b"spilut" and words[1:] in ([], [b"1.0"], [b"1"])
        elif self.step == 1:
            fits = words == [b"3", b"3"]
        else:
            fits = False
            digits = [re.fullmatch(rb"0*([0-9]{1,9})", word) for word in words]
            if len(digits) == 3 and all(digits):
                sizes = {int(found[1]) for found in digits if found}
                low, high = CUBE_SIZES
                if len(sizes) > 1 or not low <= min(sizes) <= high:
                    return (
                        f"A cube has the same size, {low} to {high}, along "
                        "red, green and blue. Sample it again at such a size."
                    )
                fits, self.size = True, sizes.pop()
        return None if fits else self._expectation()

    def _expectation(self) -> str:
        return (
            f"Here should be a line with {EXPECTED[self.step]}. Check that "
            "this is a .spi3d file, and add the line."
        )

    def _places(self, rows: np.ndarray) -> np.ndarray:
        """Returns the index of each row among all entries of the cube."""
        red, green, blue = rows[:, :3].astype("int64").T
        return (red * self.size + green) * self.size + blue

    def _check(self, rows: np.ndarray) -> tuple[int, str] | None:
        """Returns the first row that has no place of its own, and why."""
        places = rows[:, :3]
        inside = (places >= 0) & (places < self.size)
        inside = np.all(inside & (places == np.floor(places)), axis=1)
        if not inside.all():
            return int(np.argmin(inside)), (
                "A row begins with its place in the cube, three whole numbers "
                f"from 0 to {self.size - 1}. Mend them, or the size."
            )
        places = self._places(rows)
        alone = np.zeros(len(rows), bool)
        alone[np.unique(places, return_index=True)[1]] = True
        alone &= ~self.seen[places]
        if not alone.all():
            return int(np.argmin(alone)), (
                "This entry of the cube stands further up already. Take one of "
                "the two out."
            )
        self.seen[places] = True
        return None
