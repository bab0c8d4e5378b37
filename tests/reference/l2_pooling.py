"""NumPy twin of the pooling of DISTS, written from its published code."""

import numpy as np


def l2_pool(x, stride=2):
    """Pools maps shaped (batch, height, width, channels) in float64.

    Ding et al. (2020): the window is the Hann window of five points without
    the two zeros at its ends, scaled to the sum of one; the squares are
    filtered with it, with a border of one zero, and 1e-12 is added below the
    square root.
    """
    ends = np.hanning(5)[1:-1]
    window = np.outer(ends, ends)
    window = window / window.sum()
    squares = np.pad(
        np.square(np.asarray(x, "float64")), [(0, 0), (1, 1), (1, 1), (0, 0)]
    )
    rows = range(0, squares.shape[1] - 2, stride)
    columns = range(0, squares.shape[2] - 2, stride)
    pooled = [
        [
            np.einsum(
                "bijc,ij->bc",
                squares[:, row : row + 3, column : column + 3],
                window,
            )
            for column in columns
        ]
        for row in rows
    ]
    return np.sqrt(np.moveaxis(np.array(pooled), 2, 0) + 1e-12)
