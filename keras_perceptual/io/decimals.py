"""Decimal numbers as float32, to the last bit in both directions."""

import decimal
from collections.abc import Sequence

import numpy as np

# The bits of a float64 that a float32 has no place for, and half of them.
SURPLUS = np.uint64(2**29 - 1)
HALF = np.uint64(2**28)
SMALLEST_NORMAL = 2.0**-126


def nearest_float32(texts: Sequence[bytes]) -> np.ndarray:
    """Returns the float32 values that are nearest to decimal numbers.

    Going through float64 rounds twice. That matters where the first rounding
    ends halfway between two float32 values: there, the text decides.

    Args:
        texts: List of bytes, decimal numbers in ASCII.

    Returns:
        A NumPy array of type float32; infinite where a number is too large.

    Raises:
        ValueError: If a text is not a number to Python.
    """
    doubles = np.fromiter(map(float, texts), np.float64, len(texts))
    with np.errstate(all="ignore"):
        for index in np.flatnonzero(_is_halfway(doubles)).tolist():
            double = float(doubles[index])
            exact = decimal.Decimal(texts[index].decode("ascii"))
            # To the side of the text by the smallest step. Exactly halfway,
            # the even neighbor is taken, as everywhere.
            if exact != decimal.Decimal(double):
                side = np.inf if exact > decimal.Decimal(double) else -np.inf
                doubles[index] = np.nextafter(double, side)
        return doubles.astype(np.float32)


def shortest_text(values: np.ndarray) -> bytes:
    """Returns rows of float32 values as the shortest text that gives them.

    Args:
        values: Array of shape `(rows, columns)` and type float32.

    Returns:
        ASCII text as bytes: a line for each row, each ended by a line feed.
    """
    line = " ".join(["%s"] * values.shape[1]) + "\n"
    # What somebody chose for printing must not cost digits here.
    with np.printoptions(legacy=False):
        texts = tuple(map(str, values.ravel()))
    return (line * len(values) % texts).encode("ascii")


def _is_halfway(doubles: np.ndarray) -> np.ndarray:
    """Tells which values lie exactly between two neighboring float32."""
    halfway = doubles.view(np.uint64) & SURPLUS == HALF
    # Below the normal values the neighbors are 2**-149 apart.
    size = np.abs(doubles)
    small = size < SMALLEST_NORMAL
    halfway[small] = size[small] * 2.0**150 % 2 == 1
    return halfway
