import os

import numpy as np
import pytest

from keras_perceptual.io import ColorTable, any_format, read_table, write_cube


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
