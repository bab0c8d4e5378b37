"""HaarPSI in NumPy, after Reisenhofer et al. (2018), in float64.

Images are in (0, 1), shaped (height, width, 3).
"""

import numpy as np

# As the authors have it, and as piq rounds it.
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322]])
YIQ = np.vstack([YIQ, [0.211, -0.523, 0.312]])
YIQ_OF_PIQ = np.array(
    [
        [0.299, 0.587, 0.114],
        [0.5959, -0.2746, -0.3213],
        [0.2115, -0.5227, 0.3112],
    ]
)


def correlate(image, kernel):
    """Slides a square kernel, which stands at the end of its first half."""
    half = len(kernel) // 2
    padded = np.pad(image, (half - 1, half))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    return np.einsum("rcij,ij->rc", windows, kernel)


def similarity(x, y, c):
    x, y = np.abs(x), np.abs(y)
    return (2 * x * y + c) / (x**2 + y**2 + c)


def haar_psi(x, y, matrix=YIQ, c=30.0, alpha=4.2):
    """Returns the index of two images."""
    mean = np.full((2, 2), 0.25)
    images = []
    for image in (x, y):
        yiq = 255 * np.float64(image) @ matrix.T
        images.append(
            [correlate(z, mean)[::2, ::2] for z in np.moveaxis(yiq, -1, 0)]
        )
    weights, similarities = [], []
    for turned in (False, True):
        found = []
        for size in (2, 4, 8):
            kernel = np.full((size, size), 1 / size)
            kernel[: size // 2] *= -1
            kernel = kernel.T if turned else kernel
            found.append([correlate(image[0], kernel) for image in images])
        fine, middle, coarse = found
        weights.append(np.maximum(*np.abs(coarse)))
        similarities.append((similarity(*fine, c) + similarity(*middle, c)) / 2)
    colors = [
        similarity(*(correlate(image[i], mean) for image in images), c)
        for i in (1, 2)
    ]
    weights.append(sum(weights) / 2)
    similarities.append(sum(colors) / 2)
    logistic = 1 / (1 + np.exp(-alpha * np.array(similarities)))
    score = np.average(logistic, weights=weights)
    return (np.log(score / (1 - score)) / alpha) ** 2
