import numpy as np
import pytest
from color_tables import (
    apply_by_hand,
    apply_with_opencolorio,
    assert_same,
    check_damage,
)

from keras_perceptual.io import (
    ColorTable,
    apply_table,
    read_spi3d,
    write_spi3d,
)

PLACES = [(r, g, b) for r in range(2) for g in range(2) for b in range(2)]
HEADER = b"SPILUT 1.0\n3 3\n2 2 2\n"
# Each channel tells which axis it is.
ROWS = [
    b"%d %d %d %d %.1f %.2f" % (r, g, b, r, g / 2, b / 4) for r, g, b in PLACES
]
FILE = HEADER + b"\n".join(ROWS) + b"\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "look.spi3d"


def read(path, content):
    path.write_bytes(content)
    return read_spi3d(path)


def test_a_cube_is_read(path):
    table = read(path, FILE)
    for r, g, b in PLACES:
        assert table.cube[r, g, b].tolist() == [r, g / 2, b / 4]
    assert table.curves is None


def test_rows_may_be_in_any_order(path, rng):
    rows = [ROWS[i] for i in rng.permutation(8)]
    assert rows != ROWS
    found = read(path, HEADER + b"\n".join(rows))
    assert_same(found, read(path, FILE))


def test_many_entries_find_their_place(path, rng):
    cube = rng.uniform(-1, 2, (20, 20, 20, 3)).astype("float32")
    places = rng.permutation(20**3)
    rows = np.hstack(
        [
            np.stack(np.unravel_index(places, (20,) * 3), axis=1),
            cube.reshape(-1, 3)[places],
        ]
    )
    lines = [
        f"{r:.0f} {g:.0f} {b:.0f} {x} {y} {z}" for r, g, b, x, y, z in rows
    ]
    text = "\n".join(["SPILUT", "3 3", "20 20 20", *lines])
    np.testing.assert_array_equal(read(path, text.encode()).cube, cube)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.replace(b"\n", b"\r\n"),
        lambda f: f.replace(b" ", b"\t"),
        lambda f: f.replace(b"\n", b"\n\n  # a comment\n"),
        lambda f: b"\xef\xbb\xbf" + f,
        lambda f: f.lower(),
        lambda f: f.removesuffix(b"\n"),
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
        (b"0 0 0 0 0 0\n", "line 1 .*a line with SPILUT 1.0"),
        (b"SPILUT 2.0\n", "line 1 .*a line with SPILUT 1.0"),
        (b"SPILUT 1.0\n2 3\n", "line 2 .*a line with 3 3"),
        (b"SPILUT 1.0\n3 3\n", "line 3 .*the size of the cube.*end of the"),
        (b"SPILUT 1.0\n3 3\n2 2\n", "line 3 .*the size of the cube"),
        (b"SPILUT 1.0\n3 3\n2 2 3\n", "line 3 .*the same size, 2 to 256"),
        (b"SPILUT 1.0\n3 3\n1 1 1\n", "line 3 .*the same size, 2 to 256"),
        (b"SPILUT 1.0\n3 3\n257 257 257\n", "line 3 .*the same size"),
        (HEADER, "line 4 .*8 rows .*cube of 2.* has 0"),
        (HEADER + b"\n".join(ROWS[:7]), "line 10 .*and has 7"),
        (FILE + ROWS[0], "line 12 .*here is one more"),
        (FILE.replace(ROWS[5], ROWS[2]), "line 9 .*stands further up already"),
        (FILE.replace(ROWS[5], b"0 2 0 0 0 0"), "line 9 .*from 0 to 1"),
        (FILE.replace(ROWS[5], b"0 0.5 0 0 0 0"), "line 9 .*whole numbers"),
        (FILE.replace(ROWS[5], b"-1 0 0 0 0 0"), "line 9 .*whole numbers"),
        (FILE.replace(ROWS[5], b"0 0 0"), "line 9 .*six numbers.*and not 3"),
        (FILE.replace(ROWS[5], b"1 0 1 0 inf 0"), "line 9 .*not finite"),
        (FILE.replace(ROWS[5], b"1 0 1 0 1e39 0"), "line 9 .*not finite"),
    ],
)
def test_what_is_not_one_whole_table_is_refused(content, message, path):
    with pytest.raises(
        ValueError, match=f"(?s)^read_spi3d stopped in {message}"
    ) as caught:
        read(path, content)
    assert "Received: " in str(caught.value)


@pytest.mark.parametrize("block_size", [20, 2**18])
def test_an_entry_that_stands_there_twice_is_named(
    block_size, path, monkeypatch
):
    monkeypatch.setattr("keras_perceptual.io.text_lines.BLOCK_SIZE", block_size)
    rows = [*ROWS[:2], b"# a comment", b"", *ROWS[2:5], ROWS[1], *ROWS[6:]]
    message = "line 11 .*stands further up already.*Received: '0 0 1 0 0.0 0.25"
    with pytest.raises(ValueError, match=message):
        read(path, HEADER + b"\n".join(rows))


def test_damaged_files_are_read_whole_or_refused(path, damaged_files):
    refused = "read_spi3d stopped in line "
    check_damage(read_spi3d, [FILE], path, refused, damaged_files)


def test_opencolorio_reads_the_same(path, rng):
    table = read(path, FILE)
    colors = rng.uniform(-0.2, 1.2, (200, 3))
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_by_hand(table, colors), atol=1e-6)


def test_what_is_written_is_read_and_by_others(path, rng):
    table = ColorTable(cube=rng.uniform(-1, 2, (5, 5, 5, 3)))
    write_spi3d(path, table)
    assert_same(read_spi3d(path), table)
    colors = rng.uniform(-0.3, 1.3, (200, 3))
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_table(table, colors), atol=2e-6)
    colour = pytest.importorskip("colour")
    theirs = colour.io.read_LUT_SonySPI3D(str(path))
    np.testing.assert_allclose(theirs.table, table.cube, atol=1e-6)


def test_what_a_file_cannot_hold_is_refused(path):
    cube = np.zeros((2, 2, 2, 3))
    for table, message in (
        (ColorTable(curves=np.eye(3)), "has none"),
        (ColorTable(cube=cube, curves=np.eye(3)), "a cube alone"),
        (
            ColorTable(cube=cube, cube_domain=((0,) * 3, (2,) * 3)),
            "another domain",
        ),
    ):
        with pytest.raises(ValueError, match=f"^write_spi3d .*{message}"):
            write_spi3d(path, table)
    assert not path.exists()
