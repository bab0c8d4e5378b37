import itertools
import os
import struct
import sys
import zlib

import checks
import numpy as np
import pytest

from keras_perceptual.io import ColorTable, hald, read_hald, write_hald
from keras_perceptual.io.tiles import LAYOUTS

image = pytest.importorskip("PIL.Image")


def identity(level):
    """Returns the picture that changes nothing, as ImageMagick draws it."""
    size = level**2
    pixels = [
        (r, g, b) for b in range(size) for g in range(size) for r in range(size)
    ]
    side = level**3
    return np.array(pixels, "float64").reshape(side, side, 3) / (size - 1)


@pytest.mark.parametrize("level", [2, 3, 4])
def test_the_identity_is_read(level):
    table = read_hald(identity(level))
    ramp = np.linspace(0, 1, level**2)
    expected = np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1)
    np.testing.assert_allclose(table.cube, expected, atol=1e-7)
    assert table.curves is None


@pytest.mark.parametrize(
    ("kind", "white"),
    [("uint8", 255), ("uint16", 65535), (">u2", 65535), ("float32", 1)],
)
def test_white_is_one(kind, white):
    pixels = np.round(identity(2) * white).astype(kind)
    pixels[0, 1] = pixels[7, 7] // 2
    cube = read_hald(pixels).cube
    assert cube.max() == 1
    assert cube[1, 0, 0].tolist() == [np.float32(white // 2 / white)] * 3


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm"])
def test_files_are_read_to_the_last_bit(suffix, tmp_path, rng):
    pixels = rng.integers(0, 256, (27, 27, 3), "uint8")
    path = tmp_path / f"look.{suffix}"
    image.fromarray(pixels).save(path)
    found, expected = (read_hald(x, layout="hald") for x in (path, pixels))
    np.testing.assert_array_equal(found.cube, expected.cube)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((8, 8, 5)), r"\(side, side, 3\).*\(8, 8, 5\) and type float"),
        (np.zeros((8,)), r"\(side, side, 3\).*\(8,\) and type float64$"),
        (np.zeros((8, 8, 4), "uint8"), "Take transparency out"),
        (np.zeros((8, 8, 3), "int32"), "uint16 or of floating.*type int32$"),
        (np.zeros((8, 8, 3), bool), "uint16 or of floating.*type bool$"),
        (np.zeros((9, 9, 3), "uint8"), r"8, 27, 64.*and not \(9, 9\)"),
        (np.zeros((8, 27, 3), "uint8"), r"neither cropped nor.*\(8, 27, 3\)"),
        (np.zeros((1, 1, 3), "uint8"), "8, 27, 64"),
        (np.full((8, 8, 3), np.nan), "finite.*192 entries"),
        ([["a"]], "type <U1$"),
    ],
)
def test_what_is_no_hald_image_is_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        read_hald(pixels)


def tiles(level):
    """Returns the identity as tiles, as OBS draws it, `[r, g, b]` in floats."""
    size = level**2
    pixels = np.zeros((level**3, level**3, 3))
    for y in range(level**3):
        for x in range(level**3):
            blue = y // size * level + x // size
            pixels[y, x] = x % size, y % size, blue
    return pixels / (size - 1)


