import numpy as np
import pytest
from color_tables import apply_by_hand, assert_same, grid
from reference import color_lookup as reference

from keras_perceptual import progress
from keras_perceptual.io import (
    ColorTable,
    apply_table,
    blend_table,
    compose_tables,
    resize_table,
    table_operations,
)

DOMAIN = ((-0.5, 0.0, 0.25), (1.5, 2.0, 1.0))
INTERPOLATIONS = ["linear", "tetrahedral"]


def make_table(rng, curves=None, cube=None, wide=False):
    """Returns a table of noise with these sizes."""
    domain = {"curves_domain": DOMAIN} if wide and curves else {}
    if wide and cube:
        domain["cube_domain"] = DOMAIN
    return ColorTable(
        curves=curves and rng.uniform(-0.2, 1.2, (curves, 3)),
        cube=cube and rng.uniform(-0.2, 1.2, (cube, cube, cube, 3)),
        title="Noise",
        **domain,
    )


@pytest.fixture
def colors(rng):
    return rng.uniform(-0.8, 1.8, (20, 30, 3))


# Applying.


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("sizes", [(5, None), (None, 4), (5, 4)])
def test_colors_go_through_both_tables(sizes, wide, rng, colors):
    table = make_table(rng, *sizes, wide=wide)
    expected = apply_by_hand(table, colors.reshape(-1, 3))
    found = apply_table(table, colors)
    np.testing.assert_allclose(found.reshape(-1, 3), expected, atol=1e-12)


def test_a_cube_is_read_by_tetrahedra(rng, colors):
    table = make_table(rng, cube=4)
    found = apply_table(table, colors, interpolation="tetrahedral")
    expected = reference.tetrahedral(np.clip(colors, 0, 1), table.cube)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_the_type_stays(kind, rng, colors):
    found = apply_table(make_table(rng, 3, 3), colors.astype(kind))
    assert found.dtype == kind
    assert found.shape == colors.shape


@pytest.mark.parametrize(
    "colors",
    [
        [[1, 0, 0], [0, 1, 1]],
        ((1, 0, 2), (-1, 1, 0)),
        [[True, False, True]],
        [np.float32(0.5), 1, 0.25],
        np.eye(3, dtype="int8"),
        np.eye(3, dtype="uint8"),
        np.zeros((0, 3), "int64"),
    ],
)
def test_colors_are_whatever_numpy_makes_an_array_of(colors, rng):
    table = make_table(rng, 3, 3)
    found = apply_table(table, colors)
    assert found.dtype == "float64"
    expected = apply_table(table, np.array(colors, "float64"))
    np.testing.assert_array_equal(found, expected)


def test_integers_of_any_size_may_be_in_the_domain():
    curves = np.linspace([0] * 3, [1] * 3, 2)
    table = ColorTable(curves=curves, curves_domain=((0,) * 3, (255,) * 3))
    found = apply_table(table, np.array([[0, 51, 255]], "uint8"))
    np.testing.assert_allclose(found, [[0, 0.2, 1]], atol=1e-7)


# Resizing.


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_between_its_entries_a_larger_table_is_the_same(
    interpolation, rng, colors
):
    table = make_table(rng, 5, 4, wide=True)
    larger = resize_table(
        table, curves=17, cube=10, interpolation=interpolation
    )
    assert larger.curves.shape == (17, 3)
    assert larger.cube.shape == (10, 10, 10, 3)
    np.testing.assert_allclose(larger.cube[::3, ::3, ::3], table.cube)
    np.testing.assert_allclose(larger.curves[::4], table.curves)
    assert larger.cube_domain == larger.curves_domain == DOMAIN
    assert larger.title == "Noise"
    if interpolation == "linear":
        np.testing.assert_allclose(
            apply_table(larger, colors), apply_table(table, colors), atol=1e-6
        )
    back = resize_table(larger, curves=5, cube=4)
    for name in ("curves", "cube"):
        np.testing.assert_allclose(
            getattr(back, name), getattr(table, name), atol=1e-6
        )


