"""Reading `.clf` and `.ctf` files.

They are a list of steps. Those that a color table can say are curves, a cube,
or both, and before and after them what is straight: ranges and matrices. After
a table that is worked into its entries, before it into its domain, or else
refused: a table that is nearly right would be found out late.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import cast

import numpy as np

from keras_perceptual.io.color_table import (
    CUBE_SIZES,
    CURVE_SIZES,
    DEFAULT_DOMAIN,
    ColorTable,
)
from keras_perceptual.io.text_rows import ROW_CHARACTERS
from keras_perceptual.io.text_source import Source
from keras_perceptual.io.xml_nodes import Node, read_nodes
from keras_perceptual.typing import Domain, PathLike

# What 1 is in files, by the name of the type.
WHITES = {
    "8i": 255.0,
    "10i": 1023.0,
    "12i": 4095.0,
    "16i": 65535.0,
    "16f": 1.0,
    "32f": 1.0,
}
WHITESPACE = b"\n\r"
# Characters of a number, with blanks around it and room for indentation.
LONGEST_NUMBER = 60
MOST_DIMENSIONS = 4
NOTES = ("Description", "InputDescriptor", "OutputDescriptor", "Info")
ENDS = ("minInValue", "maxInValue", "minOutValue", "maxOutValue")
# Attributes that change nothing, and those that do unless they have a value.
HARMLESS = {"id", "name", "inBitDepth", "outBitDepth", "interpolation"}
PLAIN = {"halfDomain": "false", "rawHalfs": "false", "bypass": "false"}
INSTEAD = (
    "Bake the file into a .cube file with OpenColorIO, as in `ociobakelut "
    "--lut look.clf --format resolve_cube look.cube`."
)


def read_clf(path: PathLike | bytes) -> ColorTable:
    r"""Reads a color table from a file in the Common LUT Format.

    That is `.clf` of the Academy, and `.ctf` of Autodesk, of which the first
    is a part. Read are files with a `LUT1D`, a `LUT3D`, or one after the
    other, and with `Range` and `Matrix` before or after them: what follows a
    table is worked into its entries, curves before a matrix being followed by
    a cube of two entries; what comes before becomes the domain. Both are
    exact. What a `ColorTable` cannot say exactly is refused: other steps, a
    matrix before a table that mixes channels, and a range after a cube that
    cuts colors off.

    Args:
        path: String or path-like object, the file.

    Returns:
        A `ColorTable`. The `name` of the list is its title.

    Raises:
        ValueError: If the file is none, is not whole, or does what no
            `ColorTable` can. The message has the number of the line.
        OSError: If the file cannot be read, such as `FileNotFoundError`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> from keras_perceptual.io import read_clf
    >>> text = '''<ProcessList id="1" compCLFversion="3">
    ... <LUT1D inBitDepth="32f" outBitDepth="10i">
    ... <Array dim="2 1">0 1023</Array></LUT1D></ProcessList>'''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "look.clf")
    ...     _ = path.write_text(text)
    ...     read_clf(path).curves.tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]

    Reference:
        - Academy of Motion Picture Arts and Sciences, Common LUT Format,
          S-2014-006, and [OpenColorIO](https://opencolorio.org).
    """
    source, root = read_nodes(path, "clf", _limit_text)
    return _Reading(source).read(root)


@dataclasses.dataclass(frozen=True)
class Straight:
    """A step that is straight, between cuts: `clip(colors @ matrix.T + shift)`.

    Attributes:
        matrix: Array of shape `(3, 3)`.
        shift: Array of shape `(3,)`.
        low: Float, where colors are cut off below; minus infinity for nowhere.
        high: Float, the same above.
    """

    matrix: np.ndarray
    shift: np.ndarray
    low: float = -np.inf
    high: float = np.inf

    @property
    def mixes(self) -> bool:
        """Whether channels depend on each other."""
        return bool((self.matrix != np.diag(np.diag(self.matrix))).any())

    def cuts(self, entries: np.ndarray) -> bool:
        """Whether some entries are cut off, by more than rounding."""
        size = max(1.0, float(abs(entries).max()))
        margin = 1e-6 * size
        return bool(
            entries.min() < self.low - margin
            or entries.max() > self.high + margin
        )


class _Reading:
    """What is known of a file, step by step."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.curves: np.ndarray | None = None
        self.cube: np.ndarray | None = None
        self.first_domain: Domain = DEFAULT_DOMAIN
        self.cube_domain: Domain = DEFAULT_DOMAIN
        # Where the last step cut curves off, of which a cube was made.
        self.cut: tuple[float, float] | None = None

    def read(self, root: Node) -> ColorTable:
        if root.name != "ProcessList":
            raise self._mistake(
                root, "This is no color table. Check that it is a .clf file."
            )
        before: list[tuple[Node, Straight]] = []
        for node in root.children:
            if node.name in NOTES:
                continue
            if node.name in ("LUT1D", "LUT3D"):
                self._check_attributes(node)
                is_first = not self.has_table
                if not is_first:
                    self._check_second(node)
                self._take_table(node)
                if is_first:
                    self._go_before(before)
            elif node.name in ("Range", "Matrix"):
                self._check_attributes(node)
                read = self._range if node.name == "Range" else self._matrix
                if self.has_table:
                    self._follow(node, read(node))
                else:
                    before.append((node, read(node)))
            else:
                raise self._mistake(
                    node,
                    f"{node.name} is a step that no color table has. {INSTEAD}",
                )
        if not self.has_table:
            raise self._mistake(
                root, "There is no LUT1D or LUT3D. Check whether it is whole."
            )
        curves_first = self.curves is not None
        return ColorTable(
            curves=self.curves,
            cube=self.cube,
            curves_domain=self.first_domain if curves_first else DEFAULT_DOMAIN,
            cube_domain=self.cube_domain if curves_first else self.first_domain,
            title=root.attributes.get("name", ""),
        )

    @property
    def has_table(self) -> bool:
        return self.curves is not None or self.cube is not None

    def _check_second(self, node: Node) -> None:
        """Refuses a second table, unless it is a cube behind curves."""
        low, high = self.cut or (0.0, 1.0)
        if self.cut is not None and low <= 0 and high >= 1:
            # The cube to come cuts off as much.
            self.cube, self.cube_domain = None, DEFAULT_DOMAIN
        if node.name != "LUT3D" or self.cube is not None:
            raise self._mistake(
                node,
                "Of two tables, curves come first and a cube next, with no "
                "matrix in between that mixes channels and nothing that cuts "
                f"colors off. {INSTEAD}",
            )

    def _take_table(self, node: Node) -> None:
        array = self._child(node, "Array")
        is_cube = node.name == "LUT3D"
        dims = _dims(array)
        low, high = CUBE_SIZES if is_cube else CURVE_SIZES
        size = dims[0] if dims else 0
        fits = (
            dims == [size] * 3 + [3]
            if is_cube
            else dims in ([size, 1], [size, 3])
        )
        if not fits or not low <= size <= high:
            what = "17 17 17 3" if is_cube else "1024 3"
            raise self._mistake(
                array,
                f'{node.name} has an Array of `dim="{what}"` or the like, with '
                f"sizes from {low} to {high}. Sample it again at such a size.",
            )
        entries = self._numbers(array, dims) / self._white(node, "out")
        if is_cube:
            # Blue runs fastest.
            self.cube = entries
        else:
            self.curves = np.repeat(entries, 3 // dims[1], axis=1)

    def _go_before(self, steps: Sequence[tuple[Node, Straight]]) -> None:
        """Works what comes before the table into its domain."""
        # The table itself cuts colors off at its ends.
        low, high = np.zeros(3), np.ones(3)
        for node, step in reversed(steps):
            scale = np.diag(step.matrix)
            if step.mixes or not (scale > 0).all():
                raise self._mistake(
                    node,
                    "Before a table, a color table has room for a scale of "
                    "each channel alone, above zero, and this mixes them. "
                    f"{INSTEAD}",
                )
            low, high = np.maximum(low, step.low), np.minimum(high, step.high)
            if not (low < high).all():
                raise self._mistake(
                    node, f"This leaves one color alone. {INSTEAD}"
                )
            low, high = (low - step.shift) / scale, (high - step.shift) / scale
        self.first_domain = (_triple(low), _triple(high))
        seen = np.stack([low, high])
        for _, step in steps:
            seen = seen * np.diag(step.matrix) + step.shift
        if np.allclose(seen, [[0], [1]], rtol=0, atol=1e-6):
            return
        if self.cube is None:
            raise self._mistake(
                steps[0][0],
                "This cuts colors off that the table has entries for, which "
                f"curves cannot say. {INSTEAD}",
            )
        # Curves of two entries cut off as well.
        self.curves = seen

    def _follow(self, node: Node, step: Straight) -> None:
        """Works what comes after the table into its entries."""
        if self.cube is None and step.mixes:
            # Between two entries a cube is straight, whatever is mixed.
            self._add_cube(None, None)
        name = "curves" if self.cube is None else "cube"
        entries = getattr(self, name) @ step.matrix.T + step.shift
        setattr(self, name, entries)
        self.cut = None
        if not step.cuts(entries):
            return
        if self.cube is not None:
            raise self._mistake(
                node,
                "This cuts colors off after a cube or a matrix, also between "
                f"its entries, which a color table cannot say. {INSTEAD}",
            )
        # A cube cuts off at the ends of its domain.
        self._add_cube(step.low, step.high)
        self.cut = (step.low, step.high)

    def _add_cube(self, low: float | None, high: float | None) -> None:
        """Puts a cube behind the curves that changes nothing in its domain."""
        curves = cast(np.ndarray, self.curves)
        first, last = curves.min(axis=0), curves.max(axis=0)
        if low is not None:
            first = np.full(3, low) if np.isfinite(low) else first
        if high is not None:
            last = np.full(3, high) if np.isfinite(high) else last
        last = np.where(last > first, last, first + 1)
        self.cube_domain = (_triple(first), _triple(last))
        corners = np.moveaxis(np.indices((2, 2, 2)), 0, -1)
        self.cube = np.where(corners == 0, first, last)

    def _matrix(self, node: Node) -> Straight:
        array = self._child(node, "Array")
        dims = _dims(array)
        # In older files the number of channels comes last.
        if dims not in ([3, 3], [3, 4], [3, 3, 3], [3, 4, 3]):
            raise self._mistake(
                array,
                'Matrix has an Array of `dim="3 3"` or `dim="3 4"`. Leave '
                "transparency out.",
            )
        numbers = self._numbers(array, dims[:2]) / self._white(node, "out")
        shift = numbers[:, 3] if dims[1] == 4 else np.zeros(3)
        return Straight(numbers[:, :3] * self._white(node, "in"), shift)

    def _range(self, node: Node) -> Straight:
        ends = {}
        for child in node.children:
            if child.name in ENDS and child.name not in ends:
                side = "in" if "In" in child.name else "out"
                number = self._numbers(child, [1])[0]
                ends[child.name] = float(number) / self._white(node, side)
            elif child.name not in NOTES:
                raise self._mistake(
                    child, f"A Range has each of {', '.join(ENDS)} once."
                )
        style = node.attributes.get("style", "Clamp").lower()
        known = {name[:3] for name in ends}
        pairs = {end: (f"{end}InValue", f"{end}OutValue") for end in known}
        if (
            not ends
            or any(name not in ends for pair in pairs.values() for name in pair)
            or style not in ("clamp", "noclamp")
            or (style == "noclamp" and len(ends) < 4)
        ):
            raise self._mistake(
                node,
                'A Range has a pair of values, or two with `style="noClamp"`. '
                "Mend it.",
            )
        scale = 1.0
        if len(ends) == 4:
            width = ends["maxInValue"] - ends["minInValue"]
            scale = (ends["maxOutValue"] - ends["minOutValue"]) / (width or 1)
            if width <= 0 or not 0 < scale < np.inf:
                raise self._mistake(
                    node, "The values of a Range rise from min to max. Mend it."
                )
        end = "min" if "min" in known else "max"
        shift = ends[f"{end}OutValue"] - scale * ends[f"{end}InValue"]
        if len(ends) == 2 and abs(shift) > 1e-6:
            raise self._mistake(
                node, "One pair alone is two equal values. Add the other."
            )
        limits = (-np.inf, np.inf)
        if style == "clamp":
            limits = (
                ends.get("minOutValue", -np.inf),
                ends.get("maxOutValue", np.inf),
            )
        return Straight(scale * np.eye(3), np.full(3, shift), *limits)

    def _check_attributes(self, node: Node) -> None:
        """Refuses what would change the meaning of a step."""
        for name, value in node.attributes.items():
            name = name.rpartition(":")[2]
            if name in HARMLESS or (node.name, name) == ("Range", "style"):
                continue
            if value.lower() != PLAIN.get(name):
                raise self._mistake(
                    node,
                    f"{name} may change what the numbers of {node.name} mean, "
                    f"and is not read. {INSTEAD}",
                )
        for child in node.children:
            if child.name not in (*NOTES, "Array", *ENDS):
                raise self._mistake(
                    child,
                    f"{child.name} may change what the numbers of {node.name} "
                    f"mean, and is not read. {INSTEAD}",
                )

    def _white(self, node: Node, side: str) -> float:
        depth = node.attributes.get(f"{side}BitDepth", "")
        if depth not in WHITES:
            raise self._mistake(
                node,
                f"{node.name} has {side}BitDepth, one of "
                f"{', '.join(WHITES)}. Add or mend it.",
            )
        return WHITES[depth]

    def _child(self, node: Node, name: str) -> Node:
        found = [child for child in node.children if child.name == name]
        if len(found) != 1:
            raise self._mistake(
                node, f"{node.name} has one {name}. Add it, or take one out."
            )
        return found[0]

    def _numbers(self, node: Node, dims: Sequence[int]) -> np.ndarray:
        """Returns the numbers in a node, in an array of a shape."""
        count = int(np.prod(dims))
        text = node.text.encode()
        try:
            if text.translate(None, ROW_CHARACTERS + WHITESPACE):
                raise ValueError("Received: other characters")
            numbers = np.array(list(map(float, text.split())))
        except ValueError:
            numbers = np.array([np.nan])
        if not (abs(numbers) <= np.finfo("float32").max).all():
            raise self._mistake(
                node,
                f"{node.name} has decimal numbers with blanks between them, "
                "none of them infinite or beyond 3.4e38. Mend them.",
            )
        if len(numbers) != count:
            raise self._mistake(
                node,
                f"{node.name} should have {count} numbers, and has "
                f"{len(numbers)}. Check whether some are missing.",
            )
        return numbers.reshape(dims)

    def _mistake(self, node: Node, problem: str) -> ValueError:
        attributes = "".join(f' {k}="{v}"' for k, v in node.attributes.items())
        received = f"<{node.name}{attributes}>"
        return self.source.mistake(node.line, problem, received.encode())


def _triple(numbers: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = numbers.tolist()
    return red, green, blue


def _dims(array: Node) -> list[int]:
    """Returns the sizes that an array says it has; none if it does not."""
    words = array.attributes.get("dim", "").split()
    are_sizes = (re.fullmatch("[0-9]{1,6}", word) for word in words)
    if len(words) > MOST_DIMENSIONS or not all(are_sizes):
        return []
    return [int(word) for word in words]


def _limit_text(node: Node) -> int:
    """Returns how many characters of text a node may have."""
    if node.name in ENDS:
        return 10 * LONGEST_NUMBER
    if node.name != "Array":
        return 0
    # At most what the largest table has, whatever the file says.
    most = CUBE_SIZES[1] ** 3 * 3
    count = min(int(np.prod(_dims(node), dtype=float)), most)
    return LONGEST_NUMBER * (count + 10)