@pytest.mark.parametrize("level", [2, 3, 4])
@pytest.mark.parametrize(
    "look",
    [
        lambda x: x,
        lambda x: 1 - x,
        lambda x: x @ np.diag([0.9, 1.1, 0.8]) ** 2,
        lambda x: np.repeat(x @ [[0.3], [0.6], [0.1]], 3, axis=-1),
    ],
)
def test_tiles_are_not_read_as_a_hald_image(level, look):
    expected = read_hald(look(identity(level)), layout="hald").cube
    pictures = identity(level), tiles(level), tiles(level)[::-1]
    for picture in pictures:
        found = read_hald(look(picture)).cube
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("turn", "layout"),
    [
        (lambda strip: strip, "tiles"),
        (lambda strip: strip[::-1], "tiles_bottom_up"),
    ],
)
@pytest.mark.parametrize("down", [1, 2, 4, 8, 16])
def test_strips_are_read(turn, layout, down, tmp_path):
    size = 16
    pixels = np.zeros((size * down, size * size // down, 3), "uint8")
    for blue in range(size):
        row, column = divmod(blue, size // down)
        tile = pixels[row * size :, column * size :][:size, :size]
        tile[..., 0] = 17 * np.arange(size)
        tile[..., 1] = 17 * np.arange(size)[:, None]
        tile[..., 2] = 17 * blue
    path = tmp_path / "strip.png"
    image.fromarray(turn(pixels)).save(path)
    expected = np.moveaxis(np.indices((size,) * 3), 0, -1) / 15
    for arguments in ({}, {"layout": layout}):
        found = read_hald(path, **arguments).cube
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_leaves_the_layout_open_is_refused(rng):
    noise = rng.uniform(size=(64, 64, 3))
    with pytest.raises(ValueError, match=r"cannot tell.*Pass `layout`.*64, 64"):
        read_hald(noise)
    cubes = [read_hald(noise, layout=layout).cube for layout in LAYOUTS]
    for first, second in itertools.combinations(cubes, 2):
        assert (first != second).any()
    with pytest.raises(ValueError, match="cannot tell"):
        read_hald(rng.uniform(size=(16, 256, 3)))
    with pytest.raises(ValueError, match=r"square picture for the layout"):
        read_hald(np.zeros((16, 256, 3)), layout="hald")
    with pytest.raises(ValueError, match=r"one of \['hald', .*layout='strip'$"):
        read_hald(noise, layout="strip")


def test_one_color_is_the_same_in_any_layout():
    for shape in ((8, 8, 3), (16, 256, 3)):
        assert (read_hald(np.full(shape, 0.5)).cube == 0.5).all()


def test_files_that_are_not_exact_are_refused(tmp_path):
    pixels = np.zeros((8, 8, 3), "uint8")
    path = tmp_path / "look.jpg"
    image.fromarray(pixels).save(path)
    with pytest.raises(ValueError, match=r"JPEG does not keep.*look\.jpg'$"):
        read_hald(path)
    for mode in ("CMYK", "F", "I", "YCbCr"):
        image.fromarray(pixels).convert(mode).save(tmp_path / "look.tif")
        with pytest.raises(ValueError, match=f"gray or with.*of mode {mode}$"):
            read_hald(tmp_path / "look.tif")


def gray(level):
    return identity(level) @ [0.3, 0.6, 0.1]


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "pgm", "tga"])
def test_gray_stands_for_equal_channels(suffix, tmp_path):
    pixels = np.round(gray(4) * 255).astype("uint8")
    path = tmp_path / f"look.{suffix}"
    image.fromarray(pixels).save(path)
    expected = read_hald(np.stack([pixels] * 3, axis=-1)).cube
    assert expected[15, 0, 0, 1] == pytest.approx(0.3, abs=1 / 255)
    for picture in (path, pixels, pixels[..., None]):
        np.testing.assert_array_equal(read_hald(picture).cube, expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("look.png", {}),
        ("look.tif", {}),
        ("look.tif", {"compression": "tiff_lzw"}),
        ("look.pgm", {}),
    ],
)
def test_gray_of_16_bits_is_read_to_the_last_bit(name, options, tmp_path):
    pixels = np.round(gray(4) * 65535).astype("uint16")
    assert (pixels % 257).any()
    path = tmp_path / name
    image.fromarray(pixels).save(path, **options)
    expected = read_hald(np.stack([pixels] * 3, axis=-1)).cube
    for picture in (path, pixels):
        np.testing.assert_array_equal(read_hald(picture).cube, expected)


def test_what_pillow_does_not_convert_is_refused(tmp_path):
    """White as zero in 16 bits, and palettes of more than 8."""
    tiff = pytest.importorskip("PIL.TiffImagePlugin")
    path = tmp_path / "look.tif"
    tags = tiff.ImageFileDirectory_v2()
    tags[262] = 0
    pixels = np.round(gray(4) * 65535).astype("uint16")
    image.fromarray(pixels).save(path, tiffinfo=tags)
    with pytest.raises(ValueError, match=r"Save the image as such.*mode I;16"):
        read_hald(path)
    pixels = np.round(identity(2) * 255).astype("uint8")
    colors = image.fromarray(pixels).quantize(64, image.Quantize.FASTOCTREE)
    colors.save(path)
    read_hald(path)
    content = bytearray(path.read_bytes())
    with image.open(path) as opened:
        palette = opened.tag_v2[320]
    start = content.index(np.array(palette, "<u2").tobytes())
    content[start] += 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="mode P with more than 8 bits"):
        read_hald(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "tga"])
