import re

import numpy as np
import pytest
from color_tables import apply_with_opencolorio, grid

from keras_perceptual.io import (
    ColorTable,
    apply_table,
    invert_table,
    write_cube,
)
from keras_perceptual.io.cube_inverse import invert_cube

MIX = np.array([[0.8, 0.15, 0.05], [0.1, 0.85, 0.05], [0.05, 0.1, 0.85]])


def warp(x):
    """Moves colors about, and the faces of the cube into themselves."""
    bump = np.sin(np.pi * x).prod(axis=-1, keepdims=True)
    return x**1.4 + bump * [0.1, -0.06, 0.08]


@pytest.mark.parametrize(("entries", "size"), [(9, 9), (5, 12), (12, 4)])
@pytest.mark.parametrize(
    "change",
    [lambda x: x, lambda x: 1 - x, lambda x: x[..., [1, 2, 0]] * 3 - 1, warp],
    ids=["identity", "negative", "turned", "warp"],
)
def test_is_exact_at_its_entries(change, entries, size):
    table = ColorTable(cube=change(grid(entries)))
    inverse = invert_table(table, size=size)
    again = apply_table(
        table, inverse.cube.astype("float64"), interpolation="tetrahedral"
    )
    wanted = grid(size, *map(np.array, inverse.cube_domain))
    np.testing.assert_allclose(again, wanted, atol=1e-6)


def test_opencolorio_finds_the_same(tmp_path):
    table = ColorTable(cube=warp(grid(9)))
    inverse = invert_table(table, size=7)
    write_cube(tmp_path / "warp.cube", table)
    # Less the faces, where it may take one side and we the other.
    wanted = grid(7)[1:-1, 1:-1, 1:-1]
    found = apply_with_opencolorio(tmp_path / "warp.cube", wanted, inverse=True)
    np.testing.assert_allclose(inverse.cube[1:-1, 1:-1, 1:-1], found, atol=5e-7)


def test_undoes_the_cube(rng):
    """The finer, the nearer: by the square of the size of a cell."""
    colors = rng.uniform(0, 1, (500, 3))

    def error(size):
        table = ColorTable(cube=warp(grid(size)))
        way = {"interpolation": "tetrahedral"}
        again = apply_table(
            invert_table(table), apply_table(table, colors, **way), **way
        )
        return abs(again - colors).mean()

    assert error(9) < 0.01
    assert error(33) < error(9) / 6


def test_what_the_cube_does_not_make_is_led_on(rng):
    """So that colors at its faces are undone as well as others."""
    table = ColorTable(cube=grid(9) @ MIX.T)
    inverse = invert_table(table)
    colors = rng.uniform(0, 1, (500, 3))
    again = apply_table(inverse, apply_table(table, colors))
    np.testing.assert_allclose(again, colors, atol=1e-5)
    # Pure red has become less pure, and is no longer made.
    assert np.isfinite(inverse.cube).all()
    assert -0.26 < inverse.cube.min() < -0.1
    assert 1.1 < inverse.cube.max() < 1.26


def test_a_cube_that_lies_across_has_an_inverse_too():
    """Few entries of the result are colors that it makes."""
    table = ColorTable(cube=grid(5) @ [[1, 1, 0], [-1, 1, 0], [0, 0, 1]])
    inverse = invert_table(table, size=9)
    middle = inverse.cube[4, 4]
    np.testing.assert_allclose(middle[:, 0], 0.5, atol=1e-6)
    np.testing.assert_allclose(middle[:, 2], np.linspace(0, 1, 9), atol=1e-6)


def level(x):
    return np.minimum(x, 0.8)


def without_blue(x):
    return x * [1, 1, 0]


def folded(x):
    return x + 0.4 * np.sin(7 * x[..., ::-1])


def spiral(x):
    """Turned by more than a whole turn: nothing is folded, and it overlaps."""
    angle, radius = 2.6 * np.pi * x[..., 0], 1 + x[..., 1]
    return np.stack(
        [radius * np.cos(angle), -radius * np.sin(angle), x[..., 2]], axis=-1
    )


@pytest.mark.parametrize("change", [level, without_blue, folded, spiral])
def test_a_cube_that_makes_one_color_of_several_has_no_inverse(change):
    message = (
        r"another color of every color.*`nearest=True` for the nearest.*"
        r"Received: cube.shape=\(17, 17, 17, 3\), where it happens at "
        r"\[\d+, \d+, \d+\]$"
    )
    with pytest.raises(ValueError, match=message):
        invert_table(ColorTable(cube=change(grid(17))))


def test_where_it_happens_is_said():
    cube = grid(9)
    cube[4, 5, 6] = cube[5, 6, 7]
    with pytest.raises(ValueError) as caught:
        invert_table(ColorTable(cube=cube))
    place = re.findall(r"\d+", str(caught.value).split(" at ")[1])
    assert abs(np.array(place, int) - [4, 5, 6]).max() <= 1


def test_a_result_too_coarse_for_the_cube_is_refused():
    table = ColorTable(cube=grid(33) @ [[1, 1, 0], [-1, 1, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match=r"larger `size`.*size=2$"):
        invert_table(table, size=2)


def test_parts_make_no_difference(monkeypatch):
    cube = warp(grid(5))
    whole, _ = invert_cube(cube, 20)
    monkeypatch.setattr("keras_perceptual.io.cube_inverse.PART", 100)
    parts, _ = invert_cube(cube, 20)
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_a_channel_without_any_range_is_refused_at_the_first_entry():
    cube = grid(5) * [1, 1, 0]
    with pytest.raises(ValueError, match=r"where it happens at \[0, 0, 0\]$"):
        invert_table(ColorTable(cube=cube))
