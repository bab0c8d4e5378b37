import numpy as np
import pytest
from color_tables import apply_with_opencolorio, check_damage
from reference import common_lut

from keras_perceptual.io import apply_table, read_clf, read_table

# Numbers of a cube in the order of the file: blue runs fastest.
NUMBERS = np.random.default_rng(1).uniform(0, 1, (27, 3)).round(4)


def step(name, text, depths=("32f", "32f"), **attributes):
    given = {"inBitDepth": depths[0], "outBitDepth": depths[1], **attributes}
    given = "".join(f' {key}="{value}"' for key, value in given.items())
    return f"<{name}{given}>\n{text}\n</{name}>\n"


def array(numbers, dim):
    rows = np.reshape(numbers, (-1, 3 if len(dim) != 2 else dim[1]))
    text = "\n".join(" ".join(map(str, row)) for row in rows.tolist())
    return f'<Array dim="{" ".join(map(str, dim))}">\n{text}\n</Array>'


def cube(white=1, **arguments):
    numbers = NUMBERS if white == 1 else np.rint(NUMBERS * white)
    return step("LUT3D", array(numbers, (3, 3, 3, 3)), **arguments)


def curves(numbers=NUMBERS, **arguments):
    return step("LUT1D", array(numbers, np.shape(numbers)), **arguments)


def matrix(numbers, **arguments):
    return step("Matrix", array(numbers, np.shape(numbers)), **arguments)


def limits(first, last, depths=("32f", "32f"), style=None):
    """A range from `first` to `last`, pairs of in and out or `None`."""
    parts = [
        f"<{end}{side}Value>{pair[i]}</{end}{side}Value>"
        for end, pair in (("min", first), ("max", last))
        if pair is not None
        for i, side in enumerate(("In", "Out"))
    ]
    given = {} if style is None else {"style": style}
    return step("Range", "\n".join(parts), depths, **given)


def clf(*steps, root='id="1" compCLFversion="3.0" name="A look"'):
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ProcessList {root}>\n'
        "<Description>Anything &lt;at all&gt;</Description>\n"
        + "".join(steps)
        + "</ProcessList>\n"
    )


