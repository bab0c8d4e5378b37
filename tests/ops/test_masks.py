import checks
import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops.masks import (
    mean_per_image,
    normalize_mask,
    position_weights,
    resize_mask,
)


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
