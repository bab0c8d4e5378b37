"""Constraints of color tables, which hold after every step."""

from keras_perceptual.constraints.bounded_table import BoundedTable
from keras_perceptual.constraints.monotonic_table import MonotonicTable

__all__ = [
    "BoundedTable",
    "MonotonicTable",
]


def __dir__() -> list[str]:
    return __all__
