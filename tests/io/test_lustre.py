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
    read_3dl,
    resize_table,
    write_3dl,
)

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
        (b"# a look\n", "line 2 .*rows of a cube.*has 0.*end of the"),
        (b"0 1023 512\n" + ROWS, "line 29 .*and has 28"),
        (b"64 512 940\n" + ROWS, "line 29 .*and has 28"),
        (b"0 20 40 60\n" + ROWS, "line 1 .*the largest is 60"),
        (b"0 20 40 200000\n" + ROWS, "line 1 .*the largest is 200000"),
        (b"0 0.5 0.7 1\n" + ROWS, "line 1 .*whole numbers that are not neg"),
        (b"0 -5 700 1023\n" + ROWS, "line 1 .*whole numbers that are not neg"),
        (b"0 0.5 1\n" + ROWS[6:], "line 1 .*three whole numbers"),
        (b"1023\n" + ROWS, "line 1 .*2 to [0-9]* whole numbers"),
        (b"TITLE look\n" + FLAME, "line 1 .*3DMESH, Mesh and a shaper"),
        (b"Mesh 1\n" + FLAME, "line 1 .*two whole numbers"),
        (b"Mesh 1 12\nMesh 1 12\n", "line 2 .*stands in a file once"),
        (b"Mesh 1 14\n", "line 1 .*8, 10, 12 or 16"),
        (b"Mesh 0 12\n", "line 1 .*1 to 7"),
        (b"Mesh 8 12\n", "line 1 .*1 to 7"),
        (b"Mesh 4 12\n" + FLAME, "line 3. .*4913 rows .*Mesh 4.* has 27"),
        (FLAME[:-6], "line 30 .*three numbers.*and not 2"),
        (
            FLAME[: -len(b"1022 1000 512\n")],
            "line 30 .*rows of a cube.* has 26",
        ),
        (FLAME + b"0 0 0\n", "line 32 .*rows of a cube.* has 28"),
        (LUSTRE[:-20] + b"\n0 0 0\n", "line .*27 rows .*Mesh 1.*one more"),
        (FLAME.replace(b"0 0 256", b"0 0 0.5"), "line 5 .*three whole numbers"),
        (FLAME.replace(b"0 0 256", b"0 0 -1"), "line 5 .*three whole numbers"),
        (FLAME.replace(b"0 0 256", b"0 0 131072"), "line 5 .*to 131071"),
        (LUSTRE.replace(b"0 0 256", b"0 0 8192"), "line 6 .*0 to 8191"),
        (FLAME.replace(b"0 0 256", b"0 0"), "line 5 .*three numbers.*not 2"),
        (FLAME.replace(b"0 0 256", b"0 0 nan"), "line 5 .*not finite"),
        (LUSTRE.replace(b"1.0", b"2.2"), "line 36 .*"),
        (LUSTRE + b"0 0 0\n", "line 37 .*ended in line 35"),
        (b"<xml>" + FLAME, "line 1 .*"),
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


@pytest.mark.parametrize(
    "shaper",
    [
        "",
        "0 256 400 700 1023",
        "0 100 300 700 1500 4095",
        "64 341 682 940",
        "0 1023 512 1000",
        "0 60 120 180 250",
        "0 20000 40000 65535",
        " ".join(str(round(1023 * (i / 511) ** 0.5)) for i in range(512)),
        "0 146 292 438 585 731 877 1023",
    ],
)
@pytest.mark.parametrize("size", [2, 4])
def test_opencolorio_reads_shapers_the_same(shaper, size, path, rng):
    rows = rng.integers(0, 4096, (size**3, 3))
    rows[0] = [0, 0, 4095]
    text = "\n".join([shaper, *(f"{r} {g} {b}" for r, g, b in rows)])
    table = read(path, text.encode())
    colors = rng.uniform(-0.2, 1.2, (200, 3))
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_table(table, colors), atol=2e-6)


@pytest.mark.parametrize("first", ["", "0 512 1023", "0 300 1023", "0 1023"])
def test_a_shaper_is_curves_before_the_cube(first, path):
    table = read(path, first.encode() + b"\n" + ROWS)
    assert_same(ColorTable(cube=table.cube), read(path, FLAME))
    if first != "0 300 1023":
        assert table.curves is None
    else:
        expected = np.float32([0, 300 / 1023, 1])
        np.testing.assert_array_equal(table.curves, np.stack([expected] * 3, 1))


def test_an_even_shaper_has_any_length(path):
    even = b" ".join(b"%d" % round(1023 * i / 9) for i in range(10))
    assert_same(read(path, even + b"\n" + ROWS), read(path, FLAME))


