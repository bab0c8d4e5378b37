"""Looking at tensors without computing."""

import tensorflow as tf


def has_values(x):
    """Whether the numbers of `x` can be read now, outside any trace."""
    return not tf.is_symbolic_tensor(x)
