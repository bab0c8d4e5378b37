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
    read_spi1d,
    write_spi1d,
)

FILE = (
    b"Version 1\nFrom -0.5 1.5\nLength 3\nComponents 3\n{\n"
    b"    0.0 0.25 1\n    .5 0.5 2\n 1 1e0 -0.5\n}\n"
)
SHARED = FILE.replace(b"nts 3", b"nts 1").replace(b" 0.25 1\n", b"\n")
SHARED = SHARED.replace(b" 0.5 2\n", b"\n").replace(b" 1e0 -0.5\n", b"\n")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.spi1d"


def read(path, content):
    path.write_bytes(content)
    return read_spi1d(path)


def test_curves_are_read(path):
    table = read(path, FILE)
    assert table.curves.tolist() == [[0, 0.25, 1], [0.5, 0.5, 2], [1, 1, -0.5]]
    assert table.curves_domain == ((-0.5,) * 3, (1.5,) * 3)
    assert table.cube is None


def test_one_component_is_for_all_channels(path):
    table = read(path, SHARED.replace(b"From -0.5 1.5\n", b""))
    assert table.curves.tolist() == [[0.0] * 3, [0.5] * 3, [1.0] * 3]
    assert table.curves_domain == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.replace(b"\n", b"\r\n"),
        lambda f: f.replace(b" ", b"\t"),
        lambda f: f.replace(b"\n", b"\n\n# a comment\n"),
        lambda f: b"\xef\xbb\xbf" + f,
        lambda f: f.lower(),
        lambda f: f.removesuffix(b"\n"),
        lambda f: f.removesuffix(b"}\n"),
        lambda f: f.replace(
            b"Length 3\nComponents 3\n", b"Components 3\nLength 003\n"
        ),
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
        (b"0 0 0\n", "line 1 .*Before the numbers come Version, From"),
        (b"\n{\n0 0 0\n", "line 3 .*Version and Length and Components should"),
        (b"Version 1\n", "line 2 .*Length and Components and { should.*end of"),
        (FILE.replace(b"{\n", b""), "line 5 .*a line with {.*'0.0 0.25 1'$"),
        (FILE.replace(b"n 1", b"n 2"), "line 1 .*Version 1 is read"),
        (FILE.replace(b"1.5", b"-1.5"), "line 2 .*From.*the lower one first"),
        (FILE.replace(b"1.5", b"nan"), "line 2 .*two finite numbers"),
        (FILE.replace(b"1.5", b"1e999"), "line 2 .*two finite numbers"),
        (
            FILE.replace(b"h 3", b"h 1"),
            "line 3 .*whole number from 2 to 300000",
        ),
        (FILE.replace(b"h 3", b"h 300001"), "line 3 .*from 2 to 300000"),
        (FILE.replace(b"h 3", b"h 4"), "line 10 .*4 rows .*Length.* has 3"),
        (FILE.replace(b"h 3", b"h 2"), "line 8 .*2 rows .*here is one more"),
        (FILE.replace(b"ts 3", b"ts 2"), "line 4 .*would leave blue open"),
        (FILE.replace(b"ts 3", b"ts 1"), "line 6 .*one number, and not 3"),
        (b"Length 3\n" + FILE, "line 4 .*Length may stand in a file once"),
        (FILE.replace(b"0.25 1", b"0.25"), "line 6 .*three numbers.*not 2"),
        (FILE.replace(b"0.25", b"nan"), "line 6 .*'nan' is not finite"),
        (FILE.replace(b"0.25", b"0x1"), "line 6 .*'0x1' is no decimal"),
        (FILE + b"0 0 0\n", "line 10 .*ended in line 9, and nothing but"),
        (FILE.replace(b".5 0.5", b"}\n.5 0.5"), "line 8 .*ended in line 7"),
        (b"\x1f\x8b\x08\0", "line 1 .*gzip"),
        (FILE.replace(b"{", b"\0"), "line 5 .*a .spi1d file is text"),
    ],
)
def test_what_is_not_one_whole_table_is_refused(content, message, path):
    with pytest.raises(
        ValueError, match=f"(?s)^read_spi1d stopped in {message}"
    ) as caught:
        read(path, content)
    assert "Received: " in str(caught.value)


