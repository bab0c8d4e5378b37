"""Linear maps that know their own transpose."""


def apply_linear(forward, transpose, *inputs):
    """Returns `forward(*inputs)`; JAX finds the transpose by itself."""
    del transpose
    return forward(*inputs)
