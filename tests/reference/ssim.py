"""Structural similarity in NumPy, straight from the papers' formulas.

Images are in (0, 1), shaped (batch, height, width, channels).
"""

import numpy as np


def window(size, sigma):
    y, x = np.indices((size, size)) - (size - 1) / 2
    weights = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return weights / weights.sum()


def terms(x, y, size=11, sigma=1.5, k1=0.01, k2=0.03):
    """Returns SSIM and its contrast-structure part of each channel."""
    g = window(size, sigma)
    x, y = x.astype("float64"), y.astype("float64")
    height, width = (n - size + 1 for n in x.shape[1:3])

    def average(function):
        """Of what a function makes of the two pixels at an offset."""
        total = 0.0
        for (row, column), weight in np.ndenumerate(g):
            part = np.s_[:, row : row + height, column : column + width]
            total = total + weight * function(x[part], y[part])
        return total

    mx = average(lambda x, y: x)
    my = average(lambda x, y: y)
    vx = average(lambda x, y: (x - mx) ** 2)
    vy = average(lambda x, y: (y - my) ** 2)
    covariance = average(lambda x, y: (x - mx) * (y - my))
    c1, c2 = k1**2, k2**2
    luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    structure = (2 * covariance + c2) / (vx + vy + c2)
    return (
        np.mean(luminance * structure, axis=(1, 2)),
        np.mean(structure, axis=(1, 2)),
    )


def ssim(x, y, **settings):
    return np.mean(terms(x, y, **settings)[0], axis=-1)


def halve(images):
    """Averages two by two pixels; an odd last one is repeated."""
    odd = [(0, size % 2) for size in images.shape[1:3]]
    images = np.pad(
        images.astype("float64"), ((0, 0), *odd, (0, 0)), mode="edge"
    )
    batch, height, width, channels = images.shape
    return images.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(
        axis=(2, 4)
    )


def ms_ssim_loss(
    x,
    y,
    weights=(0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
    epsilon=1e-3,
    **settings,
):
    """Returns 1 - MS-SSIM, continued linearly below epsilon."""
    product, below = 1.0, 0.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = halve(x), halve(y)
        whole, structure = terms(x, y, **settings)
        term = whole if scale == len(weights) - 1 else structure
        product = product * np.maximum(term, epsilon) ** weight
        below = below + weight * np.maximum(epsilon - term, 0)
    return np.mean(1 - product + below, axis=-1)
