import checks
import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops.gram import GRAM_NORMALIZATIONS, gram_matrix


def test_equals_the_formula(rng):
    x = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    expected = np.einsum("bijc,bijd->bcd", x, x) / (3 * 5 * 4)
    np.testing.assert_allclose(
        ops.convert_to_numpy(gram_matrix(ops.convert_to_tensor(x))),
        expected,
        rtol=1e-5,
        atol=1e-6,
    )


def test_gradient(rng):
    x = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    weights = ops.convert_to_tensor(
        rng.normal(size=(2, 4, 4)).astype("float32")
    )
    checks.check_finite_differences(
        lambda x: ops.sum(gram_matrix(x) * weights), x, step=1e-3
    )


def to_numpy(x):
    return ops.convert_to_numpy(x)


def test_normalizations_are_factors_of_each_other(rng):
    x = ops.convert_to_tensor(rng.normal(size=(2, 3, 5, 4)).astype("float32"))
    chw = to_numpy(gram_matrix(x, "chw"))
    np.testing.assert_allclose(
        to_numpy(gram_matrix(x, "hw")), 4 * chw, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        to_numpy(gram_matrix(x, "none")), 60 * chw, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("normalization", GRAM_NORMALIZATIONS)
def test_a_mask_leaves_out_positions(normalization, rng):
    x = rng.normal(size=(2, 4, 6, 3)).astype("float32")
    mask = np.zeros((2, 4, 6), "float32")
    mask[:, :2, 3:] = 1
    masked = gram_matrix(
        ops.convert_to_tensor(x), normalization, ops.convert_to_tensor(mask)
    )
    alone = gram_matrix(ops.convert_to_tensor(x[:, :2, 3:]), normalization)
    np.testing.assert_allclose(
        to_numpy(masked), to_numpy(alone), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("normalization", GRAM_NORMALIZATIONS)
def test_an_empty_mask_gives_zeros_and_no_gradient(normalization, rng):
    x = rng.normal(size=(1, 4, 6, 3)).astype("float32")
    mask = ops.zeros((1, 8, 12))
    np.testing.assert_array_equal(
        to_numpy(gram_matrix(ops.convert_to_tensor(x), normalization, mask)), 0
    )
    (found,) = checks.gradients(
        lambda x: ops.sum(gram_matrix(x, normalization, mask)), x
    )
    np.testing.assert_array_equal(found, 0)


@pytest.mark.tensorflow_only
def test_size_may_be_unknown():
    import tensorflow as tf

    traced = tf.function(
        gram_matrix,
        input_signature=[tf.TensorSpec((None, None, None, 4), "float32")],
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    np.testing.assert_allclose(traced(x), gram_matrix(tf.constant(x)))
