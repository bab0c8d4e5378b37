"""NumPy twin of the distance that forgives contrast, in float64.

Written from its formula. The features are given; the colors are found here,
after IEC 61966-2-1 and CIE 15:2004.
"""

import numpy as np

# What is divided by at each tap: the mean squared difference there over
# distorted photographs, of AlexNet with torchvision's weights.
CONSTANTS = {
    "relu1": 0.2006,
    "relu2": 0.8255,
    "relu3": 1.109,
    "relu4": 0.9504,
    "relu5": 0.3844,
}


def parts(x, y, weights=None, forgive_gain=True):
    """Returns the difference and the lost detail of features at one tap.

    Args:
        x: Array shaped (rows, columns, channels), of the reference.
        y: Array shaped as `x`, of the image.
        weights: Optional weights of the positions, (rows, columns).
        forgive_gain: Whether raised contrast is set aside.
    """
    x, y = (np.reshape(z, (-1, z.shape[-1])).astype("float64") for z in (x, y))
    weights = None if weights is None else np.reshape(weights, -1)

    def mean(z):
        return np.average(z, 0, weights)

    vx = mean((x - mean(x)) ** 2)
    c = mean((x - mean(x)) * (y - mean(y)))
    energy = vx + 1e-4 * vx.mean() + 1e-9
    mse = mean((x - y) ** 2)
    lost = (vx - c) / energy
    if forgive_gain:
        mse = mse - np.maximum(c / energy - 1, 0) ** 2 * vx
        lost = np.maximum(lost, 0)
    return mse.mean(), np.abs(lost).mean()


def lab(rgb):
    """Returns CIELAB of sRGB in (0, 1)."""
    rgb = np.asarray(rgb, "float64")
    linear = np.where(
        rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4
    )
    xyz = linear @ np.transpose(
        [
            [0.4124, 0.3576, 0.1805],
            [0.2126, 0.7152, 0.0722],
            [0.0193, 0.1192, 0.9505],
        ]
    )
    xyz = xyz / (np.array([0.3127, 0.3290, 0.3583]) / 0.3290)
    x, y, z = np.moveaxis(
        np.where(
            xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29
        ),
        -1,
        0,
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def color(x, y):
    """Returns the mean CIE76 of two images after means of 4 x 4 pixels."""
    height, width = (4 * (side // 4) for side in np.shape(x)[:2])
    x, y = (
        np.float64(z)[:height, :width]
        .reshape(height // 4, 4, width // 4, 4, 3)
        .mean((1, 3))
        for z in (x, y)
    )
    return np.sqrt(np.sum((lab(x) - lab(y)) ** 2, -1)).mean()


def distance(images, features, forgive_gain=True):
    """Returns the whole distance of two images.

    Args:
        images: The reference and the image, (height, width, 3), in (0, 1).
        features: Dictionary from taps to what is seen of either.
        forgive_gain: Whether raised contrast is set aside.
    """
    differences, lost = zip(
        *(
            parts(*pair, forgive_gain=forgive_gain)
            / np.array([CONSTANTS[tap], 1])
            for tap, pair in features.items()
        ),
        strict=True,
    )
    root = np.sqrt(np.mean(differences) + 1e-6) - np.sqrt(1e-6)
    return root + np.mean(lost) + 0.01 * color(*images)
