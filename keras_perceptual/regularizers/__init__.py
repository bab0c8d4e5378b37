"""Regularizers of color tables."""

from keras_perceptual.regularizers.table_monotonicity import TableMonotonicity
from keras_perceptual.regularizers.table_range import TableRange
from keras_perceptual.regularizers.table_smoothness import TableSmoothness

__all__ = [
    "TableMonotonicity",
    "TableRange",
    "TableSmoothness",
]


def __dir__() -> list[str]:
    return __all__