def test_without_a_size_nothing_changes(rng):
    table = make_table(rng, 5, 4, wide=True)
    assert_same(resize_table(table), table)
    assert_same(resize_table(table, curves=5, cube=4), table)


# Blending.


@pytest.mark.parametrize("strength", [-0.5, 0, 0.25, 1, 1.5])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("sizes", [(5, None), (None, 4)])
def test_a_blend_lies_between_the_colors_before_and_after(
    sizes, wide, strength, rng
):
    table = make_table(rng, *sizes, wide=wide)
    blend = blend_table(table, strength)
    colors = rng.uniform(*(DOMAIN if wide else (0, 1)), (100, 3))
    expected = colors + strength * (apply_table(table, colors) - colors)
    np.testing.assert_allclose(apply_table(blend, colors), expected, atol=1e-6)
    assert blend.title == "Noise"
    for name in ("curves_domain", "cube_domain"):
        assert getattr(blend, name) == getattr(table, name)
    if strength == 1:
        assert_same(blend, table)


@pytest.mark.parametrize("falls", [False, True])
def test_curves_before_a_cube_stay_in_a_blend(falls, rng):
    """Exact at the entries of the cube, and at both ends of the strength."""
    ramp = np.linspace(0, 1, 65)[:, None]
    curves = 1 - ramp**0.5 if falls else ramp ** [0.5, 1, 2]
    low, high = np.array(DOMAIN)
    table = ColorTable(
        curves=curves * [1, 1, 0.5],
        curves_domain=DOMAIN,
        cube=rng.uniform(0, 1, (5, 5, 5, 3)),
        cube_domain=((0, 0, 0), (1, 1, 0.5)),
    )
    blend = blend_table(table, 0.25)
    np.testing.assert_array_equal(blend.curves, table.curves)
    # The colors that the curves bring to the entries of the cube.
    entry = grid(5)
    power = [2, 2, 2] if falls else [2, 1, 0.5]
    colors = (1 - entry if falls else entry) ** power * (high - low) + low
    expected = 0.75 * colors + 0.25 * apply_table(table, colors)
    found = apply_table(blend, colors)
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert_same(blend_table(table, 1), table)


# Composing.


@pytest.mark.parametrize("sizes", [(None, 4), (6, None), (6, 4)])
def test_curves_stay_before_a_cube(sizes, rng, colors):
    first = make_table(rng, 5, wide=True)
    second = make_table(rng, *sizes, wide=True)
    table = compose_tables(first, second)
    assert table.title == ""
    expected = apply_table(second, apply_table(first, colors))
    if sizes[0] is None:
        np.testing.assert_array_equal(table.curves, first.curves)
        np.testing.assert_allclose(apply_table(table, colors), expected)
        return
    assert table.curves.shape == (6, 3)
    entries = np.linspace(*DOMAIN, 6)
    np.testing.assert_allclose(
        apply_table(table, entries),
        apply_table(second, apply_table(first, entries)),
        atol=1e-5,
    )


@pytest.mark.parametrize("sizes", [(None, 4), (6, None), (6, 4)])
@pytest.mark.parametrize("curves", [None, 5])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_what_follows_a_cube_is_sampled(sizes, curves, interpolation, rng):
    first = make_table(rng, curves, 3, wide=True)
    second = make_table(rng, *sizes, wide=True)
    table = compose_tables(first, second, size=9, interpolation=interpolation)
    assert table.cube.shape == (9, 9, 9, 3)
    if curves:
        np.testing.assert_array_equal(table.curves, first.curves)
    # Exact at the entries: the colors that the curves bring there.
    cubes = [
        ColorTable(cube=t.cube, cube_domain=DOMAIN) for t in (first, table)
    ]
    ramps = np.linspace(*DOMAIN, 9).T
    entries = np.stack(np.meshgrid(*ramps, indexing="ij"), axis=-1)
    middle = apply_table(cubes[0], entries, interpolation=interpolation)
    np.testing.assert_allclose(
        apply_table(cubes[1], entries),
        apply_table(second, middle, interpolation=interpolation),
        atol=1e-5,
    )


