"""Constraints of colour tables, which hold after every step."""

from keras_perceptual.constraints.bounded_table import (
    BoundedTable as BoundedTable,
)
from keras_perceptual.constraints.monotonic_table import (
    MonotonicTable as MonotonicTable,
)
