"""The focal frequency loss in NumPy, as its authors' code goes.

Images are in (0, 1), shaped (batch, height, width, channels).
"""

import numpy as np


def spectra(images, patch_factor=1):
    """Returns the spectrum of every patch, on a new axis after the batch."""
    x = np.moveaxis(images.astype("float64"), -1, 1)
    height, width = (size // patch_factor for size in x.shape[2:])
    patches = [
        x[:, :, i * height : (i + 1) * height, j * width : (j + 1) * width]
        for i in range(patch_factor)
        for j in range(patch_factor)
    ]
    return np.fft.fft2(np.stack(patches, axis=1), norm="ortho")


def weights(difference, alpha=1.0, log_matrix=False):
    """Returns the weight of each frequency from the difference of spectra."""
    matrix = np.abs(difference) ** alpha
    if log_matrix:
        matrix = np.log(matrix + 1)
    with np.errstate(invalid="ignore"):
        matrix = matrix / matrix.max(axis=(-2, -1), keepdims=True)
    return np.clip(np.nan_to_num(matrix), 0, 1)


def focal_frequency_loss(
    y_true, y_pred, alpha=1.0, log_matrix=False, patch_factor=1
):
    difference = spectra(y_pred, patch_factor) - spectra(y_true, patch_factor)
    matrix = weights(difference, alpha, log_matrix)
    return np.mean(matrix * np.abs(difference) ** 2, axis=(1, 2, 3, 4))
