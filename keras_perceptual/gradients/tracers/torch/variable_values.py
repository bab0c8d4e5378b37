"""Reading what variables hold."""

from typing import Any

import numpy as np
import torch


def read_value(variable: Any) -> np.ndarray:
    """Returns a copy of what a Keras variable holds, a NumPy array."""
    value = variable.value.detach().cpu()
    # NumPy has no bfloat16. A float32 holds the same numbers.
    value = value.float() if value.dtype == torch.bfloat16 else value
    return np.array(value.numpy(), copy=True)
