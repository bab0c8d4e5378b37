import keras
import numpy as np
import pytest
from checks import check_finite_differences, gradients
from reference import dists as reference

from keras_perceptual.ops.dists import (
    channel_moments,
    dists_distance,
    merge_moments,
    pair_moments,
)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def distance(x, y, alpha, beta, weights=None):
    x, y = (keras.ops.convert_to_tensor(z) for z in (x, y))
    if weights is not None:
        weights = keras.ops.convert_to_tensor(weights)
    return dists_distance(*pair_moments(x, y, weights), alpha, beta)


@pytest.fixture
def features(rng):
    x = rng.gamma(1.0, 2.0, size=(3, 6, 5, 4)).astype("float32")
    return x, (x + rng.normal(size=x.shape)).astype("float32")


@pytest.fixture
def heads(rng):
    return rng.dirichlet(np.ones(8)).astype("float32").reshape(2, 4)


def test_is_one_minus_the_published_similarity(features, heads):
    np.testing.assert_allclose(
        numpy(distance(*features, *heads)),
        1 - reference.similarity(*features, *heads),
        rtol=1e-5,
    )


def test_weights_of_the_positions(features, heads, rng):
    weights = rng.uniform(size=(3, 6, 5)).astype("float32")
    weights[:, 2] = 0
    weights /= weights.sum((1, 2), keepdims=True)
    found = distance(*features, *heads, weights)
    np.testing.assert_allclose(
        numpy(found),
        1 - reference.similarity(*features, *heads, weights),
        rtol=1e-5,
    )
    x, y = (z.copy() for z in features)
    x[:, 2] = 1e3  # Where the weight is zero.
    np.testing.assert_array_equal(
        numpy(distance(x, y, *heads, weights)), numpy(found)
    )


def test_equal_features_have_no_distance_however_large(rng, heads):
    x = (1e4 + rng.normal(size=(2, 8, 8, 4))).astype("float32")
    np.testing.assert_array_equal(numpy(distance(x, x, *heads)), 0)
    (gradient,) = gradients(lambda y: keras.ops.sum(distance(x, y, *heads)), x)
    np.testing.assert_array_equal(gradient, 0)


def test_small_variance_on_a_large_mean(rng, heads):
    """E[xy] - E[x] E[y] in float32 would be off by more than the variance."""
    x = (100 + 0.01 * rng.normal(size=(2, 32, 32, 4))).astype("float32")
    y = (100 + 0.01 * rng.normal(size=(2, 32, 32, 4))).astype("float32")
    np.testing.assert_allclose(
        numpy(distance(x, y, *heads)),
        1 - reference.similarity(x, y, *heads),
        rtol=1e-3,
    )


def test_symmetric(features, heads):
    x, y = features
    np.testing.assert_allclose(
        numpy(distance(x, y, *heads)), numpy(distance(y, x, *heads)), rtol=1e-6
    )


@pytest.mark.parametrize("index", [0, 1])
def test_gradients(index, features, heads):
    x = features[0][:1]
    single = np.zeros_like(heads)
    single[index] = 1
    check_finite_differences(
        lambda y: keras.ops.sum(distance(x, y, *single)), features[1][:1]
    )


def test_moments_of_parts_are_those_of_the_whole(rng):
    values = (50 + rng.normal(size=(2, 9, 7, 3))).astype("float32")
    x = keras.ops.convert_to_tensor(values)
    found = (0, keras.ops.zeros((2, 3)), keras.ops.zeros((2, 3)))
    for part in (x[:, :4], x[:, 4:8, :1], x[:, 8:], x[:, 4:8, 1:]):
        count = float(part.shape[1] * part.shape[2])
        found = merge_moments(found, (count, *channel_moments(part)))
    assert found[0] == 63
    mean, variance = channel_moments(x)
    np.testing.assert_allclose(numpy(found[1]), numpy(mean), rtol=1e-6)
    np.testing.assert_allclose(numpy(found[2]), numpy(variance), rtol=1e-5)
    np.testing.assert_allclose(
        numpy(variance), values.astype("float64").var((1, 2)), rtol=1e-5
    )


def test_nothing_that_is_weighted_has_no_moments():
    x = keras.random.normal((1, 4, 4, 2))
    mean, variance = channel_moments(x, keras.ops.zeros((1, 4, 4)))
    assert not numpy(mean).any()
    assert not numpy(variance).any()
