"""Readings as a picture, as text, as HTML and as a table of pandas."""

from __future__ import annotations

import html
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_perceptual.gradients.recorder.readings import to_records
from keras_perceptual.plotting import import_pyplot

if TYPE_CHECKING:
    from keras_perceptual.gradients.recorder.readings import Readings

LABELS = {
    "norm": "norm of the gradient",
    "update": "share of the update in the weights",
    "zeros": "share of zeros in the gradient",
    "dead": "share of dead units",
}
HEADER = ("variable", "norm", "update", "zeros", "")
# Of what else was read, where there is some.
DEAD_HEADER, TERM_HEADER = ("layer", "dead units"), ("term", "value")


def plot_readings(readings: Readings, column: str, axes: Any = None) -> Any:
    """Draws one kind of number: variables or layers over time, in color.

    Args:
        readings: The `Readings`.
        column: One of `LABELS`.
        axes: Matplotlib axes to draw on. Defaults to a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no such column, or nothing was read.
    """
    if column not in LABELS:
        raise ValueError(
            f"There is no picture of {column!r}. Choose one of "
            f"{list(LABELS)}. Received: column={column!r}"
        )
    if not len(readings):
        raise ValueError(
            "There is nothing to draw before a step was read. Call `fit` with "
            "the monitor among its callbacks first. Received: readings=[]"
        )
    names = readings.layers if column == "dead" else readings.paths
    if not names:
        raise ValueError(
            "There is nothing to draw of dead units, since no layer is known "
            "to end in a ReLU. Draw another column. Received: "
            f"column={column!r}"
        )
    pyplot = import_pyplot("A plot of readings", "take `.readings`")
    numbers = readings.column(column).T
    if axes is None:
        height = 1.5 + 0.25 * len(names)
        _, axes = pyplot.subplots(figsize=(9, height), layout="constrained")
    scale: dict[str, Any] = {"vmin": 0, "vmax": 1}
    if column in ("norm", "update"):
        # On a logarithmic scale, zero is left blank, as is NaN.
        numbers = np.where(numbers > 0, numbers, np.nan)
        known = numbers[np.isfinite(numbers)]
        ends = (known.min(), known.max()) if known.size else (0.1, 1.0)
        scale = {"norm": "log", "vmin": ends[0], "vmax": max(*ends, 1e-30)}
    mesh = axes.pcolormesh(
        np.arange(len(readings) + 1),
        np.arange(len(names) + 1),
        numbers,
        **scale,
    )
    axes.figure.colorbar(mesh, ax=axes, label=LABELS[column])
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.invert_yaxis()
    shown = np.unique(np.linspace(0, len(readings) - 1, 8).astype(int))
    axes.set_xticks(shown + 0.5, [str(s) for s in readings.steps[shown]])
    axes.set_xlabel("step")
    return axes


def title(readings: Readings) -> str:
    """Returns one line that says what was read."""
    if not len(readings):
        return "No step was read yet"
    last = readings[-1]
    return (
        f"{len(readings)} reading{'s' if len(readings) > 1 else ''}, the last "
        f"of step {last.step} in epoch {last.epoch}, loss {last.loss:.4g}"
    )


def rows(readings: Readings) -> list[tuple[str, ...]]:
    """Returns the cells of the last reading, as texts."""
    if not len(readings):
        return []
    last = readings[-1]
    return [
        (
            path,
            *(
                "-" if np.isnan(number) else f"{number:.3g}"
                for number in (last.norm[i], last.update[i], last.zeros[i])
            ),
            "" if last.finite[i] else "not finite",
        )
        for i, path in enumerate(last.paths)
    ]


def _tables(readings: Readings) -> list[list[tuple[str, ...]]]:
    """Returns the tables of the last reading, each with its header."""
    if not len(readings):
        return []
    last = readings[-1]
    found = [[HEADER, *rows(readings)]]
    for header, numbers in (
        (DEAD_HEADER, last.dead),
        (TERM_HEADER, last.terms),
    ):
        if numbers:
            cells = [(name, f"{x:.3g}") for name, x in numbers.items()]
            found.append([header, *cells])
    return found


def as_text(readings: Readings) -> str:
    """Returns the tables of the last reading."""
    lines = [title(readings)]
    for cells in _tables(readings):
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            padded = (c.ljust(w) for c, w in zip(row, widths, strict=True))
            lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def as_html(readings: Readings) -> str:
    """Returns the tables of the last reading for a notebook."""
    lines = [f"<p>{html.escape(title(readings))}</p>"]
    for table in _tables(readings):
        lines.append("<table>")
        for row in table:
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            lines.append(f"<tr>{cells}</tr>")
        lines.append("</table>")
    return "\n".join(lines)


def as_dataframe(readings: Readings) -> Any:
    """Returns all readings as a table of pandas, a row for each variable.

    Raises:
        ImportError: If pandas is not installed.
    """
    try:
        pandas: Any = importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError(
            "A table of readings needs pandas. Install it, for example by "
            "`pip install pandas`, or take the arrays in `.readings`. "
            f"Received: {error}"
        ) from error
    columns = ("step", "epoch", "loss", "variable", "norm", "update")
    return pandas.DataFrame(
        to_records(readings), columns=[*columns, "zeros", "finite"]
    )
