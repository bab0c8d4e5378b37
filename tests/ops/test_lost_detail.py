import checks
import keras
import numpy as np
import pytest
from reference import perceived_distance as reference

from keras_perceptual.ops import lost_detail as ops


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def moments_of(x, y, weights=None):
    arrays = (x, y) if weights is None else (x, y, weights)
    x, y, *rest = (keras.ops.convert_to_tensor(z) for z in arrays)
    return ops.joint_moments(x, y, *(rest or [None]))


def found(x, y, weights=None, forgive_gain=True):
    moments = moments_of(x, y, weights)
    return np.stack(
        [
            numpy(function(moments, forgive_gain))
            for function in (ops.feature_difference, ops.lost_detail)
        ],
        -1,
    )


@pytest.fixture
def features(rng):
    x = rng.gamma(1.0, 2.0, size=(3, 6, 5, 4)).astype("float32")
    x[..., 3] = 0  # A channel that is dead.
    noise = rng.normal(size=x.shape)
    return x, (1.2 * x + noise).astype("float32")


@pytest.mark.parametrize("forgive_gain", [True, False])
def test_agrees_with_the_twin(features, forgive_gain):
    expected = [
        reference.parts(*pair, forgive_gain=forgive_gain)
        for pair in zip(*features, strict=True)
    ]
    np.testing.assert_allclose(
        found(*features, forgive_gain=forgive_gain), expected, rtol=1e-6
    )


def test_weights_of_the_positions(features, rng):
    """What weighs nothing is of no account, and nothing at all costs 0."""
    weights = rng.uniform(size=(3, 6, 5)).astype("float32")
    weights[:, 2] = 0
    weights /= weights.sum((1, 2), keepdims=True)
    expected = [
        reference.parts(*three)
        for three in zip(*features, weights, strict=True)
    ]
    x, y = (z.copy() for z in features)
    y[:, 2] = 1e3
    np.testing.assert_allclose(found(x, y, weights), expected, rtol=1e-5)
    np.testing.assert_array_equal(found(x, y, 0 * weights), 0)


def test_only_contrast_that_is_raised_is_forgiven(features):
    x = features[0]
    around = x.mean((1, 2), keepdims=True)
    raised, lowered = (around + g * (x - around) for g in (1.5, 0.5))
    difference, lost = found(x, raised).T
    np.testing.assert_allclose(difference, 0, atol=1e-3)
    np.testing.assert_allclose(lost, 0, atol=1e-6)
    difference, lost = found(x, lowered).T
    np.testing.assert_allclose(lost, 0.5 * 3 / 4, rtol=1e-3)
    np.testing.assert_allclose(
        difference, (0.25 * x.var((1, 2))).mean(-1), rtol=1e-4
    )
    # And without, both cost the same.
    np.testing.assert_allclose(
        found(x, raised, forgive_gain=False),
        found(x, lowered, forgive_gain=False),
        rtol=1e-4,
    )


def test_equal_features_cost_exactly_nothing(features):
    x = features[1]
    np.testing.assert_array_equal(found(x, x), 0)
    np.testing.assert_array_equal(found(0 * x, 0 * x), 0)


@pytest.mark.parametrize("forgive_gain", [True, False])
def test_gradient_agrees_with_finite_differences(features, forgive_gain):
    x, y = features

    def value(y):
        moments = ops.joint_moments(keras.ops.convert_to_tensor(x), y, None)
        return keras.ops.sum(
            ops.feature_difference(moments, forgive_gain)
            + ops.lost_detail(moments, forgive_gain)
        )

    checks.check_finite_differences(value, y)


def test_parts_of_an_image_make_the_whole(features):
    """In any order, and with a part that has no position."""
    x, y = features
    none = keras.ops.zeros((3, 4))
    state = (keras.ops.zeros(()), ops.Moments(*[none] * 5))
    for rows in (slice(0, 4), slice(4, 6)):
        part = x[:, rows], y[:, rows]
        count = keras.ops.convert_to_tensor(float(part[0][0, ..., 0].size))
        state = ops.merge_joint_moments(state, (count, moments_of(*part)))
    assert float(state[0]) == 30
    for name, value in moments_of(x, y)._asdict().items():
        np.testing.assert_allclose(
            numpy(getattr(state[1], name)),
            numpy(value),
            rtol=1e-5,
            atol=1e-6,
            err_msg=name,
        )


@pytest.mark.parametrize("forgive_gain", [True, False])
def test_maps_average_to_the_values(features, forgive_gain):
    x, y = (keras.ops.convert_to_tensor(z) for z in features)
    moments = ops.joint_moments(x, y, None)
    maps = [
        numpy(function(x, y, moments, forgive_gain)).mean((1, 2))
        for function in (ops.difference_map, ops.lost_detail_map)
    ]
    np.testing.assert_allclose(
        np.stack(maps, -1),
        found(*features, forgive_gain=forgive_gain),
        # The small number in `energy` is not told to places.
        rtol=1e-3,
        atol=1e-6,
    )


def test_shares_of_a_root_add_up_to_it():
    parts = np.float32([0.0, 1e-9, 0.3])
    total = np.float64(parts.sum())
    share = float(ops.root_share(keras.ops.convert_to_tensor(parts.sum())))
    assert (share * parts).sum() == pytest.approx(
        np.sqrt(total + 1e-6) - 1e-3, rel=1e-6
    )
