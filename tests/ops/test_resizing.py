import keras
import numpy as np
import pytest
from checks import check_finite_differences

from keras_perceptual.ops.resizing import resize_maps, shrink_shorter_side


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def interpolate(image, side):
    """Bilinear interpolation at each center, a pixel at a time."""
    height, width = image.shape[:2]
    step = min(height, width) / side
    found = np.empty((int(height / step), int(width / step), image.shape[2]))
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            y, x = (max((i + 0.5) * step - 0.5, 0) for i in (row, column))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (
                x - left
            )
            lower = image[bottom, left] * (1 - (x - left)) + image[
                bottom, right
            ] * (x - left)
            found[row, column] = upper * (1 - (y - top)) + lower * (y - top)
    return found


@pytest.mark.parametrize("size", [(12, 19), (23, 9), (16, 16), (9, 100)])
def test_interpolates_between_the_nearest_pixels(size, rng):
    images = rng.uniform(size=(2, *size, 3)).astype("float32")
    found = numpy(shrink_shorter_side(images, 8))
    expected = np.stack([interpolate(image, 8) for image in images])
    assert min(found.shape[1:3]) == 8
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 20), (7, 7), (30, 8)])
def test_small_images_stay_as_they_are(size, rng):
    images = rng.uniform(size=(1, *size, 3)).astype("float32")
    np.testing.assert_array_equal(numpy(shrink_shorter_side(images, 8)), images)


def test_gradients(rng):
    images = rng.uniform(size=(1, 9, 11, 2)).astype("float32")
    check_finite_differences(
        lambda x: keras.ops.sum(keras.ops.square(shrink_shorter_side(x, 4))),
        images,
    )


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("size", [(12, 19), (23, 9), (6, 7)])
def test_sizes_that_are_not_known_while_tracing(size, rng):
    import tensorflow as tf

    images = rng.uniform(size=(1, *size, 3)).astype("float32")
    traced = tf.function(
        lambda x: shrink_shorter_side(x, 8),
        input_signature=[tf.TensorSpec((None, None, None, 3))],
    )
    np.testing.assert_allclose(
        traced(images), numpy(shrink_shorter_side(images, 8)), atol=1e-6
    )


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("size", [(12, 19), (3, 4), (5, 7)])
def test_maps_of_a_size_that_is_not_known_while_tracing(size, rng):
    """By an own resizing, which agrees with that of Keras."""
    import tensorflow as tf

    maps = rng.uniform(size=(2, 5, 7)).astype("float32")
    found = tf.function(
        lambda x, like: resize_maps(x, *tf.unstack(tf.shape(like))),
        input_signature=[
            tf.TensorSpec((None, None, None)),
            tf.TensorSpec((None, None)),
        ],
    )(maps, np.zeros(size, "float32"))
    np.testing.assert_allclose(
        found, numpy(resize_maps(maps, *size)), atol=1e-6
    )
