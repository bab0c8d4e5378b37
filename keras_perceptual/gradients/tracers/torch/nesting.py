"""Tensors and numbers in nested lists, tuples, sets and dictionaries."""

import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import torch


def leaves_of(structure: Any) -> Iterator[Any]:
    """Yields all that is in a structure and is none itself."""
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, (list, tuple, set, frozenset)):
        for part in structure:
            yield from leaves_of(part)
    else:
        yield structure


def tensors_in(structure: Any) -> Iterator[Any]:
    """Yields all tensors in a structure."""
    for leaf in leaves_of(structure):
        if isinstance(leaf, torch.Tensor):
            yield leaf


def numbers_in(structure: Any) -> Any:
    """Returns the numbers in it that may have come out of a tensor."""
    return [
        leaf
        for leaf in leaves_of(structure)
        if isinstance(leaf, (float, np.ndarray, np.generic))
    ]


def name_data(step: Any, arguments: tuple[Any, ...]) -> Iterator[Any]:
    """Yields what is in the data of a step, with the name of its place.

    Args:
        step: The step. Of one that takes more than one argument, these are
            what gives the names.
        arguments: What it is called with. One alone is a batch as Keras has
            it: inputs, targets and weights.
    """
    if len(arguments) == 1:
        names = ("x", "y", "sample_weight")
        try:
            parts = keras.utils.unpack_x_y_sample_weight(arguments[0])
        except ValueError:
            names, parts = ("data",), arguments
    else:
        names, parts = _names_of_parameters(step, len(arguments)), arguments
    for name, part in zip(names, parts, strict=True):
        yield from _name_parts(name, part)


def _names_of_parameters(step: Any, count: int) -> Any:
    try:
        names = list(inspect.signature(step).parameters)
    except (TypeError, ValueError):
        names = []
    if len(names) == count:
        return names
    return [f"arguments[{place}]" for place in range(count)]


def _name_parts(name: str, structure: Any) -> Any:
    if isinstance(structure, dict):
        parts = structure.items()
    elif isinstance(structure, (list, tuple)):
        parts = enumerate(structure)
    else:
        yield name, structure
        return
    for place, part in parts:
        yield from _name_parts(f"{name}[{place!r}]", part)