MIXED = np.array([[0.5, 0.2, 0], [0.1, 0.6, 0.3], [0, 0.4, 0.7]])
SHIFTED = np.concatenate([MIXED, [[0.1], [-0.2], [0.05]]], axis=1)
SCALE = np.diag([0.5, 2.0, 0.8])
READ = {
    "cube": clf(cube()),
    "curves": clf(curves()),
    "one curve": clf(curves(NUMBERS[:, :1])),
    "cube of 10 bits": clf(cube(1023, depths=("10i", "10i"))),
    "cube of 12 bits": clf(cube(4095, depths=("16f", "12i"))),
    "curves of 8 bits": clf(curves(np.rint(NUMBERS * 255), depths=("8i",) * 2)),
    "cube and matrix": clf(cube(), matrix(MIXED)),
    "cube and shift": clf(cube(), matrix(SHIFTED)),
    "curves and matrix": clf(curves(), matrix(MIXED)),
    "curves and shift": clf(curves(), matrix(SHIFTED)),
    "curves and two": clf(curves(), matrix(SHIFTED), matrix(MIXED.T)),
    "curves and scale": clf(curves(), matrix(SCALE)),
    "matrix of bits": clf(
        cube(1023, depths=("32f", "10i")),
        matrix(SHIFTED * 4, depths=("10i", "12i")),
    ),
    "scale and cube": clf(matrix(SCALE), cube()),
    "scale and curves": clf(matrix(SCALE), curves()),
    "range and cube": clf(limits((-1, 0), (3, 1)), cube()),
    "range of bits": clf(
        limits((64, 0), (940, 1023), depths=("10i", "10i")),
        cube(depths=("10i", "32f")),
    ),
    "range without cuts": clf(limits((1, 0), (2, 1), style="noClamp"), cube()),
    "range that widens": clf(limits((0, -1), (1, 2)), cube()),
    "range and scale": clf(
        limits((-2, -1), (3, 2)), matrix(SCALE + 0), curves()
    ),
    "range that cuts": clf(limits((0, 0.25), (1, 0.9)), cube()),
    "range that cuts later": clf(
        matrix(SCALE * 2), limits((0.1, 0.1), (0.5, 0.5)), cube(), matrix(MIXED)
    ),
    "cube and range": clf(cube(), limits((0, 0), (1, 1))),
    "cube and stretch": clf(cube(), limits((0, -1), (1, 3))),
    "curves and range": clf(curves(), limits((0.2, 0.2), (0.7, 0.7))),
    "curves and low end": clf(curves(), limits((0.2, 0.2), None)),
    "curves and high end": clf(curves(), limits(None, (0.6, 0.6))),
    "range between": clf(
        curves(), limits((0.2, 0.1), (0.7, 0.9)), matrix(MIXED)
    ),
    "curves and cube": clf(curves(), cube(), matrix(MIXED)),
    "range, curves and cube": clf(
        limits((-1, 0), (3, 1)), curves(), matrix(SCALE), cube()
    ),
    "curves beyond the cube": clf(
        curves(NUMBERS * 3 - 1), limits((0, 0), (1, 1)), cube()
    ),
    "all": clf(
        limits((-1, 0), (3, 1), style="noClamp"),
        matrix(SCALE * 0.4),
        curves(),
        limits((0.1, 0), (0.9, 1)),
        matrix(SHIFTED),
    ),
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "look.clf"


def read(path, content):
    path.write_text(content, encoding="utf-8")
    return read_clf(path)


@pytest.fixture
def colors(rng):
    colors = rng.uniform(-2, 4, (2000, 3))
    colors[:1000] = rng.uniform(0, 1, (1000, 3))
    return colors


@pytest.mark.parametrize("name", READ)
def test_one_table_does_what_all_steps_do(name, path, colors):
    table = read(path, READ[name])
    assert table.title == "A look"
    expected = common_lut.apply(READ[name], colors)
    np.testing.assert_allclose(apply_table(table, colors), expected, atol=1e-5)


@pytest.mark.parametrize("name", READ)
def test_opencolorio_reads_the_same(name, path, colors):
    table = read(path, READ[name])
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_table(table, colors), atol=1e-5)


def test_a_cube_has_blue_fastest(path):
    table = read(path, READ["cube"])
    expected = NUMBERS.reshape(3, 3, 3, 3).astype("float32")
    np.testing.assert_array_equal(table.cube, expected)
    table = read(path, READ["one curve"])
    expected = NUMBERS[:, :1].repeat(3, axis=1).astype("float32")
    np.testing.assert_array_equal(table.curves, expected)


def test_what_comes_before_is_the_domain(path):
    table = read(path, READ["range and cube"])
    assert table.cube_domain == ((-1,) * 3, (3,) * 3)
    table = read(path, READ["scale and curves"])
    assert table.curves_domain == ((0,) * 3, (2, 0.5, 1.25))


def test_ctf_is_read_as_well(tmp_path):
    path = tmp_path / "look.ctf"
    path.write_text(clf(cube(), matrix(MIXED), root='id="1" version="1.3"'))
    table = read_table(path)
    expected = NUMBERS @ MIXED.T
    np.testing.assert_allclose(table.cube.reshape(-1, 3), expected, atol=1e-6)


