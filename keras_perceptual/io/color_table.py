"""A color table as files hold it: curves, a cube, or one after the other."""

import dataclasses
import math
import reprlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from keras_perceptual.io.table_plots import (
    cube_panel,
    curves_panel,
    plot_panels,
)
from keras_perceptual.typing import ArrayLike, Domain

DEFAULT_DOMAIN: Domain = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
# The ends included. Of a cube, what the specification of `.cube` files allows;
# of curves, what OpenColorIO reads.
CURVE_SIZES = (2, 300_000)
CUBE_SIZES = (2, 256)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ColorTable:
    """Curves, a cube of colors, or curves followed by a cube.

    This is what a file of a color table (LUT) says, and no more: the entries,
    which colors the first and the last of them stand for, and a title. Where
    both tables are there, the colors go through the curves first (a shaper)
    and then through the cube. Neither interpolation nor what happens outside
    the domain is part of a table.

    With `low, high` the domain, a color `c` is looked up at
    `(c - low) / (high - low) * (size - 1)`, for each channel, counting entries
    from zero.

    It is the way between layers and files: `LookupColorLayer.from_table` and
    `to_table` on one side, `read_table` and `write_table` on the other.

    A table cannot be changed: its arrays are copies and refuse writing. Use
    `dataclasses.replace` for one that differs.

    Args:
        curves: Array of shape `(size, 3)`, a curve for red, green and blue, of
            2 to 300000 entries; or `None`. Kept as float32.
        cube: Array of shape `(size, size, size, 3)`, indexed `[r, g, b]`, of
            2 to 256 entries along each edge; or `None`. Kept as float32.
            Entries of both are in no particular range, mostly (0, 1).
        curves_domain: Pair of three numbers each, `(low, high)`: the red,
            green and blue that the first and the last entry of the curves
            stand for. Defaults to `((0, 0, 0), (1, 1, 1))`.
        cube_domain: The same for the cube.
        title: String. Defaults to none, `""`.

    Raises:
        ValueError: If there is no table, if one has another shape or size or
            holds numbers that are not finite in float32, or if a domain is
            not one.
        TypeError: If the title is not a string.

    Example:

    >>> from keras_perceptual.io import ColorTable
    >>> table = ColorTable(curves=[[0, 0, 0], [1, 0.5, 1]], title="Less green")
    >>> table
    ColorTable(curves=(2, 3), title='Less green')
    >>> table.curves[1].tolist()
    [1.0, 0.5, 1.0]

    Reference:
        - Adobe Systems, Cube LUT Specification 1.0, 2013, for the limits and
          the domain; Blackmagic Design for curves before a cube.
    """

    curves: np.ndarray | None = None
    cube: np.ndarray | None = None
    curves_domain: Domain = DEFAULT_DOMAIN
    cube_domain: Domain = DEFAULT_DOMAIN
    title: str = ""

    if TYPE_CHECKING:
        # It keeps arrays, and takes what can be made one.
        def __init__(
            self,
            *,
            curves: ArrayLike | None = None,
            cube: ArrayLike | None = None,
            curves_domain: ArrayLike = DEFAULT_DOMAIN,
            cube_domain: ArrayLike = DEFAULT_DOMAIN,
            title: str = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.curves is None and self.cube is None:
            raise ValueError(
                "ColorTable needs at least one table. Pass `curves` of shape "
                "(size, 3), a `cube` of shape (size, size, size, 3), or both. "
                "Received: curves=None, cube=None"
            )
        if not isinstance(self.title, str):
            raise TypeError(
                "ColorTable needs `title` to be a string, empty for none. "
                f"Received: title={self.title!r}"
            )
        for name, dimensions, sizes in (
            ("curves", 1, CURVE_SIZES),
            ("cube", 3, CUBE_SIZES),
        ):
            values = getattr(self, name)
            domain = check_domain(
                "ColorTable", f"{name}_domain", getattr(self, f"{name}_domain")
            )
            if values is not None:
                values = _check_entries(name, values, dimensions, sizes)
            elif domain != DEFAULT_DOMAIN:
                raise ValueError(
                    f"ColorTable was given `{name}_domain` without `{name}`, "
                    f"and it would be lost. Leave it out, or pass `{name}`. "
                    f"Received: {name}=None, {name}_domain={domain}"
                )
            # The one place in which a frozen object is filled.
            object.__setattr__(self, name, values)
            object.__setattr__(self, f"{name}_domain", domain)

    def __repr__(self) -> str:
        """Shows shapes rather than the entries, which can be millions."""
        parts = []
        for name in ("curves", "cube"):
            values = getattr(self, name)
            domain = getattr(self, f"{name}_domain")
            if values is not None:
                parts.append(f"{name}={values.shape}")
            if domain != DEFAULT_DOMAIN:
                parts.append(f"{name}_domain={domain}")
        if self.title:
            parts.append(f"title={self.title!r}")
        return f"ColorTable({', '.join(parts)})"

    def plot(self, axes: Any = None) -> Any:
        """Draws the table, for a look at what a file does.

        Curves are a line for each channel, with the identity dashed. Of a
        cube, some points are drawn where their colors have gone, in red,
        green and blue, with the edges and the grays as lines; dashed is where
        all that would be in a cube that changes nothing. A table with both is
        drawn as two panels, in the order in which colors go through them.
        For images before and after, see `LookupColorLayer.plot`.

        Args:
            axes: Matplotlib axes to draw on, for a cube with
                `projection="3d"`, and two of them for curves and a cube.
                Defaults to a new figure.

        Returns:
            The axes; for curves and a cube a NumPy array of both.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If the axes are too few, too many or of the wrong kind.

        Example:

        >>> from keras_perceptual.io import ColorTable
        >>> axes = ColorTable(curves=[[0, 0, 0], [1, 0.5, 1]]).plot()
        >>> [line.get_label() for line in axes.lines[1:]]
        ['red', 'green', 'blue']
        """
        panels = []
        for name, panel in (("curves", curves_panel), ("cube", cube_panel)):
            entries = getattr(self, name)
            if entries is not None:
                domain = getattr(self, f"{name}_domain")
                title = ": ".join(part for part in (self.title, name) if part)
                panels.append(panel(entries, domain, title))
        return plot_panels("ColorTable.plot", panels, axes)


def _check_entries(
    name: str, values: Any, dimensions: int, sizes: tuple[int, int]
) -> np.ndarray:
    """Returns a copy of a table that can be read and not written."""
    shape = ", ".join(["size"] * dimensions + ["3"])
    expected = (
        f"ColorTable needs `{name}` to be numbers of shape ({shape}), size "
        f"being {sizes[0]} to {sizes[1]}. "
    )
    try:
        values = np.asarray(values)
    except ValueError:  # Rows of different lengths.
        values = np.asarray(None)
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"{expected}Convert it, for example with `numpy.asarray(table, "
            "'float32')`. Received: an array of type "
            f"{values.dtype} and shape {values.shape}"
        )
    size = values.shape[0] if values.ndim else 0
    if (
        values.shape != (size,) * dimensions + (3,)
        or not sizes[0] <= size <= sizes[1]
    ):
        raise ValueError(
            f"{expected}Reshape it with the channels last, or sample it "
            f"again at another size. Received: {name}.shape={values.shape}"
        )
    with np.errstate(all="ignore"):
        entries = np.array(values, "float32", order="C")
    wrong = entries.size - np.count_nonzero(np.isfinite(entries))
    if wrong:
        raise ValueError(
            f"ColorTable needs `{name}` to be finite in float32. Repair the "
            "entries that are not, for example with `numpy.nan_to_num`. "
            f"Received: {wrong} entries that are NaN, infinite or beyond "
            "3.4e38"
        )
    entries.setflags(write=False)
    return entries


def check_table(owner: str, table: object) -> ColorTable:
    """Returns a table, refusing what is none."""
    if not isinstance(table, ColorTable):
        raise TypeError(
            f"{owner} works on a ColorTable. Make one first, as in "
            "`ColorTable(cube=array)`. "
            f"Received: an object of type {type(table).__name__}"
        )
    return table


def check_domain(owner: str, name: str, received: Any) -> Domain:
    """Returns a domain as a pair of three floats each."""
    try:
        low, high = (tuple(map(float, end)) for end in received)
        is_domain = len(low) == len(high) == 3 and all(
            # Neither NaN nor infinity passes.
            0 < end - start < math.inf
            for start, end in zip(low, high, strict=True)
        )
    except (TypeError, ValueError, OverflowError):
        is_domain = False
    if not is_domain:
        raise ValueError(
            f"{owner} needs `{name}` to be a pair of three finite numbers "
            "each, the lowest red, green and blue and the highest, as in "
            "((0, 0, 0), (1, 1, 1)), every lowest below its highest. "
            f"Received: {name}={reprlib.repr(received)}"
        )
    return cast(Domain, (low, high))
