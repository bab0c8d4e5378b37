import dataclasses
import pickle

import numpy as np
import pytest

from keras_perceptual.io import ColorTable

CURVES = np.array([[0, 0.25, 0.5], [1, 2, -1]], "float32")
CUBE = np.arange(24, dtype="float32").reshape(2, 2, 2, 3)
DOMAIN = ((0, -1, 0.5), (1, 2, 3))


def test_a_table_holds_what_it_was_given():
    table = ColorTable(
        curves=CURVES.tolist(),
        cube=CUBE.astype("float64"),
        curves_domain=np.array(DOMAIN),
        cube_domain=[[0, 0, 0], [2, 2, 2]],
        title="Look",
    )
    for found, expected in ((table.curves, CURVES), (table.cube, CUBE)):
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected)
    assert table.curves_domain == ((0.0, -1.0, 0.5), (1.0, 2.0, 3.0))
    assert table.cube_domain == ((0.0, 0.0, 0.0), (2.0, 2.0, 2.0))
    assert {type(x) for end in table.curves_domain for x in end} == {float}
    assert table.title == "Look"


def test_the_domain_is_from_zero_to_one_by_default():
    table = ColorTable(curves=CURVES)
    assert table.cube is None
    assert table.curves_domain == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert table.cube_domain == table.curves_domain
    assert table.title == ""


def test_a_table_cannot_be_changed():
    mine = CUBE.copy()
    table = ColorTable(cube=mine)
    mine[:] = 0
    np.testing.assert_array_equal(table.cube, CUBE)
    with pytest.raises(ValueError, match="read-only"):
        table.cube[0, 0, 0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.title = "Another"


def test_a_table_can_be_replaced_and_pickled():
    table = ColorTable(cube=CUBE, cube_domain=DOMAIN)
    other = dataclasses.replace(table, title="Another")
    for copied in (other, pickle.loads(pickle.dumps(table))):
        np.testing.assert_array_equal(copied.cube, CUBE)
        assert copied.cube_domain == table.cube_domain


def test_it_is_shown_by_its_shapes():
    table = ColorTable(curves=CURVES, cube=CUBE, cube_domain=DOMAIN, title="A")
    assert repr(table) == (
        "ColorTable(curves=(2, 3), cube=(2, 2, 2, 3), "
        "cube_domain=((0.0, -1.0, 0.5), (1.0, 2.0, 3.0)), title='A')"
    )


@pytest.mark.parametrize(
    "shapes",
    [{"curves": (300000, 3)}, {"curves": (2, 3)}, {"cube": (2, 2, 2, 3)}],
)
def test_sizes_at_the_limits_are_accepted(shapes):
    ((name, shape),) = shapes.items()
    table = ColorTable(**{name: np.zeros(shape, "float32")})
    assert getattr(table, name).shape == shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"at least one table.*Received: curves=None, cube=None$"),
        (
            {"curves": np.zeros((1, 3))},
            r"size being 2 to 300000.*Received: curves.shape=\(1, 3\)$",
        ),
        ({"curves": np.zeros((300001, 3))}, r"shape=\(300001, 3\)$"),
        ({"curves": np.zeros((3, 4))}, r"channels last.*shape=\(3, 4\)$"),
        ({"curves": np.zeros(3)}, r"curves.shape=\(3,\)$"),
        ({"curves": 1.0}, r"curves.shape=\(\)$"),
        (
            {"cube": np.zeros((2, 2, 3, 3))},
            r"shape \(size, size, size, 3\), size being 2 to 256.*"
            r"Received: cube.shape=\(2, 2, 3, 3\)$",
        ),
        ({"cube": np.zeros((8, 3))}, r"cube.shape=\(8, 3\)$"),
        ({"cube": np.zeros((1, 1, 1, 3))}, r"cube.shape=\(1, 1, 1, 3\)$"),
        (
            {"cube": np.broadcast_to(np.float32(0), (257, 257, 257, 3))},
            r"cube.shape=\(257, 257, 257, 3\)$",
        ),
        ({"curves": [[0, 0, 0], [1, 1]]}, r"numbers.*Received: an array"),
        ({"curves": [["0", "0", "0"]] * 2}, r"asarray.*of type <U1"),
        ({"curves": np.zeros((2, 3), bool)}, r"of type bool"),
        ({"curves": np.zeros((2, 3), complex)}, r"of type complex128"),
        ({"curves": [[0, 0, np.nan], [1, 1, np.inf]]}, r"Received: 2 entries"),
        ({"curves": [[0, 0, 1e39], [1, 1, 1]]}, r"Received: 1 entries"),
        (
            {"cube": CUBE, "cube_domain": ((0, 0, 0), (1, 0, 1))},
            r"every lowest below its highest.*Received: cube_domain=\(\(0, 0",
        ),
        ({"cube": CUBE, "cube_domain": (0, 1)}, r"cube_domain=\(0, 1\)$"),
        ({"cube": CUBE, "cube_domain": None}, r"cube_domain=None$"),
        (
            {"cube": CUBE, "cube_domain": ((0, 0), (1, 1))},
            r"cube_domain=\(\(0, 0\), \(1, 1\)\)$",
        ),
        (
            {"cube": CUBE, "cube_domain": ((0, 0, "low"), (1, 1, 1))},
            r"three finite numbers",
        ),
        (
            {"cube": CUBE, "cube_domain": ((0, 0, 0), (1, 1, np.inf))},
            r"three finite numbers",
        ),
        (
            {"cube": CUBE, "cube_domain": ((np.nan, 0, 0), (1, 1, 1))},
            r"three finite numbers",
        ),
        (
            {"cube": CUBE, "cube_domain": ((-1e308,) * 3, (1e308,) * 3)},
            r"three finite numbers",
        ),
        (
            {"cube": CUBE, "curves_domain": DOMAIN},
            r"without `curves`, and it would be lost.*Received: curves=None",
        ),
    ],
)
def test_what_is_no_table_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"(?s)^ColorTable .*{message}"):
        ColorTable(**arguments)


@pytest.mark.parametrize("title", [None, b"Look", 3])
def test_a_title_is_a_string(title):
    with pytest.raises(TypeError, match=r"`title`.*Received: title="):
        ColorTable(curves=CURVES, title=title)


@pytest.mark.parametrize(
    "parts, titles",
    [
        (["curves"], ["Warm: curves"]),
        (["cube"], ["Warm: cube"]),
        (["curves", "cube"], ["Warm: curves", "Warm: cube"]),
    ],
)
def test_a_plot_has_a_panel_for_each_part(parts, titles):
    tables = {"curves": np.eye(3)[:2], "cube": np.zeros((2, 2, 2, 3))}
    table = ColorTable(title="Warm", **{part: tables[part] for part in parts})
    axes = table.plot()
    assert [panel.get_title() for panel in np.ravel(axes)] == titles
