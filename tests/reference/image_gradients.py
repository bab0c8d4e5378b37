"""Slopes and edge losses of images, in NumPy, from the kernels alone.

Images are shaped (batch, height, width, channels).
"""

import numpy as np

# Kernels along the width, as correlations; the transpose is for the height.
KERNELS = {
    "sobel": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "scharr": [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]],
    "prewitt": [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]],
    "central": [[0, 0, 0], [-1, 0, 1], [0, 0, 0]],
    "forward": [[0, 0, 0], [0, -1, 1], [0, 0, 0]],
}
UNIT_SLOPE = {
    "sobel": 1 / 8,
    "scharr": 1 / 32,
    "prewitt": 1 / 6,
    "central": 1 / 2,
    "forward": 1.0,
}


def correlate(images, kernel, padding):
    kernel = np.asarray(kernel, "float64")
    pads = ((0, 0), (1, 1), (1, 1), (0, 0))
    mode = "edge" if padding == "valid" else padding
    padded = np.pad(images.astype("float64"), pads, mode)
    height, width = images.shape[1:3]
    result = np.zeros(images.shape)
    for row in range(3):
        for column in range(3):
            result += (
                kernel[row, column]
                * padded[:, row : row + height, column : column + width]
            )
    return result


def slopes(images, operator="sobel", padding="reflect", normalize=False):
    """Returns (dy, dx), stacked on a new last axis."""
    kernel = np.asarray(KERNELS[operator], "float64")
    if normalize:
        kernel = kernel * UNIT_SLOPE[operator]
    both = np.stack(
        [
            correlate(images, kernel.T, padding),
            correlate(images, kernel, padding),
        ],
        axis=-1,
    )
    if padding == "valid":
        first = 0 if operator == "forward" else 1
        both = both[:, first:-1, first:-1]
    return both


def halve(images):
    batch, height, width, channels = images.shape
    height, width = height // 2, width // 2
    images = images[:, : 2 * height, : 2 * width]
    return images.reshape(batch, height, 2, width, 2, channels).mean((2, 4))


def edge_loss(
    y_true,
    y_pred,
    norm="l1",
    operator="sobel",
    mode="component",
    scales=1,
    normalize=False,
    padding="reflect",
    epsilon=1e-3,
    value_range=(0, 1),
):
    """Returns the loss of each image."""
    width = value_range[1] - value_range[0]
    y_true = (y_true.astype("float64") - value_range[0]) / width
    y_pred = (y_pred.astype("float64") - value_range[0]) / width
    total = np.zeros(len(y_true))
    for scale in range(scales):
        if scale:
            y_true, y_pred = halve(y_true), halve(y_pred)
        true = slopes(y_true, operator, padding, normalize)
        pred = slopes(y_pred, operator, padding, normalize)
        if mode == "magnitude":
            true = np.sqrt(np.sum(true**2, axis=-1) + epsilon**2)
            pred = np.sqrt(np.sum(pred**2, axis=-1) + epsilon**2)
        elif mode == "gdl":
            true, pred = np.abs(true), np.abs(pred)
        d = pred - true
        if norm == "l1":
            penalty = np.abs(d)
        elif norm == "l2":
            penalty = d**2
        else:
            penalty = np.sqrt(d**2 + epsilon**2) - epsilon
        total += penalty.reshape(len(y_true), -1).mean(axis=1)
    return total
