import checks
import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops.feature_distances import (
    FEATURE_DISTANCES,
    cosine_distance,
    feature_distance,
    unit_normalize,
)

TWINS = {
    "mse": lambda x, y: ((x - y) ** 2).mean((1, 2, 3)),
    "mae": lambda x, y: np.abs(x - y).mean((1, 2, 3)),
    "charbonnier": lambda x, y: (np.sqrt((x - y) ** 2 + 1e-6) - 1e-3).mean(
        (1, 2, 3)
    ),
    "cosine": lambda x, y: (
        1
        - (x * y).sum(-1)
        / np.linalg.norm(x, axis=-1)
        / np.linalg.norm(y, axis=-1)
    ).mean((1, 2)),
}


@pytest.fixture
def features(rng):
    shape = (2, 3, 4, 5)
    return [rng.normal(size=shape).astype("float32") for _ in range(2)]


@pytest.mark.parametrize("kind", FEATURE_DISTANCES)
def test_equals_the_formula(kind, features):
    x, y = features
    value = feature_distance(kind, *map(ops.convert_to_tensor, features))
    expected = TWINS[kind](x.astype("float64"), y.astype("float64"))
    np.testing.assert_allclose(ops.convert_to_numpy(value), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", FEATURE_DISTANCES)
def test_gradient(kind, features):
    checks.check_finite_differences(
        lambda x, y: ops.sum(feature_distance(kind, x, y)), *features, step=1e-3
    )


@pytest.mark.parametrize("kind", FEATURE_DISTANCES)
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_equal_features_are_no_distance_apart(kind, fill):
    x = np.full((1, 2, 2, 3), fill, "float32")
    gradient, _ = checks.gradients(
        lambda x, y: ops.sum(feature_distance(kind, x, y)), x, x.copy()
    )
    x = ops.convert_to_tensor(x)
    assert float(feature_distance(kind, x, x)[0]) == 0.0
    np.testing.assert_array_equal(gradient, 0)


def test_cosine_of_opposite_and_orthogonal_vectors():
    x = ops.convert_to_tensor(np.array([[[[1.0, 0.0]]], [[[2.0, 0.0]]]]))
    y = ops.convert_to_tensor(np.array([[[[-3.0, 0.0]]], [[[0.0, 1.0]]]]))
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.mean(cosine_distance(x, y), -1)).ravel(),
        [2.0, 1.0],
        rtol=1e-6,
    )


def test_unit_normalize_keeps_zeros_and_their_gradient_finite():
    x = np.zeros((1, 2, 2, 3), "float32")
    x[0, 0, 0] = [3, 0, 4]
    normalized = ops.convert_to_numpy(unit_normalize(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(normalized[0, 0, 0], [0.6, 0, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(normalized[0, 1], 0)
    (gradient,) = checks.gradients(lambda x: ops.sum(unit_normalize(x)), x)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("kind", FEATURE_DISTANCES)
def test_the_mean_over_channels_is_a_map_of_the_distance(kind, features):
    x, y = map(ops.convert_to_tensor, features)
    found = ops.mean(FEATURE_DISTANCES[kind](x, y), axis=(1, 2, 3))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found),
        ops.convert_to_numpy(feature_distance(kind, x, y)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("kind", FEATURE_DISTANCES)
def test_a_mask_leaves_out_positions(kind, features):
    x, y = features
    mask = np.zeros((2, 3, 4), "float32")
    mask[:, 1:, :2] = 1
    masked = feature_distance(
        kind, *map(ops.convert_to_tensor, (x, y)), ops.convert_to_tensor(mask)
    )
    alone = feature_distance(
        kind, *(ops.convert_to_tensor(a[:, 1:, :2]) for a in (x, y))
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(masked), ops.convert_to_numpy(alone), rtol=1e-5
    )
