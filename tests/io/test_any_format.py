import os

import numpy as np
import pytest
from color_tables import assert_same

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


@pytest.mark.parametrize("name", ["look", "look.csp", "cube", ".cube"])
def test_other_names_are_refused(name):
    message = rf"knows \.cube, \.3dl, .*Received: path='{name}'$"
    with pytest.raises(ValueError, match=message):
        read_table(name)


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
        ("look.png", r"and \.png is read but not written"),
        ("look.3DL", r"and \.3dl is read but not written"),
        ("look.csp", "of which this name has none"),
        ("look", "of which this name has none"),
    ],
)
def test_what_cannot_be_written_is_not_there(name, reason, tmp_path):
    path = tmp_path / name
    message = rf"writes \.cube, {reason}.*Received: path=.*{name}'$"
    with pytest.raises(ValueError, match=message):
        write_table(path, ColorTable(curves=np.eye(3)))
    assert not path.exists()


def test_nothing_is_left_of_a_table_that_a_file_cannot_hold(tmp_path):
    table = ColorTable(curves=np.eye(3), title='"')
    with pytest.raises(ValueError, match="without quotes"):
        write_table(tmp_path / "look.cube", table)
    assert list(tmp_path.iterdir()) == []
