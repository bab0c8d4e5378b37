import numpy as np
import pytest
from color_tables import apply_with_opencolorio, assert_same, check_damage

from keras_perceptual.io import (
    ColorTable,
    apply_table,
    read_csp,
    write_csp,
)

PLACES = [(r, g, b) for b in range(2) for g in range(2) for r in range(2)]
ROWS = b"".join(b"%d %d 0.%d5\n" % place for place in PLACES)
CUBE = (
    b"CSPLUTV100\n3D\n\nBEGIN METADATA\nA look\nby somebody\nEND METADATA\n\n"
    b"2\n-0.5 1.5\n0 1\n2\n0 2\n0 1\n2\n0 4\n0 1\n\n2 2 2\n" + ROWS
)
CURVES = (
    b"CSPLUTV100\n1D\n\n2\n0 4\n0 1\n2\n0 4\n0 1\n2\n-1 4\n0 1\n\n3\n"
    b"0 0 0\n0.5 0.25 2\n1 1e0 -.5\n"
)
BENT = CUBE.replace(
    b"2\n-0.5 1.5\n0 1\n", b"4\n-0.5 0 1 1.5\n0 0.1 0.7 1\n"
).replace(b"2\n0 2\n0 1\n", b"3\n0 0.25 2\n0 0.5 1\n")
BENT_CURVES = CURVES.replace(b"2\n0 4\n0 1\n", b"3\n0 1 4\n0 0.5 1\n")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "look.csp"


def read(path, content):
    path.write_bytes(content)
    return read_csp(path)


def test_a_cube_is_read_with_red_fastest(path):
    table = read(path, CUBE)
    for r, g, b in PLACES:
        expected = np.float32([r, g, b / 10 + 0.05])
        np.testing.assert_array_equal(table.cube[r, g, b], expected)
    assert table.curves is None
    assert table.cube_domain == ((-0.5, 0, 0), (1.5, 2, 4))
    assert table.title == "A look"


def test_curves_are_read(path):
    table = read(path, CURVES)
    assert table.curves.tolist() == [[0, 0, 0], [0.5, 0.25, 2], [1, 1, -0.5]]
    assert table.curves_domain == ((0, 0, -1), (4, 4, 4))
    assert table.cube is None


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.replace(b"\n", b"\r\n"),
        lambda f: f.replace(b"0 ", b"0 \t"),
        lambda f: f.replace(b"\n", b"\n\n"),
        lambda f: b"\xef\xbb\xbf" + f,
        lambda f: f.removesuffix(b"\n"),
        lambda f: f.replace(b"CSPLUT", b"csplut"),
        lambda f: f.replace(b"\nby somebody", b""),
        lambda f: f.replace(b"2 2 2", b"02 2 2"),
    ],
)
def test_the_way_it_is_written_changes_nothing(change, path):
    changed = change(CUBE)
    assert changed != CUBE
    assert_same(read(path, changed), read(path, CUBE))


@pytest.mark.parametrize("count", [b"0", b"1"])
def test_a_prelut_without_points_changes_nothing(count, path):
    """As OpenColorIO reads it."""
    head = b"CSPLUTV100\n3D\n" + 3 * (count + b"\n") + b"2 2 2\n"
    table = read(path, head + ROWS)
    assert_same(table, ColorTable(cube=read(path, CUBE).cube))


