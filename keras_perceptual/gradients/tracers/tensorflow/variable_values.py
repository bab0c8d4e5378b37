"""Reading what variables hold."""

from typing import Any

import numpy as np


def read_value(variable: Any) -> np.ndarray:
    """Returns a copy of what a Keras variable holds, a NumPy array."""
    return np.array(variable.value.numpy(), copy=True)
