"""Reading and writing the pictures that the command is given."""

import io
import pathlib
from typing import Any

import numpy as np

from keras_perceptual.files import check_file, show_path
from keras_perceptual.io.whole_file import replace_file
from keras_perceptual.plotting import import_pillow

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# More than any camera makes, and what fits in memory.
MAX_FILE_SIZE = 1 << 30
# What Pillow turns into eight bits a channel without loss.
MODES = ("RGB", "RGBA", "L", "LA", "P", "1")


def read_picture(path: str) -> np.ndarray:
    """Reads a picture, turned as its camera says.

    Args:
        path: String, its path.

    Returns:
        An array shaped `(height, width, 3)`, or 4 where the picture is not
        opaque, of type uint8.

    Raises:
        ValueError: If it is no picture, or one of more than 8 bits.
        OSError: If it cannot be read.
        ImportError: If Pillow is not installed.
    """
    check_file("keras-perceptual", path, MAX_FILE_SIZE)
    with _open(path) as picture:
        if picture.mode not in MODES:
            raise ValueError(
                "keras-perceptual reads pictures of 8 bits a channel, in color "
                "or gray. Convert this one first. Received: "
                f"path={show_path(path)} in mode {picture.mode!r}"
            )
        from PIL import ImageOps

        pixels = np.array(ImageOps.exif_transpose(picture).convert("RGBA"))
    opaque = bool((pixels[..., 3] == 255).all())
    return pixels[..., :3] if opaque else pixels


def _open(path: str) -> Any:
    pillow = import_pillow("Reading a picture", "use the package from Python")
    try:
        return pillow.Image.open(path)
    except pillow.UnidentifiedImageError as error:
        raise ValueError(
            "keras-perceptual needs a picture that Pillow reads. Received: "
            f"path={show_path(path)}"
        ) from error


def write_picture(path: str, pixels: np.ndarray) -> None:
    """Writes a picture in the format that its name says, whole or not at all.

    Args:
        path: String, its path.
        pixels: Array of type uint8, shaped `(height, width, channels)`.

    Raises:
        ValueError: If the name does not say a format.
        OSError: If it cannot be written.
    """
    check_name(path)
    pillow = import_pillow("Writing a picture", "use the package from Python")
    suffix = pathlib.Path(path).suffix.lower()
    kind = pillow.Image.registered_extensions()[suffix]
    file = io.BytesIO()
    pillow.Image.fromarray(pixels).save(file, kind)
    replace_file("keras-perceptual", path, [file.getvalue()])


def check_name(path: str) -> None:
    """Refuses a name for a picture that does not say a format.

    Raises:
        ValueError: If it does not.
    """
    if pathlib.Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(
            "A picture is written in the format that its name ends in, one of "
            f"{', '.join(SUFFIXES)}. Received: path={show_path(path)}"
        )
