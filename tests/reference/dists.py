"""NumPy twin of DISTS on features, written from the publication."""

import numpy as np


def similarity(x, y, alpha, beta, weights=None):
    """Returns the weighted similarity of the channels, in float64.

    Ding et al. (2020), https://arxiv.org/abs/2004.07728, equations 4 to 6:
    alpha times the similarity of the means and beta times that of the
    deviations from them, with c1 = c2 = 1e-6.

    Args:
        x: Array shaped (batch, rows, columns, channels).
        y: Array shaped as `x`.
        alpha: Weights of the channels.
        beta: Weights of the channels.
        weights: Optional weights of the positions, (batch, rows, columns).
    """
    x, y = (np.asarray(z, "float64") for z in (x, y))
    found = []
    for i in range(len(x)):
        flat_x, flat_y = (z[i].reshape(-1, z.shape[-1]) for z in (x, y))
        w = None if weights is None else weights[i].reshape(-1)
        mean_x, mean_y = (np.average(z, 0, w) for z in (flat_x, flat_y))
        dx, dy = flat_x - mean_x, flat_y - mean_y
        var_x, var_y, cov = (
            np.average(z, 0, w) for z in (dx * dx, dy * dy, dx * dy)
        )
        texture = (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
        structure = (2 * cov + 1e-6) / (var_x + var_y + 1e-6)
        found.append(np.sum(alpha * texture + beta * structure))
    return np.array(found)