def test_a_palette_is_looked_up(suffix, tmp_path):
    pixels = np.round(identity(2) * 255).astype("uint8")
    path = tmp_path / f"look.{suffix}"
    colors = image.fromarray(pixels).quantize(64, image.Quantize.FASTOCTREE)
    assert colors.mode == "P"
    colors.save(path)
    expected = read_hald(np.asarray(colors.convert("RGB"))).cube
    assert len(np.unique(expected)) >= 4
    np.testing.assert_array_equal(read_hald(path).cube, expected)


@pytest.mark.parametrize("suffix", ["png", "tif", "tga"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opacity_must_be_full(suffix, mode, tmp_path):
    pixels = np.round(identity(3) * 255).astype("uint8")
    path = tmp_path / f"look.{suffix}"
    picture = image.fromarray(pixels).convert(mode)
    picture.save(path)
    expected = read_hald(np.asarray(picture.convert("RGB"))).cube
    for opaque in (path, np.asarray(picture)):
        np.testing.assert_array_equal(read_hald(opaque).cube, expected)
    picture.putpixel((3, 5), (*picture.getpixel((3, 5))[:-1], 254))
    picture.save(path)
    for clear in (path, np.asarray(picture)):
        with pytest.raises(ValueError, match="Take transparency out"):
            read_hald(clear)


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "P"])
def test_a_color_that_is_transparent_is_refused(mode, tmp_path):
    pixels = np.round(identity(3) * 255).astype("uint8")
    if mode == "I;16":
        picture = image.fromarray(pixels[..., 0].astype("uint16"))
    else:
        picture = image.fromarray(pixels).convert(mode)
    path = tmp_path / "look.png"
    picture.save(path)
    read_hald(path)
    picture.save(path, transparency=(0, 0, 0) if mode == "RGB" else 0)
    with pytest.raises(ValueError, match="Take transparency out"):
        read_hald(path)


@pytest.mark.parametrize(
    ("name", "options", "exact"),
    [
        ("look.png", {}, True),
        ("look.bmp", {}, True),
        ("look.tga", {}, True),
        ("look.tif", {}, True),
        ("look.tif", {"compression": "tiff_lzw"}, True),
        ("look.tif", {"compression": "tiff_adobe_deflate"}, True),
        ("look.tif", {"compression": "jpeg"}, False),
        ("look.webp", {"lossless": True}, True),
        ("look.webp", {"lossless": False}, False),
        ("look.webp", {"lossless": True, "icc_profile": b"P" * 3001}, True),
        ("look.webp", {"quality": 80, "icc_profile": b"VP8L" * 9}, False),
        ("look.jp2", {}, False),
        ("look.avif", {}, False),
        ("look.jpg", {"quality": 100}, False),
    ],
)
def test_what_a_format_rounds_is_refused(name, options, exact, rng, tmp_path):
    pixels = rng.integers(256, size=(8, 8, 3)).astype("uint8")
    path = tmp_path / name
    try:
        image.fromarray(pixels).save(path, **options)
    except (KeyError, OSError, ValueError) as error:
        pytest.skip(f"This Pillow does not write such files: {error}")
    if exact:
        found, expected = (read_hald(x, layout="hald") for x in (path, pixels))
        np.testing.assert_array_equal(found.cube, expected.cube)
    else:
        with pytest.raises(ValueError, match=r"exact colors.*path='.*look"):
            read_hald(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "look.png")
    with pytest.raises(ValueError, match=r"not pipes.*look.png"):
        read_hald(tmp_path / "look.png")


def test_16_bits_are_not_rounded_silently(tmp_path):
    """Pillow would read such a file, and return the upper 8 bits."""
    path = tmp_path / "look.ppm"
    path.write_bytes(b"P6 8 8 1023\n" + bytes(8 * 8 * 6))
    with image.open(path) as opened:
        assert opened.mode == "RGB"
    with pytest.raises(ValueError, match=r"as an array.*RGB with more than 8"):
        read_hald(path)


@pytest.mark.parametrize("channels", [3, 4])
def test_png_of_16_bits_is_read_to_the_last_bit(channels, tmp_path):
    pixels = np.round(identity(4) * 65535).astype("uint16")
    assert (pixels % 257 == 0).all()
    pixels[5, 7] = 1, 2, 3
    path = tmp_path / "look.png"
    opacity = np.full((64, 64, channels - 3), 65535, "uint16")
    path.write_bytes(png_of_16_bits(np.concatenate([pixels, opacity], -1)))
    expected = read_hald(pixels).cube
    np.testing.assert_array_equal(read_hald(path).cube, expected)
    if channels == 4:
        opacity[3, 5] = 65534
        path.write_bytes(png_of_16_bits(np.concatenate([pixels, opacity], -1)))
        with pytest.raises(ValueError, match="Take transparency out"):
            read_hald(path)


