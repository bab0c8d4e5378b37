import numpy as np
import pytest
from reference import color_lookup as reference

from keras_perceptual.io import table_lookup

TWINS = {
    "look_up_trilinear": reference.trilinear,
    "look_up_tetrahedral": reference.tetrahedral,
}


@pytest.fixture
def colors(rng):
    """Colors in (0, 1), with grays, corners and ties among them."""
    found = rng.uniform(0, 1, (4, 50, 3))
    found[0, :, 1:] = found[0, :, :1]
    found[1, :, 1] = found[1, :, 2]
    found[2] = rng.integers(0, 5, (50, 3)) / 4
    return found


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("size", [2, 5, 9])
def test_cubes_are_read_as_the_twins_do(name, size, colors, rng):
    cube = rng.uniform(-1, 2, (size, size, size, 3)).astype("float32")
    found = getattr(table_lookup, name)(colors * (size - 1), cube)
    np.testing.assert_allclose(found, TWINS[name](colors, cube), atol=1e-12)


@pytest.mark.parametrize("size", [2, 5, 9])
def test_curves_are_read_as_the_twin_does(size, colors, rng):
    curves = rng.uniform(-1, 2, (size, 3)).astype("float32")
    found = table_lookup.look_up_curves(colors * (size - 1), curves)
    np.testing.assert_allclose(
        found, reference.curves(colors, curves), atol=1e-12
    )


def test_places_are_in_the_domain():
    domain = ((-1, 0, 0), (1, 2, 4))
    colors = np.array([[0, 0.5, 1], [-2, 9, np.inf], [np.nan, -np.inf, 4]])
    found = table_lookup.to_places(colors, domain, 5)
    expected = [[2, 1, 1], [0, 4, 4], [np.nan, 0, 4]]
    np.testing.assert_array_equal(found, expected)


def test_not_a_number_stays_not_a_number(rng):
    places = np.array([[np.nan, 1, 1], [1, 1, 1]])
    curves = rng.uniform(0, 1, (3, 3))
    found = table_lookup.look_up_curves(places, curves)
    assert np.isnan(found).tolist() == [[True, False, False], [False] * 3]
    cube = rng.uniform(0, 1, (3, 3, 3, 3))
    for name in TWINS:
        found = getattr(table_lookup, name)(places, cube)
        assert np.isnan(found).tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize(("size", "new"), [(2, 2), (3, 5), (5, 3), (4, 7)])
def test_planes_are_what_is_found_at_each_place(size, new, rng):
    cube = rng.uniform(-1, 2, (size, size, size, 3)).astype("float32")
    found = np.stack(list(table_lookup.resample_trilinear(cube, new)))
    places = np.indices((new,) * 3).transpose(1, 2, 3, 0)
    places = places * (size - 1) / (new - 1)
    expected = table_lookup.look_up_trilinear(places, cube)
    np.testing.assert_allclose(found, expected, atol=1e-12)
