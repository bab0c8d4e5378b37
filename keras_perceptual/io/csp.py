"""Reading and writing `.csp` files."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_perceptual.io.color_table import (
    CUBE_SIZES,
    CURVE_SIZES,
    DEFAULT_DOMAIN,
    ColorTable,
    check_table,
)
from keras_perceptual.io.cube import red_fastest
from keras_perceptual.io.decimals import shortest_text
from keras_perceptual.io.table_operations import compose_tables, resize_table
from keras_perceptual.io.text_file import read_text
from keras_perceptual.io.text_rows import BLANKS, NUMBER, split_words
from keras_perceptual.io.text_source import Source
from keras_perceptual.io.whole_file import replace_file
from keras_perceptual.typing import PathLike

# Of a prelut that bends, how many entries are computed, as by OpenColorIO.
SAMPLES = 65536
# How many are written of curves: between so many, a cubic is next to straight.
FINE = 4097
WHOLE = re.compile(rb"0*([0-9]{1,9})")
# Inputs and outputs of each channel.
Prelut = list[np.ndarray]


def read_csp(path: PathLike | bytes) -> ColorTable:
    r"""Reads a color table from a `.csp` file, of Rising Sun's cineSpace.

    Such a file has curves or a cube, and before them a prelut: points for each
    channel, with a smooth curve through them. A prelut of two points that goes
    from 0 to 1 is the domain of the table. Any other is sampled, in 65536
    entries if it bends, as by OpenColorIO. What follows is kept where it is a
    cube; curves are sampled along with it.

    Args:
        path: String or path-like object, the file.

    Returns:
        A `ColorTable`. Its title is the first line of the metadata.

    Raises:
        ValueError: If the file is no `.csp` file, or one that is not whole.
            The message has the number of the line.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import read_csp
    >>> prelut = "2\n0 4\n0 1\n" * 3
    >>> text = f"CSPLUTV100\n1D\n\n{prelut}\n2\n0 0 0\n1 0.5 1\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "look.csp")
    ...     _ = path.write_text(text)
    ...     read_csp(path)
    ColorTable(curves=(2, 3), curves_domain=((0.0, 0.0, 0.0), (4.0, 4.0, 4.0)))

    Reference:
        - Rising Sun Research, cineSpace LUT library, and
          [OpenColorIO](https://opencolorio.org), `FileFormatCSP.cpp`.
    """
    return read_text(path, "csp", Header)


def write_csp(path: PathLike | bytes, table: ColorTable) -> None:
    """Writes a color table to a `.csp` file, of Rising Sun's cineSpace.

    Curves or a cube come back to the last bit, and their domain with them, one
    for each channel. Curves before a cube become the prelut, of 4097 points
    and more: programs lead a cubic through these, and where a curve has a kink
    it is rounded off between two of them.

    Args:
        path: String or path-like object, the file to write. It is there as a
            whole or not at all: see `write_cube`.
        table: `ColorTable`, with up to 4097 entries of curves before a cube.

    Raises:
        ValueError: If there are more, if the title is more than a line of
            text, or if the domain is too narrow for float32.
        TypeError: If `table` is no `ColorTable`.
        OSError: If the file cannot be written. There is then no new file, and
            an old one is as it was.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import ColorTable, read_csp, write_csp
    >>> table = ColorTable(curves=[[0, 0, 0], [1, 0.9, 0.75]], title="Warm")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "warm.csp")
    ...     write_csp(path, table)
    ...     read_csp(path)
    ColorTable(curves=(2, 3), title='Warm')

    Reference:
        - See `read_csp`.
    """
    owner = "write_csp"
    check_table(owner, table)
    title = table.title
    if title != title.strip() or not title.isprintable() or _is_end(title):
        raise ValueError(
            f"{owner} writes titles of one line of text. Take another, with "
            "`dataclasses.replace(table, title='...')`. "
            f"Received: title={title!r}"
        )
    both = table.curves is not None and table.cube is not None
    if both and len(table.curves) > FINE:  # type: ignore[arg-type]
        raise ValueError(
            f"{owner} writes up to {FINE} entries of curves before a cube. "
            f"Call `resize_table(table, curves={FINE})` before. "
            f"Received: {table!r}"
        )
    _check_domain(owner, table)
    replace_file(owner, path, _parts(table))


def _parts(table: ColorTable) -> Iterator[bytes]:
    kind = "1D" if table.cube is None else "3D"
    yield f"CSPLUTV100\n{kind}\n\nBEGIN METADATA\n".encode("ascii")
    if table.title:
        yield f"{table.title}\n".encode()
    yield b"END METADATA\n\n"
    yield from _prelut_parts(table)
    if table.cube is not None:
        yield b"\n%d %d %d\n" % ((len(table.cube),) * 3)
        yield from red_fastest(table.cube)
    elif table.curves is not None:
        yield b"\n%d\n" % len(table.curves)
        yield shortest_text(table.curves)


def _prelut_parts(table: ColorTable) -> Iterator[bytes]:
    """Yields the domain of a table, or the curves before a cube."""
    domain = table.curves_domain
    if table.curves is None or table.cube is None:
        if table.curves is None:
            domain = table.cube_domain
        for low, high in zip(*domain, strict=True):
            yield f"2\n{low!r} {high!r}\n0.0 1.0\n".encode("ascii")
        return
    # The entries stay among the points, and the ways between them straight.
    cells = len(table.curves) - 1
    size = cells * -(-(FINE - 1) // cells) + 1
    curves = resize_table(table, curves=size).curves
    low, high = np.array(table.cube_domain)
    places = (np.asarray(curves, "float64") - low) / (high - low)
    for channel, (first, last) in enumerate(zip(*domain, strict=True)):
        inputs = np.linspace(first, last, size)
        yield b"%d\n" % size
        for numbers in (inputs, places[:, channel]):
            text = shortest_text(numbers.astype("float32")[:, None])
            yield b" ".join(text.split()) + b"\n"


def _check_domain(owner: str, table: ColorTable) -> None:
    """Refuses a domain whose points are one in float32."""
    for domain in (table.curves_domain, table.cube_domain):
        low, high = np.array(domain)
        points = np.linspace(low, high, 2 * FINE).astype("float32")
        if not (np.diff(points, axis=0) > 0).all():
            raise ValueError(
                f"{owner} writes domains that float32 has enough numbers for. "
                "Sample the table again over a wider one. "
                f"Received: a domain of {domain}"
            )


class Header:
    """What stands before the rows of a `.csp` file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.is_cube: bool = False
        self.title: str | None = None
        self.points: int = 0
        self.prelut: Prelut = []
        self.size: int = 0
        # What reads the next line that is not blank.
        self.step: Callable[[bytes], str | None] = self._read_first

    def read(self, number: int, lines: list[bytes]) -> int:
        """Reads lines, and returns how many come before the rows."""
        for used, line in enumerate(lines):
            if self.size:
                return used
            line = line.strip(BLANKS)
            if line and (problem := self.step(line)):
                raise self.source.mistake(number + used, problem, line)
        return len(lines)

    def start_rows(self, number: int, line: bytes | None) -> dict[str, Any]:
        """Returns the arguments of `Rows`."""
        if not self.size:
            problem = (
                "Before the rows come CSPLUTV100, 1D or 3D, the prelut and the "
                "size. Check whether the file was cut off."
            )
            raise self.source.mistake(number, problem, line)
        count = self.size**3 if self.is_cube else self.size
        return {"expected": {f"a size of {self.size}": count}}

    def make_table(self, rows: np.ndarray) -> ColorTable:
        """Returns the table, given all rows of the file."""
        title = self.title or ""
        name = "cube" if self.is_cube else "curves"
        if self.is_cube:
            shape = (self.size,) * 3 + (3,)
            # Red runs fastest.
            rows = rows.reshape(shape).transpose(2, 1, 0, 3)
        main: dict[str, Any] = {name: rows}
        shaper = self._shaper()
        if isinstance(shaper, ColorTable):
            if not self.is_cube:
                shaper = compose_tables(
                    shaper, ColorTable(**main), size=SAMPLES
                )
                main = {}
            return ColorTable(
                curves=shaper.curves,
                curves_domain=shaper.curves_domain,
                title=title,
                **main,
            )
        return ColorTable(**main, **{f"{name}_domain": shaper}, title=title)

    def _shaper(self) -> Any:
        """Returns the prelut as curves, or as a domain if it is one."""
        inputs, outputs = self.prelut[::2], self.prelut[1::2]
        if all(
            len(x) == len(y) and np.allclose(x, y, rtol=1e-6, atol=0)
            for x, y in zip(inputs, outputs, strict=True)
        ):
            return DEFAULT_DOMAIN
        domain = [x[0] for x in inputs], [x[-1] for x in inputs]
        is_short = max(map(len, inputs)) == 2
        if is_short and all(y.tolist() == [0, 1] for y in outputs):
            return domain
        size = 2 if is_short else SAMPLES
        curves = [
            _through(x, y, np.linspace(x[0], x[-1], size))
            for x, y in zip(inputs, outputs, strict=True)
        ]
        return ColorTable(
            curves=np.stack(curves, axis=-1), curves_domain=domain
        )

    def _read_first(self, line: bytes) -> str | None:
        if line.upper() != b"CSPLUTV100":
            return (
                "Here should be CSPLUTV100. Check that this is a .csp file of "
                "this version."
            )
        self.step = self._read_kind
        return None

    def _read_kind(self, line: bytes) -> str | None:
        if line.upper() not in (b"1D", b"3D"):
            return "Here should be 1D or 3D. Mend the line."
        self.is_cube = line.upper() == b"3D"
        self.step = self._read_points
        return None

    def _read_metadata(self, line: bytes) -> str | None:
        text = line.decode("utf-8", "replace")
        if _is_end(text):
            self.step = self._read_points
        elif self.title is None:
            self.title = text
        return None

    def _read_points(self, line: bytes) -> str | None:
        if line.upper() == b"BEGIN METADATA" and not self.prelut:
            self.step = self._read_metadata
            return None
        digits = WHOLE.fullmatch(line)
        if not digits:
            return (
                "Here should be how many points the prelut of a channel has, "
                "one whole number. Write 2, with the lines `0 1` and `0 1` "
                "after it, for one that changes nothing."
            )
        self.points = int(digits[1])
        if self.points < 2:
            # Without points, as OpenColorIO reads it.
            self.prelut += [np.array([0.0, 1.0])] * 2
            self.step = self._next()
        else:
            self.step = self._read_numbers
        return None

    def _read_numbers(self, line: bytes) -> str | None:
        words = split_words(line)
        numbers = np.array([float(w) for w in words if NUMBER.fullmatch(w)])
        if (
            not len(words) == len(numbers) == self.points
            or not (abs(numbers) < np.finfo("float32").max).all()
        ):
            return (
                f"Here should be {self.points} finite numbers with spaces "
                "between them, a point of the prelut each. Mend the line, or "
                "the number of points."
            )
        is_input = len(self.prelut) % 2 == 0
        # In float32 as well, in which other programs compute.
        if is_input and not (np.diff(numbers.astype("float32")) > 0).all():
            return (
                "The inputs of a prelut rise from one to the next. Sort them."
            )
        self.prelut.append(numbers)
        if not is_input:
            self.step = self._next()
        return None

    def _next(self) -> Callable[[bytes], str | None]:
        return self._read_points if len(self.prelut) < 6 else self._read_size

    def _read_size(self, line: bytes) -> str | None:
        low, high = CUBE_SIZES if self.is_cube else CURVE_SIZES
        digits = [WHOLE.fullmatch(word) for word in split_words(line)]
        sizes = {int(found[1]) for found in digits if found}
        if (
            not all(digits)
            or len(digits) != (3 if self.is_cube else 1)
            or len(sizes) != 1
            or not low <= min(sizes) <= high
        ):
            what = "three equal numbers" if self.is_cube else "one whole number"
            return (
                f"Here should be the size of the table, {what} from {low} to "
                f"{high}. Sample the table again at such a size."
            )
        self.size = sizes.pop()
        return None


def _is_end(line: str) -> bool:
    return line.upper() == "END METADATA"


def _through(
    inputs: np.ndarray, outputs: np.ndarray, at: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Returns a smooth curve through points, at some places between them.

    Piecewise cubic, with the slope at a point that of the line between its
    neighbors; in the first and the last piece a parabola.
    """
    widths = np.diff(inputs)
    straight = np.diff(outputs) / widths
    if len(inputs) == 2:
        slopes = np.repeat(straight, 2)
    else:
        inner = (outputs[2:] - outputs[:-2]) / (inputs[2:] - inputs[:-2])
        ends = 2 * straight[[0, -1]] - inner[[0, -1]]
        slopes = np.concatenate([ends[:1], inner, ends[1:]])
    piece = np.searchsorted(inputs, at, side="right") - 1
    piece = np.clip(piece, 0, len(inputs) - 2)
    width, z = widths[piece], (at - inputs[piece]) / widths[piece]
    first, rise = outputs[piece], straight[piece] * width
    left, right = slopes[piece] * width, slopes[piece + 1] * width
    curvature = 3 * rise - 2 * left - right
    return first + z * (left + z * (curvature + z * (left + right - 2 * rise)))