def test_a_prelut_that_is_the_identity_is_no_domain(path):
    """What goes into the cube is then cut off at 0 and 1, as elsewhere."""
    prelut = b"3\n-1 0.5 4\n-1 0.5 4\n"
    table = read(path, b"CSPLUTV100\n3D\n" + 3 * prelut + b"2 2 2\n" + ROWS)
    assert_same(table, ColorTable(cube=read(path, CUBE).cube))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 .*It is empty"),
        (b"3D\n", "line 1 .*CSPLUTV100"),
        (CUBE.replace(b"100", b"200"), "line 1 .*of this version"),
        (CUBE.replace(b"3D", b"2D"), "line 2 .*1D or 3D"),
        (CUBE.replace(b"END", b"EN"), "line .*cut off.*the end of the file"),
        (CUBE[:60], "line .*cut off"),
        (CUBE.replace(b"2\n-0.5", b"x\n-0.5"), "line 9 .*how many points"),
        (CUBE.replace(b"2\n-0.5", b"3\n-0.5"), "line 10 .*be 3 finite"),
        (CUBE.replace(b"-0.5 1.5", b"1.5 -0.5"), "line 10 .*rise"),
        (CUBE.replace(b"-0.5 1.5", b"1 1.00000001"), "line 10 .*rise"),
        (CUBE.replace(b"-0.5 1.5", b"-0.5 nan"), "line 10 .*be 2 finite"),
        (CUBE.replace(b"-0.5 1.5", b"-0.5 1e39"), "line 10 .*be 2 finite"),
        (CUBE.replace(b"2 2 2", b"2 2 3"), "line 19 .*three equal numbers"),
        (CUBE.replace(b"2 2 2", b"2 2"), "line 19 .*three equal numbers"),
        (CUBE.replace(b"2 2 2", b"1 1 1"), "line 19 .*from 2 to 256"),
        (CUBE.replace(b"2 2 2", b"257 257 257"), "line 19 .*from 2 to 256"),
        (CURVES.replace(b"\n3\n", b"\n3 3 3\n"), "line 14 .*one whole number"),
        (CURVES.replace(b"\n3\n", b"\n300001\n"), "line 14 .*to 300000"),
        (CURVES.replace(b"\n3\n", b"\n4\n"), "line .*4 rows .*has 3"),
        (CUBE + b"0 0 0\n", "line 28 .*here is one more"),
        (CUBE[:-5], "line 27 .*three numbers"),
        (CUBE.replace(b"1 0 0.05", b"1 0 nan"), "line 21 .*not finite"),
    ],
)  # fmt: skip
def test_what_is_not_one_whole_table_is_refused(content, message, path):
    with pytest.raises(
        ValueError, match=f"(?s)^read_csp stopped in {message}"
    ) as caught:
        read(path, content)
    assert "Received: " in str(caught.value)


def test_damaged_files_are_read_whole_or_refused(path, damaged_files):
    sources = [CUBE, CURVES]
    refused = "read_csp stopped in line "
    check_damage(read_csp, sources, path, refused, damaged_files)


@pytest.mark.parametrize("content", [CUBE, CURVES, BENT, BENT_CURVES])
def test_opencolorio_reads_the_same(content, path, rng):
    table = read(path, content)
    colors = rng.uniform(-2, 5, (500, 3))
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_table(table, colors), atol=5e-6)


@pytest.mark.parametrize("points", [2, 3, 4, 7, 50])
def test_opencolorio_reads_preluts_the_same(points, path, rng):
    # A slope of a hundred makes more of the last bit of float32.
    text = b"CSPLUTV100\n3D\n"
    for channel in range(3):
        count = points if channel else 2
        inputs = np.linspace(-1, 3, count)
        inputs = inputs + rng.uniform(-1, 1, count) / count
        outputs = rng.uniform(-0.1, 1.1, count)
        for numbers in (inputs, outputs):
            line = b" ".join(b"%.6f" % number for number in numbers)
            text += (b"%d\n" % count if numbers is inputs else b"") + line
            text += b"\n"
    rows = rng.uniform(-0.5, 1.5, (27, 3))
    text += b"3 3 3\n" + b"".join(b"%f %f %f\n" % tuple(row) for row in rows)
    table = read(path, text)
    assert len(table.curves) == (2 if points == 2 else 65536)
    colors = rng.uniform(-1.5, 3.5, (500, 3))
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_table(table, colors), atol=2e-5)


# Writing.


DOMAIN = ((-0.25, -0.5, 0), (1.25, 1, 2))


