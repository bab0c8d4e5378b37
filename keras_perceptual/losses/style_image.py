"""Taking in the picture whose style a loss asks for."""

import os

import numpy as np
from keras import ops

from keras_perceptual import validation
from keras_perceptual.files import check_file, show_path
from keras_perceptual.ops.value_range import rescale
from keras_perceptual.range_check import RangeCheck
from keras_perceptual.typing import ArrayLike, PathLike, RangePolicy

# Of a file, and of the picture in it; 8192 pixels a side. A network needs
# several kilobytes for each pixel.
MAX_FILE_SIZE = 2**28
MAX_PIXELS = 2**26


def read_image(
    owner: str,
    image: ArrayLike | PathLike,
    value_range: tuple[float, float],
    check_range: RangePolicy = "warn",
) -> np.ndarray:
    """Returns a picture as an array.

    Args:
        owner: Name of the object that asks, for the message.
        image: Array shaped `(height, width, 3)`, or `(height, width)` or
            `(height, width, 1)` if gray, with values in `value_range`; or the
            path of a file that Pillow reads.
        value_range: Pair of floats, the range of the pixels.
        check_range: What to do about an array that is not in the range, as
            for a loss.

    Returns:
        A NumPy array of type float32, shaped `(height, width, channels)`.

    Raises:
        FileNotFoundError: If there is no file at the path.
        ValueError: If it is not one picture, or one with NaN.
        ImportError: If a path is given and Pillow is not installed.
    """
    if isinstance(image, str | os.PathLike):
        pixels = _read_file(owner, image)
        return rescale(pixels, (0.0, 255.0), value_range)
    pixels = _as_array(owner, image)
    shape = pixels.shape
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3) or not pixels.size:
        raise ValueError(
            f"{owner} takes its style from one picture shaped (height, width, "
            "3), (height, width) if it is gray, or from the path of one. Take "
            "a picture out of a batch with `images[0]`, and the alpha channel "
            "off with `image[..., :3]`. "
            f"Received: style_image of shape {shape}"
        )
    broken = pixels.size - np.count_nonzero(np.isfinite(pixels))
    if broken:
        raise ValueError(
            f"{owner} needs a picture of style of finite numbers, or every "
            "loss would be NaN. Repair it, for example with "
            f"`numpy.nan_to_num`. Received: style_image with {broken} values "
            "that are NaN or infinite"
        )
    check = RangeCheck(owner, check_range, value_range, "channels_last")
    check({"style_image": pixels[None]})
    return np.clip(pixels, *value_range) if check.policy == "clip" else pixels


def _as_array(owner: str, image: ArrayLike) -> np.ndarray:
    """Returns what stands for an array as one of numbers."""
    try:
        return np.asarray(ops.convert_to_numpy(image)).astype("float32")
    except Exception as error:
        raise ValueError(
            f"{owner} takes its style from one picture, an array of numbers "
            "or the path of a file. "
            f"Received: style_image={validation.show(image)}"
        ) from error


def _read_file(owner: str, path: PathLike) -> np.ndarray:
    """Returns the pixels of a picture in (0, 255), shaped as RGB."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"{owner} reads pictures with Pillow, which is not installed. "
            "Install it with `pip install pillow`, or pass the picture as an "
            f"array. Received: style_image={show_path(path)}"
        ) from error
    if not os.path.exists(path) or os.path.isdir(path):
        raise FileNotFoundError(
            f"{owner} finds no picture at this path. Check the path, or pass "
            f"the picture as an array. Received: style_image={show_path(path)}"
        )
    check_file(owner, path, MAX_FILE_SIZE, argument="style_image")
    with open(path, "rb") as file:
        # Of a file with damage, Pillow raises errors of many types.
        try:
            picture = Image.open(file)
            mode, (width, height) = picture.mode, picture.size
        except Exception as error:
            raise _damaged(owner, path) from error
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{owner} takes its style from pictures of up to "
                f"{MAX_PIXELS:,} pixels. Make it smaller. Received: "
                f"style_image={show_path(path)} of {width} x {height} pixels"
            )
        if mode[:1] in "IF":
            raise ValueError(
                f"{owner} reads pictures of 8 bits, which is what Pillow turns "
                "into RGB without cutting off what is bright. Save it as such, "
                "or pass the picture as an array. "
                f"Received: style_image={show_path(path)} of mode {mode!r}"
            )
        try:
            return np.asarray(picture.convert("RGB"), "float32")
        except Exception as error:
            raise _damaged(owner, path) from error


def _damaged(owner: str, path: PathLike) -> ValueError:
    return ValueError(
        f"{owner} found no picture that Pillow can read at this path. Check "
        "that the file is whole, and save it as PNG. "
        f"Received: style_image={show_path(path)}"
    )
