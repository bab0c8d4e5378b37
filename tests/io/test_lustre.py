import numpy as np
import pytest
from color_tables import (
    apply_by_hand,
    apply_with_opencolorio,
    assert_same,
    check_damage,
)

from keras_perceptual.io import read_3dl

PLACES = [(r, g, b) for r in range(3) for g in range(3) for b in range(3)]
ROWS = b"".join(
    b"%d %d %d\n" % (511 * r, 500 * g, 256 * b) for r, g, b in PLACES
)
# Flame's dialect and Lustre's.
FLAME = b"# A look\n0 512 1023\n\n" + ROWS
LUSTRE = (
    b"#Tokens required by applications - do not edit\n3DMESH\nMesh 1 12\n"
    b"0 512 1023\n" + ROWS + b"\n#Tokens\n\nLUT8\ngamma 1.0\n"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "look.3dl"


def read(path, content, **arguments):
    path.write_bytes(content)
    return read_3dl(path, **arguments)


@pytest.mark.parametrize(("content", "white"), [(FLAME, 1023), (LUSTRE, 4095)])
def test_a_cube_is_read_with_blue_fastest(content, white, path):
    table = read(path, content)
    for r, g, b in PLACES:
        expected = np.array([511 * r, 500 * g, 256 * b]) / white
        np.testing.assert_array_equal(
            table.cube[r, g, b], expected.astype("float32")
        )
    assert table.curves is None


def test_bits_can_be_given(path):
    expected = read(path, FLAME).cube * 1023
    for bits in (10, 12, 16):
        found = read(path, FLAME, bits=bits).cube * (2**bits - 1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert_same(read(path, LUSTRE, bits=10), read(path, FLAME))


@pytest.mark.parametrize(
    ("largest", "bits"),
    [
        (128, 8), (255, 8), (511, 8), (512, 10), (1023, 10), (2047, 10),
        (2048, 12), (4095, 12), (8191, 12), (8192, 16), (65535, 16),
        (131071, 16),
    ],
)  # fmt: skip
def test_bits_are_concluded_from_the_largest_number(largest, bits, path):
    content = FLAME.replace(ROWS, b"0 0 0\n" * 26 + b"0 %d 0\n" % largest)
    found = read(path, content).cube.max() * (2**bits - 1)
    assert found == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.replace(b"\n", b"\r\n"),
        lambda f: f.replace(b" ", b"\t"),
        lambda f: f.replace(b"\n", b"\n\n  # a comment\n"),
        lambda f: b"\xef\xbb\xbf" + f,
        lambda f: f.lower(),
        lambda f: f.removesuffix(b"\n"),
        lambda f: f.replace(b"0 512 1023", b"0 510 1023"),
        lambda f: f.replace(b"0 512 1023", b"0 2048 4095"),
        lambda f: f.replace(b"LUT8\ngamma 1.0\n", b""),
        lambda f: f.replace(b"3DMESH\n", b""),
    ],
)
def test_the_way_it_is_written_changes_nothing(change, path):
    changed = change(LUSTRE)
    assert changed != LUSTRE
    assert_same(read(path, changed), read(path, LUSTRE))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 .*It is empty"),
        (b"# a look\n", "line 2 .*points of the grid should come.*end of the"),
        (ROWS, "line 1 .*in equal steps from 0 to 255"),
        (b"0 1023 512\n" + ROWS, "line 1 .*in equal steps"),
        (b"0 514 1023\n" + ROWS, "line 1 .*in equal steps"),
        (b"0 300 1023\n" + ROWS, "line 1 .*programs make different things"),
        (b"0 470 940\n" + ROWS, "line 1 .*in equal steps"),
        (b"0 0.5 1\n" + ROWS, "line 1 .*whole numbers that are not negative"),
        (b"0\n" + ROWS, "line 1 .*2 to 256 whole numbers"),
        (b"TITLE look\n" + FLAME, "line 1 .*3DMESH, Mesh and the grid"),
        (b"Mesh 1\n" + FLAME, "line 1 .*two whole numbers"),
        (b"Mesh 1 12\nMesh 1 12\n", "line 2 .*stands in a file once"),
        (b"Mesh 1 14\n", "line 1 .*8, 10, 12 or 16"),
        (b"Mesh 9 12\n", "line 1 .*1 to 7"),
        (b"Mesh 4 12\n" + FLAME, "line 3 .*17 points, and here are 3"),
        (FLAME[:-6], "line 30 .*three numbers.*and not 2"),
        (
            FLAME[: -len(b"1022 1000 512\n")],
            "line 30 .*27 rows .*3 points of the grid.* has 26",
        ),
        (FLAME + b"0 0 0\n", "line 31 .*here is one more"),
        (FLAME.replace(b"0 0 256", b"0 0 0.5"), "line 5 .*three whole numbers"),
        (FLAME.replace(b"0 0 256", b"0 0 -1"), "line 5 .*three whole numbers"),
        (FLAME.replace(b"0 0 256", b"0 0 131072"), "line 5 .*to 131071"),
        (LUSTRE.replace(b"0 0 256", b"0 0 8192"), "line 6 .*0 to 8191"),
        (FLAME.replace(b"0 0 256", b"0 0"), "line 5 .*three numbers.*not 2"),
        (FLAME.replace(b"0 0 256", b"0 0 nan"), "line 5 .*not finite"),
        (LUSTRE.replace(b"1.0", b"2.2"), "line 36 .*"),
        (LUSTRE + b"0 0 0\n", "line 37 .*ended in line 35"),
        (b"<xml>" + FLAME, "line 1 .*points of the grid"),
    ],
)
def test_what_is_not_one_whole_table_is_refused(content, message, path):
    with pytest.raises(
        ValueError, match=f"(?s)^read_3dl stopped in {message}"
    ) as caught:
        read(path, content)
    assert "Received: " in str(caught.value)


