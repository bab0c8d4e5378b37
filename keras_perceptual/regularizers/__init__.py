"""Regularizers of colour tables."""

from keras_perceptual.regularizers.table_monotonicity import (
    TableMonotonicity as TableMonotonicity,
)
from keras_perceptual.regularizers.table_range import TableRange as TableRange
from keras_perceptual.regularizers.table_smoothness import (
    TableSmoothness as TableSmoothness,
)