def tables(rng):
    cube = rng.uniform(-0.5, 1.5, (4, 4, 4, 3))
    curves = rng.uniform(-0.5, 1.5, (9, 3))
    yield ColorTable(cube=cube, title="A look")
    yield ColorTable(cube=cube, cube_domain=DOMAIN)
    yield ColorTable(curves=curves)
    yield ColorTable(curves=curves, curves_domain=DOMAIN)


def test_one_table_comes_back_and_others_read_it(tmp_path, rng):
    colors = rng.uniform(-0.8, 2.3, (300, 3))
    for number, table in enumerate(tables(rng)):
        path = tmp_path / f"{number}.csp"
        write_csp(path, table)
        assert_same(read_csp(path), table)
        expected = apply_table(table, colors)
        found = apply_with_opencolorio(path, colors)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        colour = pytest.importorskip("colour")
        theirs = colour.io.read_LUT_Cinespace(str(path))
        entries = table.curves if table.cube is None else table.cube
        np.testing.assert_allclose(theirs.table, entries, atol=1e-6)


@pytest.mark.parametrize("length", [2, 9, 1000, 4097])
def test_curves_before_a_cube_become_the_prelut(length, path, rng):
    low, high = np.array(DOMAIN)
    curves = np.linspace(0, 1, length)[:, None] ** [0.5, 1, 2]
    table = ColorTable(
        curves=curves * (high - low) + low,
        curves_domain=((0, -1, 0), (1, 2, 3)),
        cube=rng.uniform(-0.5, 1.5, (4, 4, 4, 3)),
        cube_domain=DOMAIN,
    )
    write_csp(path, table)
    colors = rng.uniform(-1.5, 3.5, (500, 3))
    expected = apply_table(table, colors)
    found = apply_table(read_csp(path), colors)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("title", ["a\nb", " a", "END METADATA", "a\0"])
def test_titles_of_more_than_a_line_are_refused(title, path):
    table = ColorTable(curves=np.eye(3), title=title)
    with pytest.raises(ValueError, match=r"(?s)^write_csp .*replace.*title="):
        write_csp(path, table)
    assert not path.exists()


def test_what_float32_cannot_say_is_refused(path):
    table = ColorTable(
        curves=np.eye(3), curves_domain=((1e6,) * 3, (1e6 + 1,) * 3)
    )
    with pytest.raises(ValueError, match=r"^write_csp .*enough numbers"):
        write_csp(path, table)
    table = ColorTable(curves=np.zeros((4098, 3)), cube=np.zeros((2, 2, 2, 3)))
    with pytest.raises(ValueError, match=r"^write_csp .*up to 4097 entries"):
        write_csp(path, table)
    assert not path.exists()


def test_we_read_files_of_opencolorio(path):
    opencolorio = pytest.importorskip("PyOpenColorIO")
    config = opencolorio.Config.CreateRaw()
    for name, powers in (
        ("source", [1.0] * 3), ("shaper", [0.5] * 3), ("target", [2, 1, 3])
    ):  # fmt: skip
        space = opencolorio.ColorSpace(name=name)
        space.setTransform(
            opencolorio.ExponentTransform([*powers, 1.0]),
            opencolorio.COLORSPACE_DIR_FROM_REFERENCE,
        )
        config.addColorSpace(space)
    colors = np.linspace(0, 1, 300)[:, None].repeat(3, axis=1)
    for shaper in ("", "shaper"):
        baker = opencolorio.Baker()
        baker.setConfig(config)
        baker.setFormat("cinespace")
        baker.setInputSpace("source")
        if shaper:
            baker.setShaperSpace(shaper)
            baker.setShaperSize(100)
        baker.setTargetSpace("target")
        baker.setCubeSize(33)
        place = path.with_stem(f"look{shaper}")
        table = read(place, baker.bake().encode())
        assert table.cube.shape == (33, 33, 33, 3)
        assert (table.curves is None) == (not shaper)
        found = apply_table(table, colors)
        np.testing.assert_allclose(found, colors ** [2, 1, 3], atol=2e-2)
        theirs = apply_with_opencolorio(place, colors)
        np.testing.assert_allclose(found, theirs, atol=5e-6)
