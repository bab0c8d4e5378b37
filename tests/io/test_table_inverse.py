import warnings

import checks
import numpy as np
import pytest
from color_tables import apply_with_opencolorio, grid

from keras_perceptual.io import (
    ColorTable,
    apply_table,
    invert_table,
    write_cube,
)

DOMAIN = ((-0.5, 0.0, 0.25), (1.5, 2.0, 1.0))


def test_an_inverse_undoes_curves(rng):
    steps = rng.uniform(0.05, 1, (8, 3)) * [1, -1, 2]
    table = ColorTable(
        curves=np.cumsum(steps, axis=0) - [0, -3, 1], curves_domain=DOMAIN
    )
    inverse = invert_table(table)
    assert inverse.curves.shape == (4096, 3)
    ends = np.sort(table.curves[[0, -1]], axis=0)
    np.testing.assert_array_equal(inverse.curves_domain, ends)
    # Exact at the entries of the inverse.
    entries = np.linspace(*inverse.curves_domain, 4096)
    again = apply_table(table, apply_table(inverse, entries))
    np.testing.assert_allclose(again, entries, atol=3e-6)
    # Elsewhere as near as the entries are.
    colors = rng.uniform(*DOMAIN, (500, 3))
    again = apply_table(inverse, apply_table(table, colors))
    np.testing.assert_allclose(again, colors, atol=5e-3)


def test_the_inverse_of_a_straight_line_is_exact(rng):
    table = ColorTable(curves=[[1, 0, 0], [0, 2, 0.5]])
    colors = rng.uniform(0, 1, (50, 3))
    again = apply_table(invert_table(table, size=2), apply_table(table, colors))
    np.testing.assert_allclose(again, colors, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "channels"),
    [
        ({(2, 0): 0.25}, "red"),
        ({(3, 1): 0.1}, "green"),
        ({(4, 0): 0.75, (0, 2): 0.9}, "red and blue"),
    ],
)
def test_curves_that_turn_or_are_level_have_no_inverse(change, channels):
    curves = np.linspace(0, 1, 5)[:, None].repeat(3, axis=1)
    for index, value in change.items():
        curves[index] = value
    message = f"rise all the way.*slight slope.*for {channels}$"
    with pytest.raises(ValueError, match=message):
        invert_table(ColorTable(curves=curves))


def test_a_cube_is_undone(rng):
    table = ColorTable(cube=2 - grid(5) / 2, cube_domain=DOMAIN)
    inverse = invert_table(table)
    assert inverse.cube.shape == table.cube.shape
    assert inverse.cube_domain == ((1.5,) * 3, (2.0,) * 3)
    colors = rng.uniform(*DOMAIN, (50, 3))
    again = apply_table(inverse, apply_table(table, colors))
    np.testing.assert_allclose(again, colors, atol=1e-6)


def test_curves_and_a_cube_are_undone(rng):
    curves = np.linspace(0, 1, 65)[:, None] ** [1.0, 1.2, 0.8]
    table = ColorTable(
        curves=curves, curves_domain=DOMAIN, cube=1 - 0.5 * grid(3)
    )
    inverse = invert_table(table, size=65)
    assert inverse.curves is None and inverse.cube.shape == (65, 65, 65, 3)
    colors = rng.uniform(*DOMAIN, (500, 3))
    again = apply_table(inverse, apply_table(table, colors))
    np.testing.assert_allclose(again, colors, atol=0.02)


def test_curves_before_a_cube_are_looked_at_first():
    curves = np.zeros((3, 3))
    message = "rise all the way"
    with pytest.raises(ValueError, match=message):
        invert_table(ColorTable(curves=curves, cube=grid(100)))


def test_wrong_arguments():
    table = ColorTable(curves=[[0, 0, 0], [1, 1, 1]])
    with pytest.raises(ValueError, match=r"whole number.*size=True$"):
        invert_table(table, size=True)
    with pytest.raises(TypeError, match=r"Make one first.*type ndarray$"):
        invert_table(table.curves)


# To the nearest color.