def test_smooth_tables_compose_to_what_they_do_together(rng):
    ramp = np.linspace(0, 1, 33)
    grid = np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1)
    warm = ColorTable(cube=grid ** [0.9, 1.0, 1.2])
    crossed = ColorTable(cube=0.8 * grid + 0.2 * grid[..., [1, 2, 0]])
    curve = ColorTable(curves=ramp[:, None] ** [1.5, 1.2, 1.1])
    colors = rng.uniform(0.05, 1, (500, 3))
    for tables in ((warm, crossed), (warm, curve), (curve, curve)):
        expected = apply_table(tables[1], apply_table(tables[0], colors))
        found = apply_table(compose_tables(*tables), colors)
        np.testing.assert_allclose(found, expected, atol=2e-3)


# What does not fit together.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: apply_table(t, np.full((2, 3), 255, "uint8")),
            r"Divide 8-bit images.*type uint8 and shape \(2, 3\)$",
        ),
        (
            lambda t: apply_table(t, np.eye(3, dtype="uint16") * 256),
            r"Divide 8-bit images.*type uint16 and shape \(3, 3\)$",
        ),
        (
            lambda t: apply_table(t, np.zeros((2, 3), "complex64")),
            r"needs numbers in.*type complex64",
        ),
        (lambda t: apply_table(t, [["a"] * 3]), r"needs numbers in.*type <U1"),
        (lambda t: apply_table(t, 1), r"green and blue last.*shape \(\)$"),
        (
            lambda t: apply_table(t, np.zeros((2, 4))),
            r"take transparency out.*shape \(2, 4\)$",
        ),
        (
            lambda t: apply_table(t, [0.0, 0, 0], interpolation="cubic"),
            r"\['linear', 'tetrahedral'\].*interpolation='cubic'$",
        ),
        (lambda t: resize_table(t, cube=3), r"has none.*cube=3 for ColorTable"),
        (lambda t: resize_table(t, curves=1), "from 2 to 300000.*size=1$"),
        (lambda t: resize_table(t, curves=2.0), r"whole number.*size=2\.0$"),
        (lambda t: blend_table(t, np.nan), "a finite number.*strength=nan$"),
        (lambda t: blend_table(t, "1"), "a finite number.*strength='1'$"),
        (lambda t: blend_table(t, True), "a finite number.*strength=True$"),
        (
            lambda t: blend_table(
                ColorTable(curves=np.zeros((2, 3)), cube=np.ones((2, 2, 2, 3))),
                0.5,
            ),
            "blend_table needs curves before a cube that rise.*compose_tables",
        ),
        (lambda t: compose_tables(t, t, size=0), "from 2 to 300000.*size=0$"),
        (
            lambda t: compose_tables(t, t, interpolation="x"),
            "compose_tables needs `interpolation`.*'x'$",
        ),
    ],
)
def test_wrong_arguments(call, message):
    table = ColorTable(curves=[[0, 0, 0], [1, 1, 1]])
    with pytest.raises(ValueError, match=message):
        call(table)


@pytest.mark.parametrize(
    "call",
    [
        lambda t, x: apply_table(x, np.zeros(3)),
        lambda t, x: resize_table(x),
        lambda t, x: blend_table(x, 0.5),
        lambda t, x: compose_tables(t, x),
        lambda t, x: compose_tables(x, t),
    ],
)
def test_only_tables_will_do(call):
    table = ColorTable(curves=[[0, 0, 0], [1, 1, 1]])
    with pytest.raises(TypeError, match=r"Make one first.*type ndarray$"):
        call(table, table.curves)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_many_colors_are_looked_up_in_parts(
    rng, colors, interpolation, monkeypatch, capsys
):
    table = make_table(rng, 5, 4)

    def results():
        return (
            apply_table(table, colors, interpolation=interpolation),
            resize_table(table, cube=7, interpolation=interpolation).cube,
        )

    expected = results()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(table_operations, "PART", 50)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for found, whole in zip(results(), expected, strict=True):
        np.testing.assert_array_equal(found, whole)
    printed = capsys.readouterr().out
    assert "12/12" in printed and "7/7" in printed
