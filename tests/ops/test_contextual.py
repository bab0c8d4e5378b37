import checks
import keras
import numpy as np
import pytest
from keras import ops
from reference import contextual as reference
from sampling import rarely

from keras_perceptual.ops.contextual import (
    contextual_distance,
    grid_size,
    sample_features,
)


@pytest.fixture
def pair(rng):
    """Features that have something in common, all of one side."""
    true = rng.uniform(0, 1, (2, 4, 5, 6))
    pred = 0.6 * true[:, ::-1] + 0.4 * rng.uniform(0, 1, true.shape)
    return true.astype("float32"), pred.astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("band_width", [0.1, 0.5, 2.0])
def test_equals_the_numpy_twin(pair, band_width):
    expected = reference.contextual_distance(*pair, band_width)
    found = numpy(contextual_distance(*pair, band_width))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_epsilon_equals_the_numpy_twin(pair):
    expected = reference.contextual_distance(*pair, epsilon=0.1)
    found = numpy(contextual_distance(*pair, epsilon=0.1))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_numbers_of_features_may_differ(pair):
    true, pred = pair
    expected = reference.contextual_distance(true, pred[:, :3, :2])
    found = numpy(contextual_distance(true, pred[:, :3, :2]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_places_are_of_no_account(pair, rng):
    true, pred = pair
    order = rng.permutation(20)
    shuffled = pred.reshape(2, 20, 6)[:, order].reshape(pred.shape)
    np.testing.assert_allclose(
        numpy(contextual_distance(true, shuffled)),
        numpy(contextual_distance(true, pred)),
        rtol=1e-5,
    )


def test_lies_between_its_limits(rng):
    # Features that are all different choose themselves.
    true = rng.normal(size=(1, 4, 5, 32)).astype("float32")
    assert 0 <= float(contextual_distance(true, true)[0]) < 1e-5
    # Where all are alike, each share is one over their number.
    flat = np.ones_like(true)
    np.testing.assert_allclose(
        numpy(contextual_distance(flat, true)), np.log(20), rtol=1e-5
    )
    # As bad as that and no worse: all choose one and the same.
    one = np.broadcast_to(true[:, :1, :1], true.shape).copy()
    np.testing.assert_allclose(
        numpy(contextual_distance(true, one)), np.log(20), rtol=1e-4
    )


@pytest.mark.parametrize("band_width", [0.5, 2.0])
def test_finite_differences(pair, band_width):
    checks.check_finite_differences(
        lambda x, y: ops.sum(contextual_distance(x, y, band_width)),
        *pair,
        step=1e-3,
    )


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4])
def test_nothing_that_is_not_finite(pair, scale):
    true, pred = (scale * x for x in pair)
    zero, flat = np.zeros_like(true), np.full_like(true, 0.3 * scale)
    near = np.nextafter(true, np.float32(2e4))
    for x, y in (
        (true, pred),
        (true, true),
        (true, near),
        (true, -pred),
        (true, zero),
        (zero, true),
        (true, flat),
        (flat, true),
        (zero, zero),
        (flat, flat),
    ):
        value = float(ops.sum(contextual_distance(x, y)))
        (gradient,) = checks.gradients(
            lambda y, x=x: ops.sum(contextual_distance(x, y)), y
        )
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    ("shape", "max_features"),
    [
        ((2, 4, 5, 3), 20),
        ((2, 4, 5, 3), 19),
        ((1, 16, 16, 2), 64),
        ((1, 9, 7, 2), 12),
        ((1, 1, 50, 2), 8),
        ((1, 50, 1, 2), 8),
        ((1, 3, 4, 2), 1),
    ],
    ids=str,
)
def test_sample_features(rng, shape, max_features):
    features = rng.normal(size=shape).astype("float32")
    found = numpy(sample_features(features, max_features))
    expected = reference.sample(features, max_features)
    np.testing.assert_array_equal(found, expected)
    count = found.shape[1] * found.shape[2]
    assert count <= max_features
    if shape[1] * shape[2] <= max_features:
        np.testing.assert_array_equal(found, features)


def test_every_second_row_and_column_of_four_times_as_many(rng):
    features = rng.normal(size=(1, 64, 64, 2)).astype("float32")
    found = numpy(sample_features(features, 1024))
    np.testing.assert_array_equal(found, features[:, 1::2, 1::2])


@pytest.mark.parametrize("size", [(1, 100000), (100000, 1), (2, 1025), (3, 3)])
def test_a_grid_is_never_too_large_nor_empty(size):
    rows, columns = grid_size(*size, 1024)
    assert 1 <= rows <= size[0]
    assert 1 <= columns <= size[1]
    assert rows * columns <= 1024


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("jit_compile", [False, rarely(True)])
def test_unknown_sizes_in_a_tensorflow_graph(rng, jit_compile):
    import tensorflow as tf

    spec = tf.TensorSpec([None, None, None, 6])

    def distance(x, y):
        return contextual_distance(*(sample_features(f, 12) for f in (x, y)))

    # What XLA compiles has sizes that are known.
    traced = tf.function(
        distance,
        input_signature=None if jit_compile else [spec, spec],
        jit_compile=jit_compile,
    )
    for height in (3, 7, 8):
        x, y = rng.uniform(0, 1, (2, 2, height, 5, 6)).astype("float32")
        x, y = tf.constant(x), tf.constant(y)
        np.testing.assert_allclose(traced(x, y), distance(x, y), rtol=1e-4)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("size", [(64, 64), (9, 7), (100000, 1), (1, 100000)])
def test_a_grid_of_unknown_size_is_the_same(size):
    import tensorflow as tf

    found = grid_size(*(tf.constant(n) for n in size), 1024)
    assert tuple(int(n) for n in found) == grid_size(*size, 1024)


@pytest.mark.tensorflow_only
def test_float64(pair):
    pair = [x.astype("float64") for x in pair]
    found = contextual_distance(*pair)
    assert keras.backend.standardize_dtype(found.dtype) == "float64"
    expected = reference.contextual_distance(*pair)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(contextual_distance)


@pytest.mark.parametrize(
    ("size", "most", "expected"),
    [
        ((8, 8), 16, (4, 4)),
        ((4, 16), 16, (2, 8)),
        ((1, 100), 16, (1, 16)),
        ((100, 1), 16, (16, 1)),
        ((2, 100), 7, (1, 7)),
        ((3, 3), 100, (3, 3)),
        ((3, 3), 1, (1, 1)),
    ],
)
def test_a_grid_has_about_the_same_proportions(size, most, expected):
    assert grid_size(*size, most) == expected
