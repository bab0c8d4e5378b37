"""Pictures of color tables: curves, cubes, and images before and after."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from keras_perceptual.plotting import import_pyplot
from keras_perceptual.typing import Domain

# A function that draws into axes of matplotlib.
Panel: TypeAlias = functools.partial[None]

CHANNELS = {"red": "#d32f2f", "green": "#2e7d32", "blue": "#1565c0"}
SHARED = {"all channels": "0.2"}
UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
# Points along each edge of a cube; more of them would hide each other.
MOST_POINTS = 7
SIDE = 4.5  # Of a panel, in inches.
LEARNED: dict[str, Any] = {"color": "0.2", "linewidth": 1.0}
UNCHANGED: dict[str, Any] = {
    "color": "0.6",
    "linewidth": 1.0,
    "linestyle": "--",
}


def curves_panel(
    curves: np.ndarray, domain: Domain = UNIT, title: str = ""
) -> Panel:
    """Returns what draws a line for each channel, and the identity dashed.

    Args:
        curves: Array of shape `(size, 3)`, or `(size, 1)` for one curve that
            all channels share.
        domain: Pair of three numbers each, the colors that the first and the
            last entry stand for.
        title: String to write above.
    """
    return functools.partial(_draw_curves, np.asarray(curves), domain, title)


def cube_panel(
    cube: np.ndarray, domain: Domain = UNIT, title: str = ""
) -> Panel:
    """Returns what draws points of a cube where their colors have gone.

    A cube that changes nothing fills the dashed box with a straight lattice.
    Where points draw together, the table takes contrast away; where the
    lattice leans, hues turn. The edges of the box, and its diagonal of grays,
    are drawn as the table bends them. Colors outside (0, 1) are shown as the
    nearest that a screen has.

    Args:
        cube: Array of shape `(reds, greens, blues, 3)`.
        domain: Pair of three numbers each, the colors that the first and the
            last entry along each axis stand for.
        title: String to write above.
    """
    return functools.partial(_draw_cube, np.asarray(cube), domain, title)


def image_panel(image: np.ndarray, title: str) -> Panel:
    """Returns what draws an image (height, width, 3) in (0, 1)."""
    return functools.partial(_draw_image, np.asarray(image), title)


def plot_entries(
    owner: str,
    entries: np.ndarray,
    title: str,
    pictures: Mapping[str, np.ndarray] = MappingProxyType({}),
    axes: Any = None,
) -> Any:
    """Draws curves or a cube, and images beside them.

    Args:
        owner: String, who draws, for the errors.
        entries: Array, curves or a cube, over the domain (0, 1).
        title: String to write above.
        pictures: Images (height, width, 3) in (0, 1), by their titles.
        axes: As for `plot_panels`, whose results and errors these are.
    """
    panel = curves_panel if np.ndim(entries) == 2 else cube_panel
    panels = [panel(entries, title=title)]
    panels += [image_panel(x, title) for title, x in pictures.items()]
    return plot_panels(owner, panels, axes)


def plot_panels(owner: str, panels: Sequence[Panel], axes: Any = None) -> Any:
    """Draws panels side by side.

    Args:
        owner: String, who draws, for the errors.
        panels: List of what the functions above return.
        axes: Matplotlib axes, as many as there are panels. Those for a cube
            have `projection="3d"`. Defaults to a new figure.

    Returns:
        The axes, or a NumPy array of them if there are several.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the axes are too few, too many or of the wrong kind.
    """
    pyplot = import_pyplot(
        "A plot of a color table", "look at the array of its entries"
    )
    kinds = [
        "3d" if panel.func is _draw_cube else "rectilinear" for panel in panels
    ]
    if axes is None:
        figure = pyplot.figure(
            figsize=(SIDE * len(panels), SIDE), layout="constrained"
        )
        axes = [
            figure.add_subplot(1, len(panels), place, projection=kind)
            for place, kind in enumerate(kinds, start=1)
        ]
    axes = np.ravel(np.asarray(axes, object))
    received = [getattr(axis, "name", type(axis).__name__) for axis in axes]
    if received != kinds:
        raise ValueError(
            f"{owner} draws on {len(kinds)} matplotlib axes here, with these "
            f"projections in this order: {kinds}. Make them with "
            "`figure.add_subplot(..., projection=...)`, or leave out `axes`. "
            f"Received: axes with {received}"
        )
    for panel, axis in zip(panels, axes, strict=True):
        panel(axis)
    return axes if len(axes) > 1 else axes[0]


def _draw_curves(
    curves: np.ndarray, domain: Domain, title: str, axes: Any
) -> None:
    low, high = np.asarray(domain)
    position = np.linspace(low, high, len(curves))
    lines = SHARED if curves.shape[-1] == 1 else CHANNELS
    axes.plot([low.min(), high.max()], [low.min(), high.max()], **UNCHANGED)
    for channel, (name, color) in enumerate(lines.items()):
        axes.plot(
            position[:, channel], curves[:, channel], color=color, label=name
        )
    axes.set_xlabel("color going in")
    axes.set_ylabel("color coming out")
    axes.set_title(title)
    axes.legend()


def _draw_cube(cube: np.ndarray, domain: Domain, title: str, axes: Any) -> None:
    box = np.stack(np.meshgrid(*np.transpose(domain), indexing="ij"), axis=-1)
    for lines, style in ((_edges(box), UNCHANGED), (_edges(cube), LEARNED)):
        for line in lines:
            axes.plot(*line.T, **style)
    axes.plot(*_grays(box).T, **UNCHANGED)
    axes.plot(*_grays(cube).T, **{**LEARNED, "linewidth": 2.0})
    points = cube[np.ix_(*map(_some, cube.shape[:3]))].reshape(-1, 3)
    colors = np.clip(np.nan_to_num(points), 0.0, 1.0)
    axes.scatter(*points.T, c=colors, s=18, depthshade=False, edgecolors="none")
    axes.set(xlabel="red", ylabel="green", zlabel="blue", title=title)
    axes.locator_params(nbins=4)
    axes.set_box_aspect((1, 1, 1), zoom=0.82)  # Else labels are cut off.
    axes.view_init(elev=20, azim=-60)


def _draw_image(image: np.ndarray, title: str, axes: Any) -> None:
    axes.imshow(np.clip(np.nan_to_num(image), 0.0, 1.0))
    axes.set_title(title)
    axes.set_axis_off()


def _edges(cube: np.ndarray) -> list[np.ndarray]:
    """Returns the entries along each of the twelve edges of a cube."""
    lines = []
    for axis, *ends in itertools.product(range(3), (0, -1), (0, -1)):
        place: tuple[Any, ...] = (*ends[:axis], slice(None), *ends[axis:])
        lines.append(cube[place])
    return lines


def _grays(cube: np.ndarray) -> np.ndarray:
    """Returns the entries along the diagonal from black to white.

    Edges of different sizes meet on it only where they have entries at the
    same height, at both ends at least.
    """
    steps = math.gcd(*(size - 1 for size in cube.shape[:3]))
    return cube[
        tuple(
            np.linspace(0, size - 1, steps + 1).round().astype(int)
            for size in cube.shape[:3]
        )
    ]


def _some(size: int) -> np.ndarray:
    """Returns places along an edge, with both ends, evenly if that goes."""
    places = np.linspace(0, size - 1, min(size, MOST_POINTS))
    return places.round().astype(int)
