"""MDSI in NumPy, after Nafchi et al. (2016), in float64.

Images are in (0, 1), shaped (height, width, 3), with sides below 384 pixels.
"""

import numpy as np


def steepness(luma):
    """Returns the length of Prewitt's slopes, over zeros at the border."""
    padded = np.pad(luma, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    kernel = np.array([[1, 0, -1]] * 3) / 3
    slopes = [np.einsum("rcij,ij->rc", windows, k) for k in (kernel, kernel.T)]
    return np.hypot(*slopes)


def similarity(x, y, c):
    return (2 * x * y + c) / (x**2 + y**2 + c)


def mdsi(reference, distorted, c1=140.0, c2=55.0, c3=550.0, alpha=0.6):
    """Returns the index of two images."""
    images = [255 * np.float64(x) for x in (reference, distorted)]
    (lx, hx, mx), (ly, hy, my) = (
        np.moveaxis(x, -1, 0)
        for x in (
            x
            @ np.transpose(
                [[0.2989, 0.587, 0.114], [0.3, 0.04, -0.35], [0.34, -0.6, 0.17]]
            )
            for x in images
        )
    )
    x, y, both = (steepness(z) for z in (lx, ly, (lx + ly) / 2))
    slopes = (
        similarity(x, y, c1) + similarity(y, both, c2) - similarity(x, both, c2)
    )
    colors = (2 * (hx * hy + mx * my) + c3) / (
        hx**2 + hy**2 + mx**2 + my**2 + c3
    )
    roots = (alpha * slopes + (1 - alpha) * colors + 0j) ** 0.25
    return np.abs(roots - roots.mean()).mean() ** 0.25
