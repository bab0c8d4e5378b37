import importlib
import io
import os
import pathlib
import stat
import tracemalloc

import numpy as np
import pytest
from color_tables import (
    CORNERS,
    apply_by_hand,
    apply_with_opencolorio,
    assert_same,
    check_damage,
)
from public_objects import PACKAGE, run_python

from keras_perceptual import progress
from keras_perceptual.io import (
    ColorTable,
    read_cube,
    text_file,
    text_lines,
    write_cube,
)

CUBE_ROWS = b"".join(b"%d %d %d\n" % corner for corner in CORNERS)
CUBE_FILE = b"LUT_3D_SIZE 2\n" + CUBE_ROWS
CURVES_FILE = b"LUT_1D_SIZE 3\n0 0 0\n.5 .25 2\n1 1 -1\n"
FULL_FILE = (
    b'# Made by hand\nTITLE "Look"\nLUT_1D_SIZE 3\nLUT_1D_INPUT_RANGE 0 2\n'
    b"LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE -1 1\n\n"
    b"0 0 0\n.5 .25 2\n1 1 -1\n# the cube\n" + CUBE_ROWS
)


def read(path, content):
    path.write_bytes(content)
    return read_cube(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "look.cube"


def random_table(rng, curves=None, size=None, **arguments):
    """Returns a table of any bits that make a finite number."""

    def entries(shape):
        bits = rng.integers(0, 2**32, shape, dtype="uint32")
        return np.nan_to_num(bits.view("float32"), posinf=1, neginf=-1)

    return ColorTable(
        curves=curves and entries((curves, 3)),
        cube=size and entries((size, size, size, 3)),
        **arguments,
    )


def test_a_cube_is_read_with_red_fastest(path):
    table = read(path, CUBE_FILE)
    assert table.curves is None
    assert table.cube.dtype == np.float32
    for corner in CORNERS:
        assert tuple(table.cube[corner]) == corner


def test_curves_are_read(path):
    table = read(path, CURVES_FILE)
    assert table.cube is None
    assert table.curves.tolist() == [[0, 0, 0], [0.5, 0.25, 2], [1, 1, -1]]


def test_curves_and_a_cube_are_read(path):
    table = read(path, FULL_FILE)
    assert table.title == "Look"
    assert table.curves.tolist() == [[0, 0, 0], [0.5, 0.25, 2], [1, 1, -1]]
    assert tuple(table.cube[1, 0, 1]) == (1, 0, 1)
    assert table.curves_domain == ((0.0,) * 3, (2.0,) * 3)
    assert table.cube_domain == ((-1.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.replace(b"\n", b"\r\n"),
        lambda f: f.replace(b"\n", b"\r"),
        lambda f: f.replace(b"\n", b"\n\n \t\n"),
        lambda f: f.replace(b"\n", b" \t\n \t"),
        lambda f: f.replace(b" ", b"\t"),
        lambda f: f.replace(b"\n", b"\n  # DOMAIN_MAX 9 9 9 \xff\n"),
        lambda f: f + b"# the end\n\n\n",
        lambda f: f.removesuffix(b"\n"),
        lambda f: b"\xef\xbb\xbf" + f,
        lambda f: f.lower(),
        lambda f: f.replace(b"1 ", b"10.0E-1 "),
    ],
)
def test_the_way_it_is_written_changes_nothing(change, path):
    expected = read(path, FULL_FILE.replace(b"Look", b"look"))
    changed = change(FULL_FILE.replace(b"Look", b"look"))
    changed = changed.replace(b"10.0E-1 1\n", b"1 1\n") or changed
    assert changed != FULL_FILE
    assert_same(read(path, changed), expected)


# What a change in the middle of a file does; the rest is in the tests of the
# header and of the rows.
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 .*It is empty"),
        (b"\n", "line 2 .*LUT_1D_SIZE or LUT_3D_SIZE.*end of the file$"),
        (b"# a", "line 1 .*LUT_1D_SIZE or LUT_3D_SIZE.*end of the file$"),
        (CUBE_ROWS, "line 1 .*should come before.*Received: '0 0 0'$"),
        (b"LUT_3D_SIZE 2\n", "line 2 .*should have 8 rows .*has 0"),
        (b"LUT_3D_SIZE 2", "line 1 .*should have 8 rows .*has 0"),
        (CUBE_FILE[:-6], "line 9 .*should have 8 rows .*and has 7"),
        (CUBE_FILE[:-4], "line 9 .*three numbers.*Received: '1 '$"),
        (CUBE_FILE + b"0 0 0", "line 10 .*one more.*Received: '0 0 0'$"),
        (CUBE_FILE + b"TITLE", "line 10 .*before the first row"),
        (CUBE_FILE.replace(b"0 1 1", b"0 nan 1"), "line 8 .*not finite"),
        (CUBE_FILE.replace(b"0 1 1", b"0,0 1,0 1,0"), "line 8 .*decimal point"),
        (CUBE_FILE.replace(b"0 1 1", b"0 1"), "line 8 .*and not 2"),
        (CUBE_FILE.replace(b"0 1 1\n", b"0 1 1 "), "line 8 .*and not 6"),
        (FULL_FILE.replace(b"SIZE 3", b"SIZE 4"), ".*12 rows .*and has 11"),
        (FULL_FILE.replace(b"3D_SIZE 2", b"3D_SIZE 3"), ".*30 rows .*has 11"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "line 1 .*gzip"),
        (bytes(range(256)), "line 1 .*binary"),
        (b"\x89PNG\r\n\x1a\n", "line 1 .*"),
        ("LUT_3D_SIZE 2".encode("utf-16"), "line 1 .*UTF-16"),
    ],
)
def test_what_is_not_one_whole_table_is_refused(content, message, path):
    message = f"(?s)^read_cube stopped in {message}.*"
    with pytest.raises(ValueError, match=message) as caught:
        read(path, content)
    assert repr(str(path)) in str(caught.value)
    assert "Received: " in str(caught.value)


