"""Pairs of images at which losses between images go wrong.

Square roots and divisions fail where nothing varies, fractional powers where a
correlation is negative, and float32 where values are huge, tiny or all but
equal. None of these pairs may give a value or a gradient that is not finite.
"""

import checks
import keras
import numpy as np

NAMES = (
    "equal",
    "equal_constant",
    "other_constant",
    "equal_black",
    "equal_white",
    "black_and_white",
    "picture_and_black",
    "black_and_picture",
    "picture_and_white",
    "picture_and_constant",
    "constant_and_picture",
    "inverted",
    "noise",
    "one_ulp",
    "one_ulp_on_white",
    "huge",
    "huge_and_inverted",
    "tiny",
    "tiny_and_black",
    "half_black",
)
# Between what types the gradient of a loss has to pass.
DTYPES = ("float32", "float16", "bfloat16")


def picture(height, width, channels=3):
    """Returns a batch of two images in (0, 1): slopes, edges and texture."""
    rng = np.random.default_rng(7)
    y, x = np.meshgrid(
        np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij"
    )
    waves = 0.5 + 0.25 * np.sin(9 * x + 4 * y) + 0.1 * (x > 0.6)
    images = waves[..., None] * np.linspace(0.8, 1, channels)
    noise = rng.uniform(-0.05, 0.05, (2, height, width, channels))
    return np.clip(np.stack([images, images[::-1]]) + noise, 0, 1).astype(
        "float32"
    )


def pairs(height, width, channels=3):
    """Yields `(name, y_true, y_pred)`, float32 and channels last.

    Values are in (0, 1) but for the pairs called huge, which reach 1e4.
    """
    image = picture(height, width, channels)
    black = np.zeros_like(image)
    white = np.ones_like(image)
    gray = np.full_like(image, 0.3)
    noise = np.random.default_rng(8).uniform(0, 1, image.shape)
    noise = noise.astype("float32")
    half_black = image.copy()
    half_black[:, : height // 2] = 0
    up = np.float32(2)
    found = {
        "equal": (image, image),
        "equal_constant": (gray, gray),
        "other_constant": (gray, gray + np.float32(0.25)),
        "equal_black": (black, black),
        "equal_white": (white, white),
        "black_and_white": (black, white),
        "picture_and_black": (image, black),
        "black_and_picture": (black, image),
        "picture_and_white": (image, white),
        "picture_and_constant": (image, gray),
        "constant_and_picture": (gray, image),
        "inverted": (image, 1 - image),
        "noise": (image, noise),
        "one_ulp": (image, np.nextafter(image, up)),
        "one_ulp_on_white": (white, np.nextafter(white, np.float32(0))),
        "huge": (1e4 * image, 1e4 * noise),
        "huge_and_inverted": (1e4 * image, 1e4 * (1 - image)),
        "tiny": (1e-8 * image, 1e-8 * noise),
        "tiny_and_black": (1e-8 * image, black),
        "half_black": (half_black, half_black),
    }
    for name in NAMES:
        y_true, y_pred = found[name]
        yield name, y_true.astype("float32"), y_pred.astype("float32")


def check_finite(loss, height, width, channels=3, dtypes=DTYPES):
    """Every pair gives a finite value and a finite gradient.

    Args:
        loss: The loss, for images in (0, 1); it has to let huge values pass.
        height: Height of the images.
        width: Width of the images.
        channels: Number of channels.
        dtypes: The types the images are in.
    """
    failed = []
    for dtype in dtypes:

        def value(x, y, dtype=dtype):
            # The gradient comes back through the type as well.
            return loss(keras.ops.cast(x, dtype), keras.ops.cast(y, dtype))

        step = checks.compiled_gradient(value)
        for name, y_true, y_pred in pairs(height, width, channels):
            found, gradient = step(y_true, y_pred)
            if not np.isfinite(found) or not np.all(np.isfinite(gradient)):
                failed.append(f"{name} in {dtype}: {found}")
    assert failed == []