@pytest.mark.parametrize("dialect", ["flame", "lustre"])
@pytest.mark.parametrize("shaper_size", [0, 10, 1024])
def test_we_read_files_of_opencolorio(dialect, shaper_size, path):
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
    if shaper_size:
        baker.setShaperSize(shaper_size)
    table = read(path, baker.bake().encode())
    assert table.cube.shape == (17, 17, 17, 3)
    expected = (np.array([4, 8, 12]) / 16) ** [2, 1, 3]
    np.testing.assert_allclose(table.cube[4, 8, 12], expected, atol=2e-4)


# Writing.


def table_of(rng, size=5, top=1.0, curve=None):
    cube = rng.uniform(0, top, (size,) * 3 + (3,))
    if curve is not None:
        curve = np.stack([curve] * 3, axis=-1)
    return ColorTable(cube=cube, curves=curve)


def test_a_file_is_what_it_should_be(path):
    cube = np.moveaxis(np.indices((4, 4, 4)) / 3, 0, -1)
    write_3dl(path, ColorTable(cube=cube, title="Lost"), bits=10)
    lines = path.read_text().splitlines()
    assert lines[:4] == ["0 341 682 1023", "0 0 0", "0 0 341", "0 0 682"]
    assert len(lines) == 65
    write_3dl(path, ColorTable(cube=cube**9))
    assert path.read_text().splitlines()[-1] == "4095 4095 4095"


@pytest.mark.parametrize("size", [2, 3, 4, 17])
@pytest.mark.parametrize("bits", [None, 8, 10, 12, 16])
def test_what_is_written_is_read_and_by_opencolorio(size, bits, path, rng):
    table = table_of(rng, size)
    write_3dl(path, table, bits=bits)
    found = read_3dl(path)
    assert found.curves is None
    half = 0.501 / (2 ** (bits or 12) - 1)
    np.testing.assert_allclose(found.cube, table.cube, atol=half)
    colors = rng.uniform(-0.2, 1.2, (200, 3))
    theirs = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(theirs, apply_table(found, colors), atol=1e-6)


@pytest.mark.parametrize("top", [1.0, 0.6, 0.4, 0.2])
def test_a_dark_table_takes_more_bits(top, path, rng):
    table = table_of(rng, top=top)
    write_3dl(path, table)
    white = 4095 if top > 0.5 else 65535
    np.testing.assert_allclose(
        read_3dl(path).cube, table.cube, atol=0.51 / white
    )


def test_a_table_too_dark_for_the_bits_is_refused(path, rng):
    for top, bits in ((0.4, 10), (0.4, 12), (0.1, 16), (0.1, None), (0.4, 8)):
        with pytest.raises(ValueError, match=r"so dark.*for (8|10|12|16) bits"):
            write_3dl(path, table_of(rng, top=top), bits=bits)
    assert not path.exists()


@pytest.mark.parametrize("length", [4, 9, 512])
def test_shared_curves_become_the_shaper(length, path, rng):
    table = table_of(rng, curve=np.linspace(0, 1, length) ** 0.5)
    write_3dl(path, table, bits=16)
    found = read_3dl(path)
    np.testing.assert_allclose(found.curves, table.curves, atol=1e-5)
    colors = rng.uniform(-0.2, 1.2, (200, 3))
    theirs = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(theirs, apply_table(found, colors), atol=2e-6)


def test_what_a_file_cannot_hold_is_refused(path, rng):
    cube = table_of(rng).cube
    curves = np.linspace(0, 1, 9)[:, None] ** [1, 1, 2]
    for table, message in (
        (ColorTable(cube=cube, curves=curves), "all channels share"),
        (table_of(rng, curve=np.linspace(0, 1, 3)), "four entries and more"),
        (table_of(rng, curve=np.linspace(0, 1, 999) ** 2), "in one line"),
        (table_of(rng, curve=np.linspace(0, 0.01, 9)), "so dark"),
        (table_of(rng, top=2.0), "above 1"),
        (ColorTable(curves=curves), "has none"),
    ):
        with pytest.raises(ValueError, match=f"^write_3dl .*{message}"):
            write_3dl(path, table)
    table = table_of(rng, curve=np.linspace(0, 1, 999) ** 2)
    write_3dl(path, resize_table(table, curves=512))


@pytest.mark.parametrize(("away", "is_curve"), [(1, False), (2, True)])
def test_a_shaper_may_be_rounded(away, is_curve, path):
    """By one, as OpenColorIO does."""
    path.write_bytes(b"0 %d 1023\n" % (512 + away) + ROWS)
    assert (read_3dl(path).curves is not None) == is_curve
