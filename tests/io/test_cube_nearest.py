import numpy as np
from color_tables import grid

from keras_perceptual.io import cube_nearest
from keras_perceptual.io.cube_nearest import invert_to_nearest
from keras_perceptual.io.table_lookup import look_up_tetrahedral


def test_places_are_counted_in_entries(rng):
    places, (low, high) = invert_to_nearest(2 * grid(5) - 1, 9)
    np.testing.assert_allclose(places, 4 * grid(9), atol=1e-6)
    assert low.tolist() == [-1] * 3 and high.tolist() == [1] * 3


def test_one_color_has_a_place():
    places, (low, high) = invert_to_nearest(np.full((3, 3, 3, 3), 0.5), 4)
    assert np.isfinite(places).all()
    assert low.tolist() == [0.5] * 3 and high.tolist() == [1.5] * 3


def test_the_nearest_point_of_a_tetrahedron_is_found(rng):
    corners = rng.normal(size=(50, 4, 3))
    corners[:10, 3] = corners[:10, 2]  # Flat ones.
    corners[:3] = corners[:3, :1]
    targets = rng.normal(size=(50, 3)) * 3
    away, weights = cube_nearest._project(corners, targets)
    assert (weights > -1e-9).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    points = np.einsum("pk,pki->pi", weights, corners)
    np.testing.assert_allclose(((points - targets) ** 2).sum(1), away)
    # No other mixture of the corners is nearer to what lies outside.
    mixtures = rng.dirichlet([0.3] * 4, 20_000)
    others = np.einsum("mk,pki->pmi", mixtures, corners)
    best = ((others - targets[:, None]) ** 2).sum(axis=-1).min(axis=1)
    inside = best < 1e-2
    assert inside.mean() < 0.2
    assert (away[~inside] <= best[~inside] + 1e-9).all()


def test_seeds_spread_to_all_targets(rng):
    """Each has a place that is about as near as the nearest entry."""
    cube = rng.uniform(0, 1, (3, 3, 3, 3))
    step = np.ones(3) / 8
    targets = grid(9)
    found = np.full((9, 9, 9, 3), np.nan)
    places = cube_nearest._spread(found, cube, targets, step)
    colors = look_up_tetrahedral(places, cube)
    away = np.linalg.norm(colors - targets, axis=-1)
    entries = cube.reshape(-1, 3)
    best = np.linalg.norm(targets[..., None, :] - entries, axis=-1).min(-1)
    # Of entries in the cell of one target, the nearest alone is kept.
    assert (away <= best + step[0]).all()
    assert (away <= best + 1e-9).mean() > 0.9


def test_what_cannot_be_made_comes_from_the_nearest_face(rng):
    """A cube that clips at a half: the nearest place is known."""
    cube = grid(4) / 2
    targets = rng.uniform(0, 1, (40, 3))
    targets[:, 1] += 0.5
    # Any entry leads there, in as many moves as it is away.
    seeds = np.rint(np.clip(targets, 0, 0.5) * 6)
    for away in (0, 1):
        places = cube_nearest._refine(cube, np.abs(seeds - away), targets)
        np.testing.assert_allclose(
            places, np.clip(targets, 0, 0.5) * 6, atol=1e-6
        )


def test_of_a_cube_that_folds_each_color_is_found():
    """Red goes up and comes down again; every color comes from somewhere."""
    cube = grid(5)
    cube[..., 0] = 1 - abs(2 * cube[..., 0] - 1)
    places, _ = invert_to_nearest(cube, 6)
    np.testing.assert_allclose(
        look_up_tetrahedral(places, cube), grid(6), atol=1e-6
    )