def nearest(table, **arguments):
    """Returns an inverse, and how many entries a warning says are lost."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inverse = invert_table(table, nearest=True, **arguments)
    lost = [int(str(w.message).split()[3]) for w in caught]
    assert len(lost) <= 1
    return inverse, sum(lost)


def test_what_has_an_inverse_has_the_same_to_the_nearest(rng):
    ramp = np.linspace(0, 1, 9)[:, None]
    for curves in (ramp**2, 1 - ramp**0.5, ramp ** [1, 2, 3] * [1, -1, 2]):
        table = ColorTable(
            curves=np.broadcast_to(curves, (9, 3)), curves_domain=DOMAIN
        )
        inverse, lost = nearest(table)
        assert lost == 0
        expected = invert_table(table)
        assert inverse.curves_domain == expected.curves_domain
        np.testing.assert_allclose(inverse.curves, expected.curves, atol=1e-6)
    table = ColorTable(cube=2 - grid(5) ** 1.2 / 2, cube_domain=DOMAIN)
    inverse, lost = nearest(table)
    assert lost == 0
    np.testing.assert_allclose(
        inverse.cube, invert_table(table).cube, atol=1e-6
    )


@pytest.mark.parametrize(
    ("curve", "expected", "lost"),
    [
        # Level at both ends: the inner end of each.
        ([0, 0, 1, 2, 2, 2], {0: 0.2, 1: 0.4, 2: 0.6}, 2),
        ([2, 2, 2, 1, 0, 0], {0: 0.8, 1: 0.6, 2: 0.4}, 2),
        # A fold: the first of several on the way up.
        ([0, 2, 1, 3, 2, 4], {0: 0, 2: 0.2, 3: 0.6, 4: 1}, 2),
        # Lowest and highest inside.
        ([2, 0, 1, 4, 3, 2], {0: 0.2, 1: 0.4, 2.5: 0.5, 4: 0.6}, 3),
        ([2, 4, 1, 0, 3, 2], {0: 0.6, 1: 0.4, 2.5: 0.3, 4: 0.2}, 3),
        ([1, 1, 1, 1, 1, 1], {1: 0}, 5),
    ],
)
def test_curves_that_turn_go_back_to_the_first_place(curve, expected, lost):
    curves = np.stack([curve] * 3, axis=-1)
    inverse, said = nearest(ColorTable(curves=curves), size=4001)
    for value, place in expected.items():
        found = apply_table(inverse, [float(value)] * 3)
        np.testing.assert_allclose(found, place, atol=1e-3)
    assert abs(said - lost) <= 1


def sated(x):
    """Colors made stronger, and cut off, as most looks do."""
    gray = x @ [[0.3], [0.6], [0.1]]
    return np.clip(gray + 1.6 * (x - gray), 0, 1)


def gray(x):
    return np.repeat(x @ [[0.3], [0.6], [0.1]], 3, axis=-1)


LOOKS = {
    "level": lambda x: np.minimum(x, 0.8),
    "without blue": lambda x: x * [1, 1, 0],
    "folded": lambda x: x + 0.4 * np.sin(7 * x[..., ::-1]),
    "mixed": lambda x: x @ [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]],
    "sated": sated,
    "gray": gray,
}


@pytest.mark.parametrize("look", LOOKS)
def test_no_color_of_the_table_is_nearer(look, rng):
    """Beside a hundred thousand others; OpenColorIO comes less near."""
    table = ColorTable(cube=LOOKS[look](grid(5)))
    inverse, _ = nearest(table, size=6)
    low, high = np.array(inverse.cube_domain)
    wanted = grid(6) * (high - low) + low
    assert 0 <= inverse.cube.min() and inverse.cube.max() <= 1

    def distances(colors):
        made = apply_table(
            table, colors.astype("float64"), interpolation="tetrahedral"
        )
        return np.linalg.norm(made - wanted, axis=-1)

    found = distances(inverse.cube)
    others = rng.uniform(0, 1, (100_000, 3)).round(2)
    made = apply_table(table, others, interpolation="tetrahedral")
    best = [
        np.sqrt(((made - color) ** 2).sum(axis=-1).min())
        for color in wanted.reshape(-1, 3)
    ]
    assert (found.ravel() <= np.array(best) + 1e-6).all()


@pytest.mark.parametrize("look", LOOKS)
def test_opencolorio_comes_no_nearer(look, tmp_path):
    table = ColorTable(cube=LOOKS[look](grid(9)))
    inverse, _ = nearest(table)
    low, high = np.array(inverse.cube_domain)
    wanted = grid(9) * (high - low) + low
    write_cube(tmp_path / "look.cube", table)
    theirs = apply_with_opencolorio(tmp_path / "look.cube", wanted, True)
    ours, theirs = (
        np.linalg.norm(
            apply_table(table, x.astype("float64"), interpolation="tetrahedral")
            - wanted,
            axis=-1,
        )
        for x in (inverse.cube, theirs)
    )
    assert (ours <= theirs + 1e-5).all()


def test_what_does_not_come_back_is_said():
    table = ColorTable(cube=np.minimum(grid(9), 0.5))
    message = (
        r"invert_table cannot bring \d+ of the 729 entries of the cube back.*"
        r"Received: ColorTable\(cube=\(9, 9, 9, 3\)\), nearest=True$"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        inverse = invert_table(table, nearest=True)
    assert caught[0].filename == __file__
    colors = np.array([[0.25, 0.125, 0.5], [0.5, 0.5, 0.5]])
    again = apply_table(inverse, colors)
    np.testing.assert_allclose(again, colors, atol=1e-6)


def test_curves_before_a_cube_are_inverted_to_the_nearest_as_well():
    ramp = np.linspace(0, 1, 17)[:, None]
    table = ColorTable(
        curves=np.minimum(ramp * 2, 1) ** [1, 1, 1],
        cube=np.minimum(grid(5), 0.5),
    )
    with pytest.warns(UserWarning) as caught:
        inverse = invert_table(table, nearest=True)
    parts = [str(w.message).split(" back")[0][-6:] for w in caught]
    assert parts == ["curves", "e cube"]
    colors = np.array([[0.1, 0.2, 0.22]])
    again = apply_table(inverse, apply_table(table, colors))
    np.testing.assert_allclose(again, colors, atol=1e-5)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(invert_table)
