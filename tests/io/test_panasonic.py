import numpy as np
import pytest
from color_tables import CORNERS, assert_same, check_damage

from keras_perceptual.io import ColorTable, read_cube, read_vlt

ROWS = b"".join(
    b"%d %d %d\n" % (4095 * r, 100 * g, 7 * b) for r, g, b in CORNERS
)
FILE = (
    b'# panasonic vlt file version 1.0\n# source vlt file ""\nLUT_3D_SIZE 2\n\n'
    + ROWS
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "look.vlt"


def read(path, content):
    path.write_bytes(content)
    return read_vlt(path)


def test_a_cube_is_read_with_red_fastest(path):
    table = read(path, FILE)
    for r, g, b in CORNERS:
        expected = np.array([4095 * r, 100 * g, 7 * b]) / 4095
        np.testing.assert_array_equal(
            table.cube[r, g, b], expected.astype("float32")
        )
    assert table.curves is None


def test_it_is_a_cube_file_of_whole_numbers(path, rng):
    rows = rng.integers(0, 4096, (17**3, 3))
    content = b"LUT_3D_SIZE 17\n" + b"".join(
        b"%d %d %d\n" % (*r,) for r in rows
    )
    expected = tuple(rows.max(axis=0))
    table = read(path, content)
    other = read_cube(path)
    assert_same(table, ColorTable(cube=other.cube.astype("float64") / 4095))
    assert max(expected) > 4000


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.replace(b"\n", b"\r\n"),
        lambda f: f.replace(b" ", b"\t"),
        lambda f: f.replace(b"#", b"\n#"),
        lambda f: f.lower(),
        lambda f: f.removesuffix(b"\n") + b"\x1a",
        lambda f: f[f.index(b"LUT") :],
    ],
)
def test_the_way_it_is_written_changes_nothing(change, path):
    changed = change(FILE)
    assert changed != FILE
    assert_same(read(path, changed), read(path, FILE))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 .*It is empty"),
        (b"# vlt\n", "line 2 .*LUT_3D_SIZE should come.*end of the file"),
        (ROWS, "line 1 .*Before the rows comes LUT_3D_SIZE"),
        (b"TITLE a\n" + FILE, "line 1 .*nothing else but comments"),
        (FILE.replace(b"SIZE 2", b"SIZE 1"), "line 3 .*from 2 to 256"),
        (FILE.replace(b"SIZE 2", b"SIZE 257"), "line 3 .*from 2 to 256"),
        (FILE.replace(b"SIZE 2", b"SIZE 2 2"), "line 3 .*from 2 to 256"),
        (FILE.replace(b"SIZE 2", b"SIZE 3"), "line 13 .*27 rows .*has 8"),
        (FILE + b"0 0 0\n", "line 13 .*here is one more"),
        (FILE.replace(b"100", b"4096"), "line 7 .*from 0 to 4095"),
        (FILE.replace(b"100", b"0.5"), "line 7 .*whole numbers"),
        (FILE.replace(b"100", b"-1"), "line 7 .*from 0 to 4095"),
        (FILE.replace(b"100", b"nan"), "line 7 .*not finite"),
    ],
)
def test_what_is_not_one_whole_table_is_refused(content, message, path):
    with pytest.raises(
        ValueError, match=f"(?s)^read_vlt stopped in {message}"
    ) as caught:
        read(path, content)
    assert "Received: " in str(caught.value)


def test_damaged_files_are_read_whole_or_refused(path, damaged_files):
    refused = "read_vlt stopped in line "
    check_damage(read_vlt, [FILE], path, refused, damaged_files)
