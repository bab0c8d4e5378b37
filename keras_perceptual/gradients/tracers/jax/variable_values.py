"""Reading what variables hold."""

import numpy as np


def read_value(variable):
    """Returns a copy of what a Keras variable holds, a NumPy array."""
    return np.array(variable.value, copy=True)
