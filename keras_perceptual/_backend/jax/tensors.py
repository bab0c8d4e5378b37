"""Looking at tensors without computing."""

import jax


def has_values(x):
    """Whether the numbers of `x` can be read now, outside any trace."""
    return not isinstance(x, jax.core.Tracer)
