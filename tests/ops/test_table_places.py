import itertools

import keras
import numpy as np
import pytest

from keras_perceptual.ops.table_places import CubePlaces, locate, nearest


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def tensor(x):
    return keras.ops.convert_to_tensor(x, "float32")


ODD = np.float32([np.nan, np.inf, -np.inf, 1e30, -1e30, -0.0, 1.0])


@pytest.mark.parametrize("extrapolate", ["linear", "clamp"])
def test_cells_of_whatever_value_are_inside(extrapolate):
    cell, place = map(to_numpy, locate(tensor(ODD), 5, (0.0, 1.0), extrapolate))
    assert np.all((cell >= 0) & (cell <= 3))
    assert cell[[1, 3, 6]].tolist() == [3, 3, 3]
    assert cell[[2, 4, 5]].tolist() == [0, 0, 0]
    assert np.isnan(place[0])
    if extrapolate == "clamp":
        assert place[1:].tolist() == [1, 0, 1, 0, 0, 1]


def test_nearest_entries_of_whatever_value_are_inside():
    index = to_numpy(nearest(tensor(ODD), 5))
    assert np.all((index >= 0) & (index <= 4))
    assert index[1:].tolist() == [4, 0, 4, 0, 0, 4]


def test_a_range_of_its_own():
    cell, place = map(to_numpy, locate(tensor([-1, 0, 1]), 5, (-1.0, 1.0)))
    assert (cell + place).tolist() == [0, 2, 4]
    found = to_numpy(nearest(tensor([-1, 0.1, 1]), 5, (-1.0, 1.0)))
    assert found.tolist() == [0, 2, 4]


@pytest.mark.parametrize("interpolation", ["linear", "tetrahedral"])
@pytest.mark.parametrize("sizes", [(4, 4, 4), (2, 5, 3)])
def test_weights_and_blend_tell_the_same(rng, interpolation, sizes):
    colors = rng.uniform(0, 1, (50, 3)).astype("float32")
    colors[:4] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 1]]
    table = rng.uniform(0, 1, (np.prod(sizes), 2)).astype("float32")
    found = CubePlaces(sizes, interpolation)(tensor(colors))
    weights = np.stack([to_numpy(x) for x in found.weights()])
    assert len(weights) == (8 if interpolation == "linear" else 4)
    assert np.all(weights >= 0)
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-6)
    rows = [table[to_numpy(index)] for index in found.indices]
    expected = np.einsum("kp,kpc->pc", weights, np.stack(rows))
    blended = found.blend([keras.ops.convert_to_tensor(x) for x in rows])
    np.testing.assert_allclose(to_numpy(blended), expected, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["linear", "tetrahedral"])
def test_slopes_by_differences(rng, interpolation):
    """Along one axis what is blended is linear within a cell."""
    sizes = (3, 4, 2)
    cells = rng.integers(0, np.array(sizes) - 1, (200, 3))
    # Far enough from each other that a step passes no border.
    places = np.stack([rng.permutation([0.2, 0.5, 0.8]) for _ in cells])
    values = rng.uniform(-1, 1, (8, len(cells))).astype("float32")
    locate_colors = CubePlaces(sizes, interpolation)

    def total(places):
        colors = (cells + places) / (np.array(sizes) - 1)
        weights = locate_colors(tensor(colors)).weights()
        return sum(
            to_numpy(w) * v for w, v in zip(weights, values, strict=False)
        )

    colors = (cells + places) / (np.array(sizes) - 1)
    found = locate_colors(tensor(colors))
    slopes = found.slopes(
        [tensor(v) for v, _ in zip(values, found.indices, strict=False)]
    )
    for axis, slope in enumerate(slopes):
        np.testing.assert_allclose(
            to_numpy(found.fractions[axis]), places[:, axis], atol=1e-6
        )
        step = 0.1 * np.eye(3)[axis]
        expected = (total(places + step) - total(places - step)) / 0.2
        np.testing.assert_allclose(to_numpy(slope), expected, atol=1e-5)


def test_equal_ones_have_an_equal_hash():
    one, same = (CubePlaces((3, 3, 3), "linear") for _ in range(2))
    assert hash(one) == hash(same)
    assert one == same
    assert one != CubePlaces((3, 3, 3), "tetrahedral")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_way_through_a_tetrahedron_goes_by_the_largest_first(order):
    color = np.zeros(3)
    color[list(order)] = 0.9, 0.5, 0.2
    colors = (np.array([1, 2, 0]) + color) / [3, 4, 2]
    found = CubePlaces((4, 5, 3), "tetrahedral")(tensor(colors[None]))
    steps = np.array([15, 3, 1])[list(order)]
    expected = 15 + 6 + np.array([0, *np.cumsum(steps)])
    assert [int(to_numpy(i)[0]) for i in found.indices] == expected.tolist()
    weights = [to_numpy(weight)[0] for weight in found.weights()]
    np.testing.assert_allclose(weights, [0.1, 0.4, 0.3, 0.2], atol=1e-5)


def test_entries_are_the_corners_of_the_cell():
    """Blue runs fastest, and red slowest."""
    found = CubePlaces((4, 5, 3), "linear")(tensor([[0.5, 0.3, 0.6]]))
    corners = [
        15 * red + 3 * green + blue
        for red in (1, 2)
        for green in (1, 2)
        for blue in (1, 2)
    ]
    indices = [int(to_numpy(index)[0]) for index in found.indices]
    assert indices == corners
