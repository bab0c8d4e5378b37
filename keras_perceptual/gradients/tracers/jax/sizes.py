"""What is known of the numbers in an array of JAX."""

from typing import Any

import jax
import numpy as np

from keras_perceptual.gradients.replay import Numbers


def numbers_of(array: Any) -> Numbers:
    """Returns the `Numbers` of an array, or of a number."""
    dtype = jax.dtypes.result_type(array)
    if not jax.dtypes.issubdtype(dtype, np.number) and dtype != np.bool_:
        return Numbers()  # The keys of random numbers, for one.
    array = np.asarray(array)
    if not array.size:
        return Numbers(size=0.0)
    if not jax.dtypes.issubdtype(dtype, np.inexact):
        return Numbers(size=float(_largest(array)))
    if jax.dtypes.issubdtype(dtype, np.complexfloating):
        array = np.abs(array)
    elif dtype.itemsize < 4:
        array = array.astype("float32")
    size = float(_largest(array))
    if np.isfinite(size):
        return Numbers(size=size)
    finite = array[np.isfinite(array)]
    return Numbers(
        size=float(_largest(finite)) if finite.size else 0.0,
        nan=bool(np.isnan(array).any()),
        infinite=bool(np.isinf(array).any()),
    )


def size_of(array: Any) -> float | None:
    """Returns the largest size in an array, infinite if it is not finite."""
    numbers = numbers_of(array)
    return numbers.size if numbers.finite else float("inf")


def _largest(array: Any) -> float:
    """Returns the largest size, without an array of all of them."""
    return max(abs(float(array.max())), abs(float(array.min())))
