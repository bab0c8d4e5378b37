import checks
import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops.gram import gram_matrix


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


@pytest.mark.tensorflow_only
def test_size_may_be_unknown():
    import tensorflow as tf

    traced = tf.function(
        gram_matrix,
        input_signature=[tf.TensorSpec((None, None, None, 4), "float32")],
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    np.testing.assert_allclose(traced(x), gram_matrix(tf.constant(x)))