def test_png_of_16_bits_is_not_read_if_rows_are_interlaced(tmp_path):
    path = tmp_path / "look.png"
    pixels = np.zeros((8, 8, 3), "uint16")
    path.write_bytes(png_of_16_bits(pixels, interlace=1))
    with pytest.raises(ValueError, match=r"as an array.*RGB with more than 8"):
        read_hald(path)
    content = png_of_16_bits(pixels)
    path.write_bytes(content[:60] + b"?" + content[61:])
    with pytest.raises(ValueError, match="Check that the file is whole"):
        read_hald(path)
    path.write_bytes(png_of_16_bits(np.zeros((9, 9, 3), "uint16")))
    with pytest.raises(ValueError, match="8, 27, 64"):
        read_hald(path)


def png_of_16_bits(pixels, interlace=0):
    """Returns the bytes of a PNG file, which Pillow cannot write."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width, channels = pixels.shape
    kind = {3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlace)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2"))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# Writing.


def table_of(size):
    """Returns a look of ramps, which says how it lies in a picture."""
    ramp = np.linspace(0, 1, size)
    cube = np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1)
    return ColorTable(cube=cube ** [0.8, 1.0, 1.3] * [0.9, 1, 0.95])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("layout", "sizes"),
    [
        ("hald", [4, 9, 16, 25]),
        ("tiles", [4, 16, 17, 33]),
        ("tiles_bottom_up", [4, 16, 17, 33]),
    ],
)
def test_what_is_written_is_read(layout, sizes, bits, tmp_path):
    path = tmp_path / "look.png"
    for size in sizes:
        table = table_of(size)
        write_hald(path, table, layout=layout, bits=bits)
        expected = np.rint(table.cube.astype("float64") * (2**bits - 1))
        found = read_hald(path).cube.astype("float64") * (2**bits - 1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pillow_reads_pictures_as_they_are_meant(tmp_path):
    path = tmp_path / "look.png"
    table = table_of(4)
    for layout, place in (
        ("hald", lambda r, g, b: divmod(r + 4 * g + 16 * b, 8)),
        ("tiles", lambda r, g, b: (g, 4 * b + r)),
        ("tiles_bottom_up", lambda r, g, b: (3 - g, 4 * b + r)),
    ):
        write_hald(path, table, layout=layout)
        with image.open(path) as opened:
            assert opened.mode == "RGB"
            pixels = np.asarray(opened)
        for entry in itertools.product(range(4), repeat=3):
            expected = np.rint(table.cube[entry].astype("float64") * 255)
            assert pixels[place(*entry)].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("size", "arguments", "message"),
    [
        (5, {}, r"with 4 or 9, or pass layout='tiles'.*\(5, 5, 5, 3\)$"),
        (2, {}, "with 4, or pass"),
        (4, {"bits": 12}, "8, 16 bits.*bits=12$"),
        (4, {"layout": "strip"}, "one of .*layout='strip'$"),
    ],
)
def test_what_is_no_picture_is_not_written(size, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=f"^write_hald .*{message}"):
        write_hald(tmp_path / "look.png", table_of(size), **arguments)
    with pytest.raises(ValueError, match="below 0 or above 1"):
        write_hald(
            tmp_path / "look.png", ColorTable(cube=table_of(4).cube * 1.2)
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", [0, 20, 60])
def test_damaged_files_are_refused(start, tmp_path, rng):
    path = tmp_path / "look.png"
    image.fromarray(rng.integers(0, 256, (8, 8, 3), "uint8")).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:start])
    with pytest.raises(ValueError, match=r"whole.*Received: path=.*look\.png"):
        read_hald(path)


def test_a_file_of_another_size_is_not_decoded(tmp_path, monkeypatch):
    path = tmp_path / "look.png"
    image.fromarray(np.zeros((100, 100, 3), "uint8")).save(path)
    monkeypatch.setattr(hald.np, "asarray", None)
    with pytest.raises(ValueError, match=r"and not \(100, 100\)"):
        read_hald(path)


def test_without_pillow_a_file_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install pillow.*'look\.png'$"):
        read_hald("look.png")
    assert read_hald(identity(2)).cube.shape == (4, 4, 4, 3)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no_such"):
        read_hald(tmp_path / "no_such.png")


def test_defaults_are_the_documented_ones():
    checks.check_defaults(write_hald)
