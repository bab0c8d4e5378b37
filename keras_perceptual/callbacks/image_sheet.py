"""A sheet of images: a row for each, a column for each stage of it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_perceptual.plotting import import_pillow
from keras_perceptual.typing import DataFormat, Shape

CHANNELS = (1, 3, 4)  # Gray, red green and blue, and with transparency.
SMALLEST = 128  # Of a cell, in pixels; smaller images are enlarged.
GAP, MARGIN = 6, 16
CAPTION, TITLE = 16, 13  # Of letters, in pixels.
BACKGROUND, BLACK, GREY = "white", "#202124", "#5f6368"
# The two grays of the board that shows through transparent pixels.
SQUARE, LIGHT, DARK = 8, 0.9, 0.7


def is_batch(shape: Shape, data_format: DataFormat) -> bool:
    """Whether an array of a shape can be shown as a batch of images."""
    if len(shape) == 4:
        return shape[-1 if data_format == "channels_last" else 1] in CHANNELS
    return len(shape) == 3


def to_pixels(
    images: np.ndarray,
    value_range: tuple[float, float],
    data_format: DataFormat,
) -> np.ndarray:
    """Returns what a screen shows of a batch of images.

    Args:
        images: Array of which `is_batch` holds. Integers of 8 bits are colors
            as they are, whatever the range.
        value_range: Pair of floats, black and white.
        data_format: Where the channels are.

    Returns:
        An array of type uint8, shaped `(batch, height, width, 3)`. Colors
        outside the range are shown as its ends, NaN as black.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    elif data_format == "channels_first":
        images = np.moveaxis(images, 1, -1)
    low, high = (0, 255) if images.dtype == np.uint8 else value_range
    images = (images.astype("float32") - low) / (high - low)
    images = np.clip(np.nan_to_num(images), 0.0, 1.0)
    if images.shape[-1] == 4:
        opacity = images[..., 3:]
        board = _checkerboard(*images.shape[1:3])
        images = images[..., :3] * opacity + board * (1.0 - opacity)
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    return np.round(255.0 * images).astype("uint8")


def draw_sheet(columns: Mapping[str, np.ndarray], caption: str) -> Any:
    """Returns a picture of batches of images side by side.

    All are drawn as tall as the tallest, and that at least as tall as a cell
    has to be. What is enlarged keeps its pixels: each becomes a block.

    Args:
        columns: Dictionary from titles to what `to_pixels` returns, as many
            images in each.
        caption: String to write above.

    Returns:
        An image of Pillow.

    Raises:
        ImportError: If Pillow is not installed.
    """
    pil = import_pillow("A sheet of images", "look at the arrays")
    tallest = max(pixels.shape[1] for pixels in columns.values())
    height = tallest * math.ceil(SMALLEST / tallest)
    widths = [
        max(1, round(height * pixels.shape[2] / pixels.shape[1]))
        for pixels in columns.values()
    ]
    fonts = [pil.ImageFont.load_default(size) for size in (CAPTION, TITLE)]
    rows = len(next(iter(columns.values())))
    # Where the letters stand.
    titles = MARGIN + CAPTION + 2 * GAP + TITLE
    top = titles + GAP
    right = MARGIN + sum(widths) + GAP * (len(widths) - 1)
    right = max(right, MARGIN + math.ceil(fonts[0].getlength(caption)))
    bottom = top + rows * height + GAP * (rows - 1)
    sheet = pil.Image.new("RGB", (right + MARGIN, bottom + MARGIN), BACKGROUND)
    draw = pil.ImageDraw.Draw(sheet)
    place = (MARGIN, MARGIN + CAPTION)
    draw.text(place, caption, BLACK, fonts[0], anchor="ls")
    left = MARGIN
    for (title, batch), width in zip(columns.items(), widths, strict=True):
        draw.text((left, titles), title, GREY, fonts[1], anchor="ls")
        for row, pixels in enumerate(batch):
            image = pil.Image.fromarray(pixels).resize(
                (width, height), pil.Image.Resampling.NEAREST
            )
            sheet.paste(image, (left, top + row * (height + GAP)))
        left += width + GAP
    return sheet


def _checkerboard(height: int, width: int) -> np.ndarray:
    """Returns light and dark squares, shaped `(height, width, 1)`."""
    rows, columns = np.indices((height, width)) // SQUARE
    return np.where((rows + columns) % 2, DARK, LIGHT)[..., None]
