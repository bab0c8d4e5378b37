"""The contextual similarity of features in NumPy, from the publication.

Features are shaped (batch, rows, columns, channels).
"""

import numpy as np


def contextual_distance(true, pred, band_width=0.5, epsilon=1e-5):
    return np.array(
        [
            -np.log(similarity(x, y, band_width, epsilon))
            for x, y in zip(
                true.astype("float64"), pred.astype("float64"), strict=True
            )
        ]
    )


def similarity(true, pred, band_width, epsilon):
    """Of one image, a pair of features at a time."""
    channels = true.shape[-1]
    mean = true.reshape(-1, channels).mean(axis=0)
    true = [unit(f - mean) for f in true.reshape(-1, channels)]
    pred = [unit(f - mean) for f in pred.reshape(-1, channels)]
    shares = []
    for y in pred:
        distances = np.array([1 - x @ y for x in true])
        relative = distances / (distances.min() + epsilon)
        weights = np.exp((1 - relative) / band_width)
        shares.append(weights / weights.sum())
    return np.mean(np.max(shares, axis=0))


def unit(feature):
    return feature / np.sqrt(np.sum(feature**2) + 1e-10)


def sample(features, max_features):
    """Returns features in the middle of equal parts of both axes."""
    rows, columns = features.shape[1:3]
    few_rows = int(min(np.sqrt(max_features * rows / columns), rows))
    few_rows = min(max(few_rows, 1), max_features)
    few_columns = min(max_features // few_rows, columns)
    row = [int((i + 0.5) * rows / few_rows) for i in range(few_rows)]
    column = [
        int((i + 0.5) * columns / few_columns) for i in range(few_columns)
    ]
    return features[:, row][:, :, column]
