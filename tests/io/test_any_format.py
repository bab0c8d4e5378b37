import os
import re

import numpy as np
import pytest
from color_tables import assert_same
from public_objects import REPOSITORY

from keras_perceptual.io import (
    ColorTable,
    any_format,
    read_table,
    write_cube,
    write_table,
)


@pytest.mark.parametrize("suffix", any_format.READERS)
def test_the_name_says_the_format(suffix, monkeypatch):
    monkeypatch.setitem(any_format.READERS, suffix, lambda path: (suffix, path))
    for name in (f"look{suffix}", f"a.look{suffix.upper()}"):
        assert read_table(name) == (suffix, name)
        assert read_table(os.fsencode(name)) == (suffix, os.fsencode(name))


def test_a_table_is_read(tmp_path):
    path = tmp_path / "look.CUBE"
    write_cube(path, ColorTable(curves=np.eye(3)))
    assert read_table(path).curves.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize("name", ["look", "look.lut", "cube", ".cube"])
def test_other_names_are_refused(name):
    message = rf"knows \.cube, \.3dl, .*Received: path='{name}'$"
    with pytest.raises(ValueError, match=message):
        read_table(name)


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("look.icc", "OpenColorIO.*ArgyllCMS"),
        ("look.ICM", "OpenColorIO.*ArgyllCMS"),
        ("look.look", "OpenColorIO"),
        ("look.dctl", "Resolve"),
    ],
)
def test_what_is_no_table_alone_says_what_makes_one_of_it(name, program):
    message = rf"reads no \.\w+ files.*{program}.*Received: path='{name}'$"
    with pytest.raises(ValueError, match=message):
        read_table(name)


@pytest.mark.parametrize("suffix", any_format.PICTURES)
def test_pictures_are_read(suffix, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.rint(IDENTITY.transpose(2, 1, 0, 3) * 255).reshape(8, 8, 3)
    path = tmp_path / f"look{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    image.fromarray(pixels.astype("uint8")).save(path, **options)
    np.testing.assert_allclose(read_table(path).cube, IDENTITY, atol=1e-6)


@pytest.mark.parametrize("name", ["look.cube", "look.CUBE", b"look.cube"])
def test_a_table_is_written(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = ColorTable(
        curves=np.eye(3),
        curves_domain=((0, 0, -1), (1, 2, 3)),
        title="A look",
    )
    write_table(name, table)
    assert_same(read_table(name), table)
    with pytest.raises(TypeError, match=r"works on a ColorTable.*ndarray"):
        write_table(name, table.curves)
    assert_same(read_table(name), table)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("look.tif", r"and \.tif is read but not written"),
        ("look.BMP", r"and \.bmp is read but not written"),
        ("look.lut", "of which this name has none"),
        ("look", "of which this name has none"),
    ],
)
def test_what_cannot_be_written_is_not_there(name, reason, tmp_path):
    path = tmp_path / name
    message = rf"writes \.cube, .*\.png, {reason}.*Received: path=.*{name}'$"
    with pytest.raises(ValueError, match=message):
        write_table(path, ColorTable(curves=np.eye(3)))
    assert not path.exists()


IDENTITY = np.moveaxis(np.indices((4, 4, 4)) / 3, 0, -1)
WRITTEN = {
    suffix: ColorTable(cube=IDENTITY)
    if suffix != ".spi1d"
    else ColorTable(curves=np.linspace(0, 1, 9)[:, None].repeat(3, 1))
    for suffix in any_format.WRITERS
}


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_format_is_written_as_a_whole_or_not_at_all(
    suffix, tmp_path, monkeypatch
):
    path, table = tmp_path / f"look{suffix.upper()}", WRITTEN[suffix]
    write_table(path, table)
    found = read_table(path)
    for name in ("curves", "cube"):
        entries = getattr(table, name)
        if entries is not None:
            np.testing.assert_allclose(getattr(found, name), entries, atol=2e-3)
    content = path.read_bytes()

    def fail(*arguments):
        raise OSError("No space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_table(path, table)
    with pytest.raises(OSError, match="No space"):
        write_table(tmp_path / f"other{suffix}", table)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == content


def test_options_reach_the_format(tmp_path):
    table = WRITTEN[".3dl"]
    write_table(tmp_path / "look.3dl", table, bits=8)
    assert "255 255 255" in (tmp_path / "look.3dl").read_text()
    for layout in ("hald", "tiles"):
        sizes = []
        for bits in (8, 16):
            path = tmp_path / "look.png"
            write_table(path, table, bits=bits, layout=layout)
            head = path.read_bytes()[16:25]
            sizes.append(np.frombuffer(head[:8], ">u4").tolist())
            assert head[8] == bits
        assert sizes == [[8, 8] if layout == "hald" else [16, 4]] * 2


@pytest.mark.parametrize(
    ("suffix", "option"),
    [(".cube", "bits"), (".csp", "bits"), (".3dl", "layout")],
)
def test_options_of_other_formats_are_refused(suffix, option, tmp_path):
    value = {"bits": 8, "layout": "hald"}[option]
    message = rf"no `{option}` for \{suffix} files.*: {option}={value!r}$"
    with pytest.raises(ValueError, match=message):
        write_table(
            tmp_path / f"look{suffix}", WRITTEN[suffix], **{option: value}
        )
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_table_that_a_file_cannot_hold(tmp_path):
    table = ColorTable(curves=np.eye(3), title='"')
    with pytest.raises(ValueError, match="without quotes"):
        write_table(tmp_path / "look.cube", table)
    assert list(tmp_path.iterdir()) == []


def test_the_how_to_says_what_of_each_format_is_read():
    text = (REPOSITORY / "docs" / "luts.md").read_text(encoding="utf-8")
    (rows,) = re.findall(r"(?s)\| --- \|.*?\n\n", text)
    listed = set(re.findall(r"`(\.\w+)`", rows))
    known = {*any_format.READERS, *any_format.ELSEWHERE}
    assert known - {".icm"} <= listed
    assert set(any_format.WRITERS) <= listed
