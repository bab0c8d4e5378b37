"""What the pictures of this package need, if it is there."""

import importlib
from collections.abc import Sequence
from typing import Any


def import_pyplot(what: str, instead: str) -> Any:
    """Returns `matplotlib.pyplot`, which is an optional dependency.

    Args:
        what: String, what is to be drawn, such as "A plot of gradients".
        instead: String, what can be done without it, as an order.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    return _import("matplotlib", ["pyplot"], what, instead).pyplot


def import_pillow(what: str, instead: str) -> Any:
    """Returns the package of Pillow, which is an optional dependency.

    Args:
        what: String, what is to be drawn, such as "A sheet of images".
        instead: String, what can be done without it, as an order.

    Raises:
        ImportError: If Pillow is not installed.
    """
    parts = ["Image", "ImageDraw", "ImageFont"]
    return _import("PIL", parts, what, instead, project="Pillow")


def _import(
    package: str,
    parts: Sequence[str],
    what: str,
    instead: str,
    project: str | None = None,
) -> Any:
    """Returns a package with some of its modules in it."""
    project = project or package
    try:
        for part in parts:
            importlib.import_module(f"{package}.{part}")
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {project}. Install it, for example by "
            f"`pip install {project.lower()}`, or {instead}. Received: {error}"
        ) from error
