"""Losses on pixels and on their differences, in NumPy.

Images are in (0, 1), shaped (batch, height, width, channels).
"""

import numpy as np


def charbonnier(y_true, y_pred, epsilon=1e-3):
    d = y_pred.astype("float64") - y_true
    return np.mean(np.sqrt(d**2 + epsilon**2) - epsilon, axis=(1, 2, 3))


def total_variation(images, norm="l1", epsilon=1e-3):
    x = images.astype("float64")
    size = np.prod(x.shape[1:])
    if norm == "isotropic":
        dy = np.diff(x, axis=1, append=x[:, -1:])
        dx = np.diff(x, axis=2, append=x[:, :, -1:])
        values = np.sqrt(dy**2 + dx**2 + epsilon**2) - epsilon
        return values.sum(axis=(1, 2, 3)) / size
    power = {"l1": 1, "l2": 2}[norm]
    return (
        np.sum(np.abs(x[:, 1:] - x[:, :-1]) ** power, axis=(1, 2, 3))
        + np.sum(np.abs(x[:, :, 1:] - x[:, :, :-1]) ** power, axis=(1, 2, 3))
    ) / size
