import numpy as np
import pytest

from keras_perceptual.callbacks.image_sheet import (
    draw_sheet,
    is_batch,
    to_pixels,
)

pytest.importorskip("PIL")
LAST, FIRST = "channels_last", "channels_first"


@pytest.mark.parametrize(
    "shape, data_format, expected",
    [
        ((2, 5, 6), LAST, True),
        ((2, 5, 6, 1), LAST, True),
        ((2, 5, 6, 3), LAST, True),
        ((2, 4, 5, 6), FIRST, True),
        ((2, 4, 5, 6), LAST, False),
        ((2, 5, 6, 2), LAST, False),
        ((2, 64), LAST, False),
    ],
)
def test_what_is_a_batch_of_images(shape, data_format, expected):
    assert is_batch(shape, data_format) is expected


def test_colors_become_bytes():
    images = np.array([-2, -1, 0, 0.5, 1, 2, np.nan, np.inf], "float32")
    images = np.stack([images, images, images], -1).reshape(1, 2, 4, 3)
    pixels = to_pixels(images, (-1, 1), LAST)
    assert pixels.dtype == np.uint8 and pixels.shape == (1, 2, 4, 3)
    expected = [0, 0, 128, 191, 255, 255, 0, 255]
    assert pixels[..., 1].ravel().tolist() == expected


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)])
def test_eight_bits_stay_as_they_are(value_range):
    images = np.arange(256, dtype="uint8").reshape(1, 16, 16)
    pixels = to_pixels(images, value_range, LAST)
    for channel in range(3):
        np.testing.assert_array_equal(pixels[..., channel], images)


def test_both_layouts_are_the_same_picture(rng):
    images = rng.random((2, 5, 6, 3), "float32")
    np.testing.assert_array_equal(
        to_pixels(np.moveaxis(images, -1, 1), (0, 1), FIRST),
        to_pixels(images, (0, 1), LAST),
    )


def test_a_board_shows_through_what_is_transparent():
    images = np.zeros((1, 16, 16, 4), "float32")
    images[:, :, :8, 3] = 1.0
    pixels = to_pixels(images, (0, 1), LAST)[0, :, :, 0]
    assert not pixels[:, :8].any()
    light, dark = round(0.9 * 255), round(0.7 * 255)
    assert set(pixels[:8, 8:].ravel()) == {dark}
    assert set(pixels[8:, 8:].ravel()) == {light}


def test_images_are_side_by_side_and_as_tall():
    small = np.zeros((2, 2, 3, 3), "uint8")
    small[..., 0] = np.arange(12).reshape(2, 2, 3)
    large = np.full((2, 4, 5, 3), 77, "uint8")
    sheet = np.asarray(draw_sheet({"a": small, "b": large}, "epoch 1"))
    # Each pixel of the large images is a block of 32, of the small ones 64.
    assert sheet.shape[1] == 16 + 3 * 64 + 6 + 5 * 32 + 16
    bottom = sheet.shape[0] - 16
    for row, image in enumerate(small):
        top = bottom - 128 - (1 - row) * (128 + 6)
        shown = sheet[top : top + 128, 16 : 16 + 192]
        expected = image.repeat(64, axis=0).repeat(64, axis=1)
        np.testing.assert_array_equal(shown, expected)
        left = 16 + 192 + 6
        assert set(sheet[top : top + 128, left : left + 160].flat) == {77}
        assert set(sheet[top : top + 128, left - 6 : left].flat) == {255}
    # Letters above, and nothing around.
    assert sheet[: bottom - 262].min() < 128
    for edge in (sheet[:16], sheet[bottom:], sheet[:, :16], sheet[:, -16:]):
        assert edge[0].min() == 255


def test_large_images_keep_their_size():
    sheet = draw_sheet({"a": np.zeros((1, 200, 150, 3), "uint8")}, "")
    assert sheet.size[0] == 150 + 2 * 16


def test_a_long_caption_has_room():
    images = np.zeros((1, 128, 32, 3), "uint8")
    narrow = draw_sheet({"a": images}, "")
    wide = draw_sheet({"a": images}, "a caption of many words")
    assert wide.size[0] > narrow.size[0] + 64
    assert np.asarray(wide)[:, -16:].min() == 255