def test_numbers_too_small_to_tell_are_refused(path):
    content = FLAME.replace(ROWS, b"0 0 100\n" * 27)
    with pytest.raises(ValueError, match=r"Pass `bits`.*number of 100$"):
        read(path, content)
    assert read(path, content, bits=8).cube.max() == np.float32(100 / 255)


def test_other_bits_are_refused(path):
    with pytest.raises(ValueError, match=r"8, 10, 12 or 16.*bits=14$"):
        read(path, FLAME, bits=14)


def test_damaged_files_are_read_whole_or_refused(path, damaged_files):
    refused = ("read_3dl stopped in line ", "read_3dl cannot conclude")
    check_damage(read_3dl, [FLAME, LUSTRE], path, refused, damaged_files)


@pytest.mark.parametrize(
    ("grid", "white"),
    [
        ("0 341 682 1023", 255),
        ("0 64 128 192 255", 4095),
        ("0 85 170 255", 1023),
    ],
)
def test_opencolorio_reads_the_same(grid, white, path, rng):
    rows = rng.integers(0, white + 1, (len(grid.split()) ** 3, 3))
    text = "\n".join([grid, *(f"{r} {g} {b}" for r, g, b in rows)])
    table = read(path, text.encode())
    colors = rng.uniform(-0.2, 1.2, (200, 3))
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_by_hand(table, colors), atol=1e-6)


@pytest.mark.parametrize("dialect", ["flame", "lustre"])
def test_we_read_files_of_opencolorio(dialect, path):
    opencolorio = pytest.importorskip("PyOpenColorIO")
    config = opencolorio.Config.CreateRaw()
    config.addColorSpace(opencolorio.ColorSpace(name="source"))
    space = opencolorio.ColorSpace(name="target")
    space.setTransform(
        opencolorio.ExponentTransform([2.0, 1.0, 3.0, 1.0]),
        opencolorio.COLORSPACE_DIR_FROM_REFERENCE,
    )
    config.addColorSpace(space)
    baker = opencolorio.Baker()
    baker.setConfig(config)
    baker.setFormat(dialect)
    baker.setInputSpace("source")
    baker.setTargetSpace("target")
    baker.setCubeSize(17)
    table = read(path, baker.bake().encode())
    assert table.cube.shape == (17, 17, 17, 3)
    expected = (np.array([4, 8, 12]) / 16) ** [2, 1, 3]
    np.testing.assert_allclose(table.cube[4, 8, 12], expected, atol=2e-4)
