"""Checks of what `LookupColorLayer` is configured and called with."""

import functools
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import keras
import numpy as np

from keras_perceptual import validation
from keras_perceptual.image_validation import looks_like
from keras_perceptual.io.color_table import (
    CUBE_SIZES,
    CURVE_SIZES,
    check_domain,
)
from keras_perceptual.typing import (
    ArrayLike,
    DataFormat,
    Domain,
    Initializer,
    Shape,
)
from keras_perceptual.validation import Checker, calls_to_user

Size: TypeAlias = int | tuple[int, ...]


def check_size(owner: str, size: int | Sequence[int], dimensions: int) -> Size:
    """Returns the number of entries, or three of them for a cube."""
    low, high = CURVE_SIZES if dimensions == 1 else CUBE_SIZES
    check = functools.partial(
        Checker(owner).integer, "size", minimum=low, maximum=high
    )
    if dimensions == 3 and isinstance(size, list | tuple) and len(size) == 3:
        return tuple(map(check, size))
    return check(cast(int, size))


def get_initializer(owner: str, initializer: Initializer | ArrayLike) -> Any:
    """Returns a Keras initializer, or "identity", which Keras reads otherwise.

    To Keras, "identity" is the identity matrix.
    """
    # A string first: comparing an array with one gives an array.
    if initializer is None or (
        isinstance(initializer, str) and initializer == "identity"
    ):
        return "identity"
    if hasattr(initializer, "shape") or isinstance(initializer, (list, tuple)):
        raise ValueError(
            f"{owner} takes no array as `table_initializer`, for it would be "
            "written into every config. Make the layer first and pass the "
            "array to its method `set_table`. Received: table_initializer of "
            f"type {type(initializer).__name__}"
        )
    return keras.initializers.get(initializer)


def check_shaper(
    owner: str,
    shaper_size: int | None,
    dimensions: int,
    *,
    regularizer: Any,
    constraint: Any,
) -> int | None:
    """Returns the size of a shaper, refusing one where none can be."""
    if shaper_size is None:
        given = regularizer or constraint
        if given is not None:
            raise ValueError(
                f"{owner} has no shaper for a regularizer or a constraint to "
                "apply to. Pass `shaper_size`, or use `table_regularizer` and "
                f"`table_constraint`. Received: {validation.show(given)}"
            )
        return None
    low, high = CURVE_SIZES
    size = Checker(owner).integer(
        "shaper_size", shaper_size, minimum=low, maximum=high
    )
    if dimensions != 3:
        raise ValueError(
            f"{owner} puts a shaper before a cube, and dimensions=1 is curves "
            "alone. Use dimensions=3, or leave out `shaper_size`. Received: "
            f"shaper_size={size!r}, dimensions={dimensions!r}"
        )
    return size


def check_table_domain(
    owner: str,
    kind: str,
    domain: Domain | None,
    *,
    shaper_size: int | None,
    dimensions: int,
) -> Domain | None:
    """Refuses the domain of a table that the layer does not have."""
    if domain is None:
        return None
    has_it = dimensions == (1 if kind == "curves" else 3)
    if not has_it and (kind == "cube" or shaper_size is None):
        raise ValueError(
            f"{owner} has no {kind} whose domain could be given. Leave out "
            f"`{kind}_domain`, or give the domain of the table that is there. "
            f"Received: {kind}_domain={validation.show(domain)}, "
            f"dimensions={dimensions}, shaper_size={shaper_size!r}"
        )
    return check_domain(owner, f"{kind}_domain", domain)


def check_channels(owner: str, shape: Shape, data_format: DataFormat) -> None:
    """Refuses what has no colors."""
    shape = tuple(shape)
    axis, layout, least = {
        "channels_last": (-1, "(batch, height, width, 3)", 1),
        "channels_first": (-3, "(batch, 3, height, width)", 3),
    }[data_format]
    if len(shape) < least or shape[axis] not in (1, 3, 4):
        other = looks_like(shape) or data_format
        advice = (
            "Take out what is something else, or set `data_format` to the "
            "layout that the images have"
            if other == data_format
            else f"These look as if they were {other!r}: pass "
            f"`data_format={other!r}`"
        )
        raise ValueError(
            f"{owner} looks up colors of three channels, red, green and blue, "
            f"in images shaped {layout}; a fourth is transparency and stays, "
            f"and one alone is gray. {advice}. "
            f"Received: images of shape {shape}"
        )


def check_entries(
    owner: str,
    name: str,
    entries: ArrayLike,
    shape: tuple[int, ...],
    *,
    size: Size,
    dimensions: int,
) -> np.ndarray:
    """Returns a table or shaper as a NumPy array, if it fits the layer."""
    entries = keras.ops.convert_to_numpy(entries)
    if entries.shape != shape:
        raise ValueError(
            f"{owner} with size={size} and "
            f"dimensions={dimensions} needs a {name} of shape {shape}"
            + (", indexed [r, g, b]. " if len(shape) == 4 else ". ")
            + f"Reshape the {name}, or make the layer of its size. "
            f"Received: {name}.shape={entries.shape}"
        )
    finite = np.isfinite(entries)
    if not np.all(finite):
        raise ValueError(
            f"{owner} needs a {name} of finite numbers. Repair the entries "
            "that are not, for example with `numpy.nan_to_num`. "
            f"Received: a {name} with {np.sum(~finite)} entries that are "
            "NaN or infinite"
        )
    if entries.max() >= 128 and np.all(entries == np.round(entries)):
        warnings.warn(
            f"{owner} has values in (0, 1) in a {name}, whatever the "
            "`value_range`. These look like colors in (0, 255): divide them "
            f"by 255. Received: a {name} of whole numbers up to "
            f"{entries.max():g}",
            stacklevel=calls_to_user(),
        )
    return entries
