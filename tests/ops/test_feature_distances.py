import checks
import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops.feature_distances import (
    FEATURE_DISTANCES,
    cosine_distance,
    mean_per_image,
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
    value = FEATURE_DISTANCES[kind](*map(ops.convert_to_tensor, features))
    expected = TWINS[kind](x.astype("float64"), y.astype("float64"))
    np.testing.assert_allclose(ops.convert_to_numpy(value), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", FEATURE_DISTANCES)
def test_gradient(kind, features):
    distance = FEATURE_DISTANCES[kind]
    checks.check_finite_differences(
        lambda x, y: ops.sum(distance(x, y)), *features, step=1e-3
    )


@pytest.mark.parametrize("kind", FEATURE_DISTANCES)
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_equal_features_are_no_distance_apart(kind, fill):
    distance = FEATURE_DISTANCES[kind]
    x = np.full((1, 2, 2, 3), fill, "float32")
    gradient, _ = checks.gradients(
        lambda x, y: ops.sum(distance(x, y)), x, x.copy()
    )
    assert float(distance(*map(ops.convert_to_tensor, (x, x)))[0]) == 0.0
    np.testing.assert_array_equal(gradient, 0)


def test_cosine_of_opposite_and_orthogonal_vectors():
    x = ops.convert_to_tensor(np.array([[[[1.0, 0.0]]], [[[2.0, 0.0]]]]))
    y = ops.convert_to_tensor(np.array([[[[-3.0, 0.0]]], [[[0.0, 1.0]]]]))
    np.testing.assert_allclose(
        ops.convert_to_numpy(cosine_distance(x, y)), [2.0, 1.0], rtol=1e-6
    )


def test_unit_normalize_keeps_zeros_and_their_gradient_finite():
    x = np.zeros((1, 2, 2, 3), "float32")
    x[0, 0, 0] = [3, 0, 4]
    normalized = ops.convert_to_numpy(unit_normalize(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(normalized[0, 0, 0], [0.6, 0, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(normalized[0, 1], 0)
    (gradient,) = checks.gradients(lambda x: ops.sum(unit_normalize(x)), x)
    assert np.all(np.isfinite(gradient))


def test_mean_per_image_takes_any_rank():
    x = np.arange(12, dtype="float32").reshape(2, 6)
    np.testing.assert_allclose(
        ops.convert_to_numpy(mean_per_image(ops.convert_to_tensor(x))),
        [2.5, 8.5],
    )