@pytest.mark.parametrize("place", [0, 1, 2, 5, 9])
def test_notes_may_stand_anywhere(place, path):
    lines = CUBE_FILE.splitlines()
    lines.insert(place, b'BMD_TITLE "my look"')
    assert_same(read(path, b"\n".join(lines)), read(path, CUBE_FILE))
    lines[place] = b"DOMAIN_MIN 1 1 1"
    if place > 1:
        with pytest.raises(
            ValueError, match=f"line {place + 1} .*Keywords come"
        ):
            read(path, b"\n".join(lines))


@pytest.mark.parametrize("end", [b"\x1a", b"\0", b"\r\n\x1a" + bytes(500)])
def test_the_text_may_mark_its_end(end, path):
    assert_same(read(path, CUBE_FILE + end), read(path, CUBE_FILE))


def test_long_curves_are_for_other_files(path):
    table = ColorTable(curves=np.zeros((65537, 3)))
    with pytest.raises(
        ValueError, match=r"65536 entries of curves.*\(65537, 3"
    ):
        write_cube(path, table)
    assert not path.exists()


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no_such"):
        read_cube(tmp_path / "no_such.cube")
    with pytest.raises(OSError, match=tmp_path.name):
        read_cube(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(path):
    os.mkfifo(path)
    table = ColorTable(curves=np.zeros((2, 3)))
    for call in (lambda: read_cube(path), lambda: write_cube(path, table)):
        with pytest.raises(
            ValueError, match=r"ordinary files.*Received: path="
        ):
            call()
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_header_alone_takes_no_memory(path):
    path.write_bytes(b"LUT_3D_SIZE 256\nLUT_1D_SIZE 65536\n0 0 0\n")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"16842752 rows.*and has 1"):
            read_cube(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**21


def test_rows_too_many_are_found_without_reading_them_all(path, monkeypatch):
    path.write_bytes(CUBE_FILE + b"0 0 0\n" * 500_000 + b"no row")
    monkeypatch.setattr(text_file, "open", Watch, raising=False)
    with pytest.raises(ValueError, match=r"line 10 .*one more"):
        read_cube(path)
    assert Watch.opened.closed
    assert Watch.opened.size_read < 2**20


class Watch(io.FileIO):
    """A file that remembers how much was read."""

    opened = None
    size_read = 0

    def __init__(self, path, mode):
        super().__init__(path, mode)
        type(self).opened = self

    def read(self, size=-1):
        data = super().read(size)
        self.size_read += len(data)
        return data


@pytest.mark.parametrize(
    "arguments",
    [
        {"curves": 2},
        {"curves": 1000, "title": " A look: #1 "},
        {"size": 2, "title": "x" * 241},
        {"size": 17},
        {"size": 3, "cube_domain": ((-0.1, 0, 1 / 3), (1, 1e300, 5e-1))},
        {"curves": 2, "curves_domain": ((0, 0, 0), (1, 2, 3))},
        {"curves": 5, "size": 3},
        {
            "curves": 5,
            "size": 3,
            "title": "Both",
            "curves_domain": ((-1 / 3,) * 3, (2 / 3,) * 3),
            "cube_domain": ((0,) * 3, (65504,) * 3),
        },
    ],
)
def test_what_is_written_is_read_to_the_last_bit(arguments, path, rng):
    table = random_table(rng, **arguments)
    write_cube(path, table)
    assert_same(read_cube(path), table)
    lines = path.read_bytes().decode("ascii").split("\n")
    assert lines.pop() == ""
    assert not any("\r" in line or len(line) >= 250 for line in lines)


def test_large_files_show_how_far_they_are(path, rng, capsys, monkeypatch):
    importlib.import_module("keras")  # There is no bar without it.
    table = random_table(rng, size=8)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr(text_lines, "BLOCK_SIZE", 1000)
    write_cube(path, table)
    assert "8/8" in capsys.readouterr().out
    assert_same(read_cube(path), table)
    blocks = -(-(path.stat().st_size - 4) // 1000)
    assert f"{blocks}/{blocks}" in capsys.readouterr().out


def test_extreme_values_are_kept(path):
    info = np.finfo("float32")
    values = [0.0, -0.0, 1.0, -1.0, 1 / 3, info.max, info.min, info.tiny]
    values += [info.smallest_subnormal, -info.smallest_subnormal]
    values += [info.tiny - info.smallest_subnormal, 1e-5, 1e16]
    table = ColorTable(curves=np.repeat(values, 3).reshape(-1, 3))
    write_cube(path, table)
    assert read_cube(path).curves.tobytes() == table.curves.tobytes()


def test_a_file_with_a_cube_is_what_it_should_be(path):
    write_cube(
        path,
        ColorTable(
            cube=read(path, CUBE_FILE).cube * 0.5,
            cube_domain=((0, 0, -0.5), (1, 1, 2)),
            title="Half",
        ),
    )
    assert path.read_bytes() == (
        b'TITLE "Half"\nLUT_3D_SIZE 2\nDOMAIN_MIN 0.0 0.0 -0.5\n'
        b"DOMAIN_MAX 1.0 1.0 2.0\n0.0 0.0 0.0\n0.5 0.0 0.0\n0.0 0.5 0.0\n"
        b"0.5 0.5 0.0\n0.0 0.0 0.5\n0.5 0.0 0.5\n0.0 0.5 0.5\n0.5 0.5 0.5\n"
    )


def test_a_file_with_both_tables_is_what_it_should_be(path):
    table = read(path, FULL_FILE)
    write_cube(path, table)
    start = (
        b'TITLE "Look"\nLUT_1D_SIZE 3\nLUT_1D_INPUT_RANGE 0.0 2.0\n'
        b"LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE -1.0 1.0\n0.0 0.0 0.0\n"
        b"0.5 0.25 2.0\n1.0 1.0 -1.0\n0.0 0.0 0.0\n1.0 0.0 0.0\n"
    )
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    "title",
    ['a "warm" look', "a\nb", "a\rb", "a\0b", "\u00c9t\u00e9", "x" * 242],
)
def test_a_title_that_would_not_come_back_is_refused(title, path):
    table = ColorTable(curves=np.zeros((2, 3)), title=title)
    message = "(?s)ASCII characters without quotes.*replace.*Received: title="
    with pytest.raises(ValueError, match=message):
        write_cube(path, table)
    assert not path.exists()


@pytest.mark.parametrize("name", ["curves_domain", "cube_domain"])
def test_domains_of_channels_need_a_file_of_their_own(name, path):
    domain = {name: ((0, 0, 0), (1, 1, 2))}
    table = ColorTable(
        curves=np.zeros((2, 3)), cube=np.zeros((2, 2, 2, 3)), **domain
    )
    message = f"the same for all channels. Write them to.*Received: {name}="
    with pytest.raises(ValueError, match=message):
        write_cube(path, table)
    assert not path.exists()


def test_only_tables_are_written(path):
    with pytest.raises(TypeError, match=r"ColorTable\(cube=array\).*ndarray$"):
        write_cube(path, np.zeros((2, 2, 2, 3)))


def test_damaged_files_are_read_whole_or_refused(path, damaged_files):
    sources = [CUBE_FILE, CURVES_FILE, FULL_FILE]
    refused = "read_cube stopped in line "
    check_damage(read_cube, sources, path, refused, damaged_files)


def test_no_backend_is_needed():
    """The folder works without the package around it, and without Keras."""
    code = (
        "import sys, types\n"
        "package = types.ModuleType('keras_perceptual')\n"
        "package.__path__ = [sys.argv[1]]\n"
        "sys.modules['keras_perceptual'] = package\n"
        "import keras_perceptual.io\n"
        "names = {'keras', 'tensorflow', 'jax', 'torch'}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    assert run_python(code, PACKAGE).strip() == "[]"


# OpenColorIO and colour-science: what they make of our files, and we of theirs.


MATRIX = np.array([[0.5, 0.2, 0], [0.1, 0.6, 0.3], [0, 0.4, 1.7]])


@pytest.mark.parametrize(
    "arguments",
    [
        {"curves": (7, ((0, 0, 0), (1, 1, 1)))},
        {"curves": (7, ((-0.25, 0, 0.5), (1, 2, 3)))},
        {"cube": (5, ((0, 0, 0), (1, 1, 1)))},
        {"cube": (5, ((-0.25, 0, 0.5), (1, 2, 3)))},
        {
            "curves": (7, ((-0.5,) * 3, (2,) * 3)),
            "cube": (4, ((-1,) * 3, (2,) * 3)),
        },
        {
            "curves": (3, ((0,) * 3, (1,) * 3)),
            "cube": (4, ((0,) * 3, (1,) * 3)),
        },
    ],
)
def test_opencolorio_reads_our_files_as_we_mean_them(arguments, path, rng):
    parts = {}
    for name, (size, domain) in arguments.items():
        shape = (size,) * (1 if name == "curves" else 3) + (3,)
        parts[name] = rng.uniform(-0.5, 1.5, shape)
        parts[f"{name}_domain"] = domain
    table = ColorTable(**parts)
    write_cube(path, table)
    colors = rng.uniform(-1, 3, (200, 3))
    found = apply_with_opencolorio(path, colors)
    np.testing.assert_allclose(found, apply_by_hand(table, colors), atol=2e-6)


def test_we_read_files_of_opencolorio(path, rng):
    opencolorio = pytest.importorskip("PyOpenColorIO")
    config = opencolorio.Config.CreateRaw()
    config.addColorSpace(opencolorio.ColorSpace(name="source"))
    matrix = np.eye(4)
    matrix[:3, :3] = MATRIX
    matrix = opencolorio.MatrixTransform(matrix.ravel().tolist())
    space = opencolorio.ColorSpace(name="target")
    space.setTransform(matrix, opencolorio.COLORSPACE_DIR_FROM_REFERENCE)
    config.addColorSpace(space)
    for name in ("iridas_cube", "resolve_cube"):
        baker = opencolorio.Baker()
        baker.setConfig(config)
        baker.setFormat(name)
        baker.setInputSpace("source")
        baker.setTargetSpace("target")
        baker.setCubeSize(6)
        table = read(path, baker.bake().encode())
        assert table.cube.shape == (6, 6, 6, 3)
        for color in ((5, 0, 0), (0, 5, 0), (0, 0, 5), (1, 2, 4)):
            np.testing.assert_allclose(
                table.cube[color], MATRIX @ color / 5, atol=1e-6
            )


@pytest.fixture
def colour():
    # Says at once which of its own dependencies are missing.
    pytest.importorskip("colour", exc_type=ImportError)
    return pytest.importorskip("colour.io.luts")


def parts_of(lut):
    """Returns arguments of a ColorTable, from what colour-science read."""
    luts = list(lut) if hasattr(lut, "sequence") else [lut]
    arguments = {}
    for one in luts:
        name = "curves" if one.table.ndim == 2 else "cube"
        arguments[name] = one.table
        arguments[f"{name}_domain"] = one.domain
    return arguments


@pytest.mark.parametrize("dialect", ["IridasCube", "ResolveCube"])
@pytest.mark.parametrize("sizes", [(6, None), (None, 4), (6, 4)])
def test_colour_science_reads_our_files_as_we_do(
    dialect, sizes, path, rng, colour
):
    curves, size = sizes
    both = None not in sizes
    if both and dialect == "IridasCube":
        pytest.skip("has one table in a file")
    table = random_table(rng, curves=curves, size=size, title="A look")
    write_cube(path, table)
    theirs = getattr(colour, f"read_LUT_{dialect}")(path)
    arguments = parts_of(theirs)
    assert_same(ColorTable(title="A look", **arguments), table)


@pytest.mark.parametrize("dialect", ["IridasCube", "ResolveCube"])
def test_we_read_files_of_colour_science(dialect, path, rng, colour):
    domain = np.array([[-0.5, -0.5, -0.5], [2.0, 2.0, 2.0]])
    curves = colour.LUT3x1D(rng.random((6, 3)), "Curves", domain)
    cube = colour.LUT3D(rng.random((4, 4, 4, 3)), "Cube", domain, size=4)
    luts = [curves, cube]
    if dialect == "ResolveCube":
        luts.append(colour.LUTSequence(curves, cube))
    for lut in luts:
        getattr(colour, f"write_LUT_{dialect}")(lut, str(path))
        table = read_cube(path)
        theirs = getattr(colour, f"read_LUT_{dialect}")(str(path))
        title = "Curves - Cube" if len(parts_of(lut)) == 4 else lut.name
        assert_same(table, ColorTable(title=title, **parts_of(theirs)))


def test_we_read_the_examples_of_colour_science(colour):
    folder = pathlib.Path(colour.__file__).parent / "tests" / "resources"
    read, refused = 0, []
    for dialect in ("iridas_cube", "resolve_cube"):
        function = "".join(part.title() for part in dialect.split("_"))
        for file in sorted((folder / dialect).glob("*.cube")):
            theirs = getattr(colour, f"read_LUT_{function}")(str(file))
            try:
                table = read_cube(file)
            except ValueError as error:
                refused.append((file.name, str(error)))
                continue
            title = {"title": table.title}
            assert_same(table, ColorTable(**title, **parts_of(theirs)))
            read += 1
    if not read:
        pytest.skip("came without its examples")
    # A cube made for -1 to 3, with the keyword that is for curves: taken for
    # 0 to 1 by other programs, which is not what its maker meant.
    [(name, message)] = refused
    assert name == "eotf_sRGB_3D.cube"
    assert "the file has no LUT_1D_SIZE for" in message
