import keras
import numpy as np
import pytest
from reference import image_gradients as reference

from keras_perceptual import ops

OPERATORS = ("sobel", "scharr", "prewitt", "central", "forward")


def to_numpy(tensors):
    return np.stack([keras.ops.convert_to_numpy(x) for x in tensors], -1)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 1, (2, 7, 9, 3)).astype("float32")


def ramp(height=6, width=7, slope=0.5):
    """An image that rises by `slope` a pixel, to the right only."""
    row = slope * np.arange(width, dtype="float32")
    return np.tile(row, (height, 1))[None, :, :, None]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("shape", [(2, 7, 9, 3), (1, 2, 2, 1), (3, 2, 5, 4)])
def test_equals_tensorflow_sobel_edges_border_included(rng, shape):
    import tensorflow as tf

    images = rng.uniform(-1, 1, shape).astype("float32")
    expected = tf.image.sobel_edges(tf.constant(images)).numpy()
    found = to_numpy(ops.spatial_gradients(images))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    # The twin that stands in for TensorFlow on the other backends.
    np.testing.assert_allclose(reference.slopes(images), expected, atol=2e-6)


@pytest.mark.tensorflow_only
def test_forward_differences_equal_tensorflow_image_gradients(images):
    import tensorflow as tf

    expected = np.stack(tf.image.image_gradients(tf.constant(images)), axis=-1)
    found = ops.spatial_gradients(images, "forward", padding="edge")
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-6)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("padding", ["reflect", "edge", "valid"])
@pytest.mark.parametrize("normalize", [False, True])
def test_equals_the_numpy_twin(images, operator, padding, normalize):
    found = ops.spatial_gradients(
        images, operator, padding=padding, normalize=normalize
    )
    expected = reference.slopes(images, operator, padding, normalize)
    assert to_numpy(found).shape == expected.shape
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-5)


@pytest.mark.parametrize("operator", OPERATORS)
def test_normalized_slope_of_a_ramp_is_its_slope(operator):
    dy, dx = ops.spatial_gradients(
        ramp(slope=0.5), operator, normalize=True, padding="valid"
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(dx), 0.5, rtol=1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(dy), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "padding", "size"),
    [
        ("sobel", "valid", (5, 4)),
        ("forward", "valid", (6, 5)),
        ("forward", "reflect", (7, 6)),
        ("central", "edge", (7, 6)),
    ],
)
def test_shape(operator, padding, size):
    for component in ops.spatial_gradients(
        np.ones((2, 7, 6, 5), "float32"), operator, padding=padding
    ):
        assert tuple(component.shape) == (2, *size, 5)


def test_channels_first_is_channels_last_moved(images):
    last = to_numpy(ops.spatial_gradients(images, "scharr"))
    first = to_numpy(
        ops.spatial_gradients(
            np.moveaxis(images, -1, 1), "scharr", data_format="channels_first"
        )
    )
    np.testing.assert_allclose(np.moveaxis(first, 1, 3), last, atol=1e-6)


def test_data_format_follows_the_configuration(images):
    keras.config.set_image_data_format("channels_first")
    dy, _ = ops.spatial_gradients(images, padding="valid")
    assert tuple(dy.shape) == (2, 7, 7, 1)


def test_integers_do_not_wrap_around():
    image = np.array([[200, 0], [0, 200]], "uint8")[None, :, :, None]
    dy, _ = ops.spatial_gradients(image, "forward", padding="edge")
    assert keras.backend.standardize_dtype(dy.dtype) == "float32"
    found = keras.ops.convert_to_numpy(dy)[0, :, :, 0]
    np.testing.assert_array_equal(found, [[-200, 200], [0, 0]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_keeps_the_type_of_floating_point_images(dtype):
    image = keras.ops.cast(ramp(), dtype)
    for component in ops.spatial_gradients(image, normalize=True):
        assert keras.backend.standardize_dtype(component.dtype) == dtype


def test_magnitude():
    dy, dx = np.float32([[3.0, 0.0]]), np.float32([[4.0, 0.0]])
    exact = keras.ops.convert_to_numpy(ops.gradient_magnitude(dy, dx))
    np.testing.assert_allclose(exact, [[5.0, 0.0]], rtol=1e-6)
    rounded = keras.ops.convert_to_numpy(ops.gradient_magnitude(dy, dx, 0.1))
    np.testing.assert_allclose(rounded, [[np.sqrt(25 + 0.01), 0.1]], rtol=1e-6)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_halve_images(images, data_format):
    expected = reference.halve(images)
    assert expected.shape == (2, 3, 4, 3)
    if data_format == "channels_first":
        images = np.moveaxis(images, -1, 1)
        expected = np.moveaxis(expected, -1, 1)
    found = ops.halve_images(images, data_format)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), expected, atol=1e-6
    )


def test_unknown_names_are_refused(images):
    with pytest.raises(ValueError, match=r"Did you mean 'sobel'\?.*Received"):
        ops.spatial_gradients(images, "soble")
    with pytest.raises(ValueError, match=r"`padding`.*padding='same'"):
        ops.spatial_gradients(images, padding="same")
    with pytest.raises(ValueError, match=r"spatial_gradients.*`data_format`"):
        ops.spatial_gradients(images, data_format="last")


@pytest.mark.parametrize(
    ("shape", "operator", "padding", "needed"),
    [
        ((1, 1, 5, 3), "sobel", "reflect", 2),
        ((1, 5, 1, 3), "forward", "reflect", 2),
        ((1, 2, 5, 3), "sobel", "valid", 3),
        ((1, 5, 1, 3), "forward", "valid", 2),
    ],
)
def test_small_images_are_refused(shape, operator, padding, needed):
    with pytest.raises(
        ValueError,
        match=rf"at least {needed} pixels.*Received: images of shape",
    ):
        ops.spatial_gradients(
            np.ones(shape, "float32"), operator, padding=padding
        )


def test_one_pixel_with_its_edge_repeated_is_flat():
    found = ops.spatial_gradients(
        np.ones((1, 1, 1, 1), "float32"), padding="edge"
    )
    np.testing.assert_array_equal(to_numpy(found), 0)


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match=r"expand_dims.*shape \(4, 4, 3\)"):
        ops.spatial_gradients(np.ones((4, 4, 3), "float32"))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("padding", ["reflect", "edge", "valid"])
def test_unknown_sizes_in_a_tensorflow_graph(images, padding):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None] * 3 + [3])])
    def traced(x):
        dy, dx = ops.spatial_gradients(ops.halve_images(x), padding=padding)
        return tf.stack([dy, dx], axis=-1)

    expected = reference.slopes(reference.halve(images), padding=padding)
    np.testing.assert_allclose(traced(images), expected, atol=1e-5)
    wide = np.tile(images, (1, 1, 2, 1))
    expected = reference.slopes(reference.halve(wide), padding=padding)
    np.testing.assert_allclose(traced(wide), expected, atol=1e-5)
