"""Putting attributes in the place of others for a while."""

import contextlib
from collections.abc import Iterator
from typing import Any

_NOTHING = object()


@contextlib.contextmanager
def replaced(part: Any, name: str, value: Any) -> Iterator[None]:
    """Has one object have another attribute, and then its own again.

    Args:
        part: The object. Its class is left alone, and so are trackers of what
            is assigned to it.
        name: The name of the attribute, which it may have from its class.
        value: What it is for the time being.
    """
    attributes = vars(part)
    former = attributes.get(name, _NOTHING)
    attributes[name] = value
    try:
        yield
    finally:
        if former is _NOTHING:
            attributes.pop(name, None)
        else:
            attributes[name] = former
