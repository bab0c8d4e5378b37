"""A picture of the gradients of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_perceptual.gradients.tables import COLORS, names, title
from keras_perceptual.plotting import import_pyplot

if TYPE_CHECKING:
    from keras_perceptual.gradients.report import GradientReport


WELL = "#1565c0"


def plot_report(report: GradientReport, axes: Any = None) -> Any:
    """Draws the norm of the gradient of each variable, in their order.

    Args:
        report: A `GradientReport`.
        axes: Matplotlib axes to draw on. Defaults to a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    pyplot = import_pyplot("A plot of gradients", "print the report")
    if axes is None:
        height = 1 + 0.25 * max(len(report), 1)
        _, axes = pyplot.subplots(figsize=(8, height), layout="constrained")
    places = range(len(report))
    axes.barh(
        places,
        [record.norm or 0.0 for record in report],
        color=[COLORS.get(record.status, WELL) for record in report],
    )
    axes.set_yticks(
        places,
        [
            name if record.status == "ok" else f"{name} ({record.status})"
            for name, record in zip(names(report), report, strict=True)
        ],
    )
    axes.invert_yaxis()
    if any(record.norm for record in report):
        axes.set_xscale("log")
    axes.set_xlabel("norm of the gradient")
    axes.set_title(title(report))
    return axes