def test_damaged_files_are_read_whole_or_refused(path, damaged_files):
    refused = "read_spi1d stopped in line "
    check_damage(read_spi1d, [FILE, SHARED], path, refused, damaged_files)


@pytest.mark.parametrize("length", [131072, 300000])
def test_long_tables_are_read(length, path):
    ramp = (np.linspace(0, 1, length) ** 2).astype("float32")
    numbers = "\n".join(map("{:.9g}".format, ramp))
    head = f"Version 1\nFrom 0 1\nLength {length}\nComponents 1\n{{\n"
    table = read(path, f"{head}{numbers}\n}}\n".encode())
    np.testing.assert_array_equal(table.curves[:, 1], ramp)
    colors = np.array([[0.25, 0.5, 0.75]])
    expected = apply_table(table, colors)
    np.testing.assert_allclose(expected, colors**2, atol=1e-5)
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("content", [FILE, SHARED])
def test_opencolorio_reads_the_same(content, path, rng):
    table = read(path, content)
    colors = rng.uniform(-0.8, 1.8, (200, 3))
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_by_hand(table, colors), atol=1e-6)


def test_we_read_files_of_opencolorio(path):
    opencolorio = pytest.importorskip("PyOpenColorIO")
    config = opencolorio.Config.CreateRaw()
    for name, power in (("source", 1.0), ("target", 2.0)):
        space = opencolorio.ColorSpace(name=name)
        space.setTransform(
            opencolorio.ExponentTransform([power] * 3 + [1.0]),
            opencolorio.COLORSPACE_DIR_FROM_REFERENCE,
        )
        config.addColorSpace(space)
    baker = opencolorio.Baker()
    baker.setConfig(config)
    baker.setFormat("spi1d")
    baker.setInputSpace("source")
    baker.setTargetSpace("target")
    baker.setCubeSize(11)
    table = read(path, baker.bake().encode())
    expected = np.linspace(0, 1, 11)[:, None].repeat(3, axis=1) ** 2
    expected = ColorTable(curves=expected).curves
    np.testing.assert_allclose(table.curves, expected, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_written_is_read_and_by_others(shared, path, rng):
    curves = rng.uniform(-1, 2, (9, 3))
    if shared:
        curves[:] = curves[:, :1]
    domain = ((-0.25,) * 3, (1.3,) * 3)
    table = ColorTable(curves=curves, curves_domain=domain)
    write_spi1d(path, table)
    assert_same(read_spi1d(path), table)
    assert (b"Components 1" in path.read_bytes()) == shared
    colors = rng.uniform(-0.8, 1.8, (200, 3))
    expected = apply_table(table, colors)
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    colour = pytest.importorskip("colour")
    theirs = colour.io.read_LUT_SonySPI1D(str(path))
    found = np.reshape(theirs.table, (9, -1))
    np.testing.assert_allclose(found, curves[:, : found.shape[1]], atol=1e-6)


def test_a_zero_with_a_sign_comes_back(path):
    table = ColorTable(curves=[[0.0, -0.0, 0.0], [1, 1, 1]])
    write_spi1d(path, table)
    assert_same(read_spi1d(path), table)


def test_what_a_file_cannot_hold_is_refused(path):
    for table, message in (
        (ColorTable(cube=np.zeros((2, 2, 2, 3))), "curves alone"),
        (
            ColorTable(curves=np.eye(3), curves_domain=((0, 0, 0), (1, 1, 2))),
            "one domain for all",
        ),
    ):
        with pytest.raises(ValueError, match=f"^write_spi1d .*{message}"):
            write_spi1d(path, table)
    assert not path.exists()
