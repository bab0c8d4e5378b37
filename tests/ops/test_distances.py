import checks
import keras
import numpy as np
import pytest
from checks import check_finite_differences, compiled_gradient
from keras import ops

from keras_perceptual.ops.distances import (
    FEATURE_DISTANCES,
    absolute,
    charbonnier_penalty,
    cosine_distance,
    feature_distance,
    lost_and_added,
    lpips_distance,
    lpips_map,
    map_values,
    mean_over_positions,
    mean_per_image,
    normalize_mask,
    position_weights,
    power_penalty,
    resize_mask,
    unit_normalize,
)

PENALTY_TWINS = {
    absolute: np.abs,
    charbonnier_penalty: lambda x: np.sqrt(x * x + 1e-6) - 1e-3,
}


@pytest.mark.parametrize("penalty", [absolute, charbonnier_penalty])
def test_value_and_gradient(penalty, rng):
    x = rng.normal(size=(4, 5)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(penalty(ops.convert_to_tensor(x))),
        PENALTY_TWINS[penalty](x),
        rtol=1e-4,
        atol=1e-6,
    )
    checks.check_finite_differences(lambda x: ops.sum(penalty(x)), x, step=1e-3)


@pytest.mark.parametrize("penalty", [absolute, charbonnier_penalty])
def test_gradient_at_zero_is_zero(penalty):
    (gradient,) = checks.gradients(
        lambda x: ops.sum(penalty(x)), np.zeros(3, "float32")
    )
    np.testing.assert_array_equal(gradient, 0)


def test_charbonnier_of_a_small_difference_does_not_cancel():
    x = ops.convert_to_tensor(np.full(1, 1e-6, "float32"))
    value = float(charbonnier_penalty(x)[0])
    np.testing.assert_allclose(value, 0.5e-9, rtol=1e-3)


def test_charbonnier_grows_like_the_absolute_value():
    x = ops.convert_to_tensor(np.full(1, 1e4, "float32"))
    value = float(charbonnier_penalty(x, epsilon=0.5)[0])
    np.testing.assert_allclose(value, 1e4 - 0.5, rtol=1e-6)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0, 3.0])
