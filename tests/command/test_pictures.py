"""Pictures as the command reads and writes them."""

import numpy as np
import pytest
from PIL import Image

from keras_perceptual.command import pictures


def test_opacity_is_left_out_where_all_is_opaque(tmp_path, rng):
    pixels = rng.integers(0, 256, (5, 6, 4)).astype("uint8")
    path = str(tmp_path / "picture.png")
    pictures.write_picture(path, pixels)
    np.testing.assert_array_equal(pictures.read_picture(path), pixels)
    pixels[..., 3] = 255
    pictures.write_picture(path, pixels)
    np.testing.assert_array_equal(pictures.read_picture(path), pixels[..., :3])


def test_turned_as_the_camera_says(tmp_path, rng):
    pixels = rng.integers(0, 256, (5, 6, 3)).astype("uint8")
    exif = Image.Exif()
    exif[0x112] = 3  # Upside down.
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    found = pictures.read_picture(str(tmp_path / "photo.png"))
    np.testing.assert_array_equal(found, pixels[::-1, ::-1])


def test_no_part_of_a_picture_is_left(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def fail(image, target, *arguments):
        target.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space"):
        pictures.write_picture(str(path), np.zeros((2, 2, 3), "uint8"))
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]
    assert path.read_bytes() == b"old"


def test_what_is_no_picture_is_refused(tmp_path):
    path = tmp_path / "picture.png"
    path.write_text("Not a picture.")
    with pytest.raises(ValueError, match="Pillow reads"):
        pictures.read_picture(str(path))
    with pytest.raises(ValueError, match="the format"):
        pictures.check_name("picture.exe")
