"""Reading the picture whose style a loss asks for."""

import os

import keras
import numpy as np

from keras_perceptual.ops.value_range import rescale
from keras_perceptual.typing import ArrayLike, PathLike


def read_image(
    owner: str, image: ArrayLike | PathLike, value_range: tuple[float, float]
) -> np.ndarray:
    """Returns a picture as an array.

    Args:
        owner: Name of the object that asks, for the message.
        image: Array shaped `(height, width, 3)` with values in `value_range`,
            or the path of a file that Pillow reads.
        value_range: Pair of floats, the range of the pixels.

    Returns:
        A NumPy array of type float32, shaped `(height, width, 3)`.

    Raises:
        FileNotFoundError: If there is no file at the path.
        ValueError: If it is not one RGB picture.
    """
    if isinstance(image, str | os.PathLike):
        if not os.path.isfile(image):
            raise FileNotFoundError(
                f"{owner} finds no picture at this path. Check the path, or "
                "pass the picture as an array. "
                f"Received: style_image={str(image)!r}"
            )
        loaded = keras.utils.load_img(image, color_mode="rgb")
        pixels = np.asarray(loaded, "float32")
        return rescale(pixels, (0.0, 255.0), value_range)
    pixels = np.asarray(keras.ops.convert_to_numpy(image), "float32")
    if pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(
            f"{owner} takes its style from one RGB picture shaped "
            "(height, width, 3), or from the path of one. Take a picture out "
            "of a batch with `images[0]`, and the alpha channel off with "
            f"`image[..., :3]`. Received: style_image of shape {pixels.shape}"
        )
    return pixels
