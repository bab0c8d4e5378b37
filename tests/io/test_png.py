import io
import random
import struct
import zlib

import numpy as np
import pytest
from color_tables import mutated

from keras_perceptual.io import png

Image = pytest.importorskip("PIL.Image")


def filtered(row, above, kind, size):
    """Returns a row as PNG's filters leave it, byte by byte."""
    found = []
    for i, value in enumerate(row):
        left = row[i - size] if i >= size else 0
        corner = above[i - size] if i >= size else 0
        p = left + above[i] - corner
        paeth = min(
            (left, above[i], corner), key=lambda other: abs(p - other)
        )  # The first of several.
        guess = [0, left, above[i], (left + above[i]) // 2, paeth][kind]
        found.append((value - guess) % 256)
    return bytes([kind, *found])


def with_filters(pixels, kinds):
    """Returns a PNG file of 16 bits with a filter for each row."""
    rows = pixels.astype(">u2").view("uint8").reshape(len(pixels), -1)
    above = np.zeros_like(rows[0])
    data = b""
    for row, kind in zip(rows, kinds, strict=True):
        size = 2 * pixels.shape[2]
        data += filtered(row.tolist(), above.tolist(), kind, size)
        above = row
    kind = {3: 2, 4: 6}[pixels.shape[2]]
    return file_of(pixels.shape, data, kind=kind)


def file_of(shape, data, bits=16, kind=2, interlace=0, extra=b""):
    head = struct.pack(
        ">IIBBBBB", shape[1], shape[0], bits, kind, 0, 0, interlace
    )
    packed = zlib.compress(data)
    # In two chunks, as large files have it.
    parts = [(b"IDAT", packed[:7]), (b"IDAT", packed[7:]), (b"IEND", b"")]
    return b"".join(
        [png.SIGNATURE, png._chunk(b"IHDR", head), extra]
        + [png._chunk(*part) for part in parts]
    )


@pytest.mark.parametrize("channels", [3, 4])
def test_all_filters_are_undone(channels, rng):
    pixels = rng.integers(0, 65536, (15, 6, channels)).astype("uint16")
    pixels[::2] //= 300
    for shift in range(5):
        kinds = [(y + shift) % 5 for y in range(15)]
        found = png.decode_16(with_filters(pixels, kinds))
        assert found.dtype == "uint16"
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (5, 40), (40, 5)])
def test_what_is_written_is_read(shape, rng):
    pixels = rng.integers(0, 65536, (*shape, 3)).astype("uint16")
    content = b"".join(png.encode(pixels))
    np.testing.assert_array_equal(png.decode_16(content), pixels)
    # Pillow keeps the upper byte.
    with Image.open(io.BytesIO(content)) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels >> 8)
    content = b"".join(png.encode((pixels >> 8).astype("uint8")))
    with Image.open(io.BytesIO(content)) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels >> 8)
    assert png.decode_16(content) is None


def test_other_kinds_are_left_to_others():
    rows = bytes(2 * 13)
    assert png.decode_16(file_of((2, 2), rows)) is not None
    clear = png._chunk(b"tRNS", bytes(6))
    for arguments in ({"kind": 0}, {"interlace": 1}, {"extra": clear}):
        assert png.decode_16(file_of((2, 2), rows, **arguments)) is None


def test_damage_is_an_error():
    content = file_of((2, 2), bytes(2 * 13))
    for damaged in (
        content[1:],
        content[:8],
        content[:40],
        content[:-4],
        content[:30] + b"\xff" + content[31:],
        file_of((2, 2), bytes(2 * 13 - 1)),
        file_of((2, 2), bytes(2 * 13 + 1)),
        file_of((2, 2), b"\5" + bytes(2 * 13 - 1)),
        png.SIGNATURE + png._chunk(b"IEND", b""),
    ):
        with pytest.raises(ValueError, match="Received: "):
            png.decode_16(damaged)


def test_a_file_that_unpacks_to_more_is_not_unpacked():
    content = file_of((2, 2), bytes(10**8))
    assert len(content) < 2 * 10**5
    with pytest.raises(ValueError, match="rows that do not fit"):
        png.decode_16(content)


def test_damaged_files_are_read_whole_or_refused(damaged_files, rng):
    """Damage inside a chunk that says it is whole."""
    pixels = rng.integers(0, 65536, (8, 8, 3)).astype("uint16")
    rows = pixels.astype(">u2").view("uint8").reshape(8, -1)
    plain = np.insert(rows, 0, 0, axis=1).tobytes()
    generator = random.Random(0)
    outcomes = {"read": 0, "refused": 0}
    for number in range(damaged_files):
        if number % 2:
            content = file_of((8, 8), mutated(generator, plain))
        else:
            content = mutated(generator, file_of((8, 8), plain))
        try:
            found = png.decode_16(content)
        except (ValueError, zlib.error) as error:
            assert isinstance(error, zlib.error) or "Received" in str(error)
            outcomes["refused"] += 1
        else:
            assert found is None or found.shape[2] in (3, 4)
            outcomes["read"] += 1
    assert min(outcomes.values()) > damaged_files / 100