def test_power_penalty(exponent):
    x = np.float32([-2.0, 0.0, 0.5])
    found = power_penalty(ops.convert_to_tensor(x), exponent)
    found = ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, np.abs(x) ** exponent, rtol=1e-6)
    (gradient,) = checks.gradients(
        lambda x: ops.sum(power_penalty(x, exponent)), x
    )
    expected = exponent * np.abs(x) ** (exponent - 1) * np.sign(x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_average_and_weighted_average(rng):
    x = rng.normal(size=(2, 5, 7, 3)).astype("float32")
    weights = rng.uniform(size=(2, 5, 7)).astype("float32")
    weights /= weights.sum((1, 2), keepdims=True)
    tensors = [keras.ops.convert_to_tensor(z) for z in (x, weights)]
    np.testing.assert_allclose(
        numpy(mean_over_positions(tensors[0])), x.mean((1, 2)), atol=1e-6
    )
    np.testing.assert_allclose(
        numpy(mean_over_positions(*tensors)),
        np.einsum("brcf,brc->bf", x.astype("float64"), weights),
        atol=1e-6,
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_keeps_its_digits_on_large_images(weighted, rng):
    x = rng.gamma(1.0, 2.0, size=(1, 2048, 2048, 3)).astype("float32")
    weights = ()
    if weighted:
        weights = (keras.ops.full((1, 2048, 2048), 2.0**-22),)
    np.testing.assert_allclose(
        numpy(mean_over_positions(keras.ops.convert_to_tensor(x), *weights)),
        x.mean((1, 2), dtype="float64"),
        rtol=3e-6,
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_a_compiler_makes_no_long_sum_of_short_ones(weighted, rng):
    """XLA adds up in one go what two sums after each other add up."""
    x = rng.gamma(1.0, 2.0, size=(2, 2048, 2048)).astype("float32")

    def average(mask, x):
        return keras.ops.sum(mean_per_image(x, mask if weighted else None))

    mean, _ = compiled_gradient(average, xla=True)(x, x[..., None])
    exact = x.astype("float64")
    shares = exact if weighted else np.ones_like(exact)
    expected = 2 * np.mean((exact * shares).sum((1, 2)) / shares.sum((1, 2)))
    np.testing.assert_allclose(mean, expected, rtol=3e-6)


def to_numpy(x):
    return ops.convert_to_numpy(x)


def area_means(mask, height, width):
    """Means over areas, by repeating pixels until all sizes divide."""
    rows, columns = mask.shape[1:]
    fine = mask.repeat(height, 1).repeat(width, 2)
    fine = fine.reshape(len(mask), height, rows, width, columns)
    return fine.mean((2, 4))


def test_position_weights_are_a_resized_mask_of_sum_one(rng):
    mask = rng.uniform(size=(2, 6, 4)).astype("float32")
    mask[1] = 0
    weights = to_numpy(position_weights(mask, np.zeros((2, 3, 8, 5))))
    expected = area_means(mask[:1], 3, 8)
    np.testing.assert_allclose(
        weights[:1], expected / expected.sum(), rtol=1e-5
    )
    assert not weights[1].any()
    assert position_weights(None, np.zeros((2, 3, 8, 5))) is None


def test_mean_per_image_takes_any_rank():
    x = np.arange(12, dtype="float32").reshape(2, 6)
    np.testing.assert_allclose(
        to_numpy(mean_per_image(ops.convert_to_tensor(x))), [2.5, 8.5]
    )


@pytest.mark.parametrize("size", [(8, 6), (4, 3), (3, 2), (5, 5), (16, 7)])
def test_resize_takes_the_mean_of_each_area(size, rng):
    mask = rng.uniform(size=(2, 8, 6)).astype("float32")
    np.testing.assert_allclose(
        to_numpy(resize_mask(ops.convert_to_tensor(mask), *size)),
        area_means(mask, *size),
        rtol=1e-5,
    )


@pytest.mark.parametrize("size", [3, 7, 15, 31, 63, 64])
def test_what_no_part_of_is_weighted_gets_exactly_nothing(size):
    mask = np.zeros((1, 255, 255), "float32")
    mask[:, 100:120, 10:20] = 1
    resized = to_numpy(resize_mask(ops.convert_to_tensor(mask), size, size))
    expected = area_means(mask, size, size)
    np.testing.assert_array_equal(resized == 0, expected == 0)


def test_the_mean_is_over_what_is_weighted(rng):
    x = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    mask = np.zeros((2, 4, 4), "float32")
    mask[0, :2] = 0.5
    mask[1, 1, 1] = 2.0
    found = mean_per_image(*map(ops.convert_to_tensor, (x, mask)))
    np.testing.assert_allclose(
        to_numpy(found), [x[0, :2].mean(), x[1, 1, 1].mean()], rtol=1e-5
    )


def test_an_empty_mask_means_nothing(rng):
    x = rng.normal(size=(1, 4, 4, 3)).astype("float32")
    mask = np.zeros((1, 8, 8), "float32")
    (found,) = checks.gradients(
        lambda x: ops.sum(mean_per_image(x, ops.convert_to_tensor(mask))), x
    )
    np.testing.assert_array_equal(found, 0)
    np.testing.assert_array_equal(
        to_numpy(normalize_mask(ops.convert_to_tensor(mask))), 0
    )


@pytest.mark.tensorflow_only
def test_sizes_may_be_unknown():
    import tensorflow as tf

    traced = tf.function(
        mean_per_image,
        input_signature=[
            tf.TensorSpec((None, None, None, 3), "float32"),
            tf.TensorSpec((None, None, None), "float32"),
        ],
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 4, 3)).astype("float32")
    mask = rng.uniform(size=(2, 9, 8)).astype("float32")
    np.testing.assert_allclose(
        traced(x, mask), mean_per_image(*map(tf.constant, (x, mask))), rtol=1e-6
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
    "lost": lambda x, y: (np.maximum(x - y, 0) ** 2).mean((1, 2, 3)),
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


def test_what_is_lost_and_what_is_added_make_the_squared_difference(features):
    x, y = map(ops.convert_to_tensor, features)
    lost, added = lost_and_added(x, y), lost_and_added(y, x)
    for weight in (0.0, 0.25, 1.0):
        np.testing.assert_allclose(
            ops.convert_to_numpy(lost_and_added(x, y, weight)),
            ops.convert_to_numpy(lost + weight * added),
            rtol=1e-6,
        )
    np.testing.assert_allclose(
        ops.convert_to_numpy(lost + added),
        (features[0] - features[1]) ** 2,
        rtol=1e-6,
    )


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


def pair_of_features(rng):
    return [rng.normal(size=(2, 3, 4, 5)).astype("float32") for _ in range(2)]


def unit(x):
    return unit_normalize(keras.ops.convert_to_tensor(x))


def test_weighs_the_squared_differences_of_the_channels(rng):
    x, y = pair_of_features(rng)
    head = rng.uniform(size=5).astype("float32")
    expected = np.einsum("brcf,f->brc", (x.astype("float64") - y) ** 2, head)
    np.testing.assert_allclose(
        numpy(lpips_map(x, y, head)), expected, rtol=1e-5
    )


def test_lpips_distance_is_the_mean_of_the_map(rng):
    x, y = pair_of_features(rng)
    head = rng.uniform(size=5).astype("float32")
    weights = rng.uniform(size=(2, 3, 4)).astype("float32")
    weights /= weights.sum((1, 2), keepdims=True)
    for arguments in [(), (head,)]:
        found = numpy(lpips_map(x, y, *arguments))
        np.testing.assert_allclose(
            numpy(lpips_distance(x, y, *arguments)),
            found.mean((1, 2)),
            rtol=1e-5,
        )
        head_or_none = arguments[0] if arguments else None
        np.testing.assert_allclose(
            numpy(lpips_distance(x, y, head_or_none, weights)),
            (weights * found).sum((1, 2)),
            rtol=1e-5,
        )


def test_without_a_head_it_is_two_minus_twice_the_cosine(rng):
    x, y = pair_of_features(rng)
    cosine = np.sum(x * y, -1) / (
        np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    )
    np.testing.assert_allclose(
        numpy(lpips_map(unit(x), unit(y))),
        2 - 2 * cosine,
        rtol=1e-4,
    )


def test_gradients_of_lpips(rng):
    x, y = pair_of_features(rng)
    head = rng.uniform(size=5).astype("float32")
    check_finite_differences(
        lambda y: keras.ops.sum(lpips_map(unit(x), unit(y), head)),
        y,
    )


def test_what_dictionaries_have_under_each_name():
    found = map_values(lambda x, y: x - y, {"b": 3, "a": 5}, {"a": 1, "b": 2})
    assert list(found.items()) == [("b", 1), ("a", 4)]