NO_TABLE = "that no color table has"
REFUSED = [
    (clf(), r"line 2 .*no LUT1D or LUT3D"),
    ("<svg/>", r"line 1 .*This is no color table"),
    (clf(cube(), cube()), r"Of two tables, curves come first"),
    (clf(curves(), curves()), r"Of two tables, curves come first"),
    (clf(cube(), curves()), r"Of two tables, curves come first"),
    (clf(curves(), matrix(MIXED), cube()), r"mixes channels"),
    (clf(curves(), limits((0.2, 0.2), (1, 1)), cube()), r"cuts colors off"),
    (clf(step("Log", ""), cube()), rf"Log is a step {NO_TABLE}"),
    (clf(step("ASC_CDL", ""), cube()), rf"ASC_CDL is a step {NO_TABLE}"),
    (clf(step("InverseLUT3D", "")), rf"InverseLUT3D is a step {NO_TABLE}"),
    (clf(matrix(MIXED), cube()), "this mixes them"),
    (clf(matrix(-SCALE), cube()), "above zero"),
    (clf(limits((0, 0.25), (1, 1)), curves()), "line 4 .*cuts colors off"),
    (clf(limits((0, 2), (1, 3)), cube()), "line 4 .*one color alone"),
    (clf(cube(), limits((0.2, 0.2), (0.8, 0.8))), "cuts colors off after"),
    (clf(curves(halfDomain="true")), "halfDomain may change"),
    (clf(curves(hueAdjust="dw3")), "hueAdjust may change"),
    (clf(curves(depths=("32f", "32i"))), "outBitDepth, one of 8i, 10i"),
    (clf(step("LUT1D", "")), "LUT1D has one Array"),
    (clf(step("LUT1D", array([1], (1, 1)))), "sizes from 2 to 300000"),
    (clf(step("LUT3D", array(NUMBERS, (3, 3, 3)))), "17 17 17 3.*or the like"),
    (clf(step("LUT3D", array(NUMBERS, (3, 3, 9, 1)))), "or the like"),
    (clf(step("LUT3D", '<Array dim="999999 9">0</Array>')), "or the like"),
    (clf(step("LUT3D", '<Array dim="257 257 257 3"/>')), "from 2 to 256"),
    (clf(step("LUT3D", '<Array dim="256 256 256 3">0</Array>')), "has 1"),
    (clf(cube()).replace("3 3 3 3", "2 2 2 3"), "24 numbers, and has 81"),
    (clf(cube()).replace("3 3 3 3", "4 4 4 3"), "192 numbers, and has 81"),
    (clf(cube()).replace("0.5118", "nan"), "decimal numbers with blanks"),
    (clf(cube()).replace("0.5118", "1e39"), "decimal numbers with blanks"),
    (clf(cube()).replace("0.5118", "0x1"), "decimal numbers with blanks"),
    (clf(cube()).replace("0.5118", "1_0"), "decimal numbers with blanks"),
    (clf(cube(), matrix(np.eye(4))), 'of `dim="3 3"`'),
    (clf(cube(), limits(None, None)), "A Range has a pair"),
    (clf(cube(), limits((0, 0), None, style="noClamp")), "A Range has a pair"),
    (clf(cube(), limits((0, 1), None)), "two equal values"),
    (clf(cube(), limits((1, 0), (0, 1))), "rise from min to max"),
    (clf(cube(), limits((0, 1), (1, 0))), "rise from min to max"),
    (clf(cube()) + "<a/>", "no whole XML file"),
    (clf(cube()).replace("<Array", "<IndexMap/><Array"), "IndexMap may"),
    (clf(cube())[:-30], "no whole XML file"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_what_no_table_can_say_is_refused(content, message, path):
    with pytest.raises(ValueError, match=r"^read_clf stopped in line") as error:
        read(path, content)
    error.match(f"(?s){message}.*Received: ")


def test_damaged_files_are_read_whole_or_refused(path, damaged_files):
    names = ("all", "cube and matrix", "curves", "curves and range")
    sources = [READ[name].encode() for name in names]
    # What is read may be no table, as curves that are infinite.
    refused = ("read_clf stopped in line ", "ColorTable needs ")
    check_damage(read_clf, sources, path, refused, damaged_files)


@pytest.mark.parametrize("format", ["clf", "ctf"])
def test_we_read_files_of_opencolorio(format, path, rng):
    opencolorio = pytest.importorskip("PyOpenColorIO")
    name = {
        "clf": "Academy/ASC Common LUT Format",
        "ctf": "Color Transform Format",
    }[format]
    group = opencolorio.GroupTransform()
    table = opencolorio.Lut3DTransform(3)
    table.setData(NUMBERS.astype("float32").ravel())
    group.appendTransform(table)
    group.appendTransform(
        opencolorio.MatrixTransform(
            np.pad(MIXED, (0, 1)).ravel() + np.diag([0, 0, 0, 1]).ravel()
        )
    )
    config = opencolorio.Config.CreateRaw()
    path = path.with_suffix(f".{format}")
    group.write(formatName=name, config=config, fileName=str(path))
    found = read_table(path)
    expected = NUMBERS @ MIXED.T
    np.testing.assert_allclose(found.cube.reshape(-1, 3), expected, atol=1e-6)
