import checks
import keras
import numpy as np
import pytest
from reference import image_gradients as reference

from keras_perceptual import ops
from keras_perceptual.ops.image_gradients import (
    along,
    crop,
    gradient_magnitude,
    normal_distance,
    pad_axes,
    spatial_axes,
)

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
    found = to_numpy(ops.image_gradients(images))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    # The twin that stands in for TensorFlow on the other backends.
    np.testing.assert_allclose(reference.slopes(images), expected, atol=2e-6)


@pytest.mark.tensorflow_only
def test_forward_differences_equal_tensorflow_image_gradients(images):
    import tensorflow as tf

    expected = np.stack(tf.image.image_gradients(tf.constant(images)), axis=-1)
    found = ops.image_gradients(images, "forward", padding="replicate")
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-6)


@pytest.mark.parametrize("operator", ["sobel", "scharr", "prewitt"])
def test_equals_scikit_image(images, operator):
    """Whose mode "reflect" repeats the edge, and whose ramp of 1 has 2."""
    found = ops.image_gradients(
        images, operator, normalize=True, padding="replicate"
    )
    filters = pytest.importorskip("skimage.filters")
    for component, axis in zip(found, "hv", strict=True):
        run = getattr(filters, f"{operator}_{axis}")
        expected = [
            [run(channel) / 2 for channel in np.moveaxis(image, -1, 0)]
            for image in images.astype("float64")
        ]
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(component),
            np.moveaxis(expected, 1, -1),
            atol=1e-6,
        )


def test_laplacian_equals_scikit_image(images):
    filters = pytest.importorskip("skimage.filters")
    found = ops.laplacian(images, padding="replicate")
    expected = [
        [-filters.laplace(channel) for channel in np.moveaxis(image, -1, 0)]
        for image in images.astype("float64")
    ]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found),
        np.moveaxis(expected, 1, -1),
        atol=1e-6,
    )


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("padding", ["reflect", "replicate", "valid"])
@pytest.mark.parametrize("normalize", [False, True])
def test_equals_the_numpy_twin(images, operator, padding, normalize):
    found = ops.image_gradients(
        images, operator, padding=padding, normalize=normalize
    )
    expected = reference.slopes(images, operator, padding, normalize)
    assert to_numpy(found).shape == expected.shape
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-5)


@pytest.mark.parametrize("operator", OPERATORS)
def test_normalized_slope_of_a_ramp_is_its_slope(operator):
    dy, dx = ops.image_gradients(
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
        ("central", "replicate", (7, 6)),
    ],
)
def test_shape(operator, padding, size):
    for component in ops.image_gradients(
        np.ones((2, 7, 6, 5), "float32"), operator, padding=padding
    ):
        assert tuple(component.shape) == (2, *size, 5)


def test_channels_first_is_channels_last_moved(images):
    last = to_numpy(ops.image_gradients(images, "scharr"))
    first = to_numpy(
        ops.image_gradients(
            np.moveaxis(images, -1, 1), "scharr", data_format="channels_first"
        )
    )
    np.testing.assert_allclose(np.moveaxis(first, 1, 3), last, atol=1e-6)


def test_data_format_follows_the_configuration(images):
    keras.config.set_image_data_format("channels_first")
    dy, _ = ops.image_gradients(images, padding="valid")
    assert tuple(dy.shape) == (2, 7, 7, 1)


def test_integers_do_not_wrap_around():
    image = np.array([[200, 0], [0, 200]], "uint8")[None, :, :, None]
    dy, _ = ops.image_gradients(image, "forward", padding="replicate")
    assert keras.backend.standardize_dtype(dy.dtype) == "float32"
    found = keras.ops.convert_to_numpy(dy)[0, :, :, 0]
    np.testing.assert_array_equal(found, [[-200, 200], [0, 0]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_keeps_the_type_of_floating_point_images(dtype):
    image = keras.ops.cast(ramp(), dtype)
    for component in ops.image_gradients(image, normalize=True):
        assert keras.backend.standardize_dtype(component.dtype) == dtype


@pytest.mark.parametrize("padding", ["reflect", "replicate", "valid"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_laplacian_equals_the_numpy_twin(images, padding, data_format):
    expected = reference.slopes(images, "laplacian", padding)[..., 0]
    if data_format == "channels_first":
        images = np.moveaxis(images, -1, 1)
        expected = np.moveaxis(expected, -1, 1)
    found = ops.laplacian(images, padding=padding, data_format=data_format)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), expected, atol=1e-6
    )


def test_laplacian_of_a_parabola_is_its_second_derivative():
    x = np.arange(6, dtype="float32")
    surface = (x[:, None] ** 2 + 3 * x**2)[None, :, :, None]
    found = ops.laplacian(surface, padding="valid")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), 8)


@pytest.mark.parametrize("padding", ["reflect", "replicate", "valid"])
@pytest.mark.parametrize("operator", [*OPERATORS, "laplacian"])
def test_transposes_are_transposes(rng, operator, padding):
    """`<A x, y> = <x, A* y>`, in float64 where there is one."""
    x = rng.uniform(-1, 1, (1, 5, 6, 2)).astype("float32")

    def apply(x):
        if operator == "laplacian":
            return (ops.laplacian(x, padding=padding),)
        return ops.image_gradients(x, operator, padding=padding)

    y = [
        rng.uniform(-1, 1, tuple(component.shape)).astype("float32")
        for component in apply(x)
    ]

    def product(x):
        return sum(
            keras.ops.sum(keras.ops.multiply(a, b))
            for a, b in zip(apply(x), y, strict=True)
        )

    (found,) = checks.gradients(product, x)
    basis = np.eye(x.size).reshape(-1, *x.shape[1:])
    columns = reference.slopes(basis, operator, padding)
    expected = np.einsum("nhwck,hwck->n", columns, np.stack(y, -1)[0])
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-5)


def test_normals():
    rng = np.random.default_rng(0)
    slopes = rng.normal(0, 3, (2, 2, 50))
    normals = np.stack([-slopes[:, 1], -slopes[:, 0], np.ones((2, 50))])
    cosine = np.prod(normals, axis=1).sum(0) / np.prod(
        np.linalg.norm(normals, axis=0), axis=0
    )
    found = normal_distance(*slopes.astype("float32"))
    found = keras.ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, 1 - cosine, rtol=1e-5)


def test_normals_keep_their_digits_where_they_are_almost_equal():
    flat = np.zeros(1, "float32")
    near = np.float32([1e-5])
    found = normal_distance((flat, flat), (flat, near))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), 0.5e-10, rtol=1e-6
    )


def test_opposite_cliffs_face_away_from_each_other():
    cliff = np.float32([1e6])

    def distance(x):
        other = keras.ops.convert_to_tensor(-cliff)
        level = keras.ops.zeros_like(other)
        return keras.ops.sum(normal_distance((level, x), (level, other)))

    assert 1.9 < float(distance(keras.ops.convert_to_tensor(cliff))) <= 2
    (gradient,) = checks.gradients(distance, cliff)
    assert np.all(np.isfinite(gradient))


def test_magnitude():
    dy, dx = np.float32([[3.0, 0.0]]), np.float32([[4.0, 0.0]])
    exact = keras.ops.convert_to_numpy(ops.gradient_magnitude(dy, dx))
    np.testing.assert_allclose(exact, [[5.0, 0.0]], rtol=1e-6)
    rounded = keras.ops.convert_to_numpy(ops.gradient_magnitude(dy, dx, 0.1))
    np.testing.assert_allclose(rounded, [[np.sqrt(25 + 0.01), 0.1]], rtol=1e-6)


def test_unknown_names_are_refused(images):
    with pytest.raises(ValueError, match=r"Did you mean 'sobel'\?.*Received"):
        ops.image_gradients(images, "soble")
    with pytest.raises(ValueError, match=r"`padding`.*padding='same'"):
        ops.image_gradients(images, padding="same")
    with pytest.raises(ValueError, match=r"image_gradients.*`data_format`"):
        ops.image_gradients(images, data_format="last")


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
        ops.image_gradients(
            np.ones(shape, "float32"), operator, padding=padding
        )


def test_one_pixel_with_its_edge_repeated_is_flat():
    found = ops.image_gradients(
        np.ones((1, 1, 1, 1), "float32"), padding="replicate"
    )
    np.testing.assert_array_equal(to_numpy(found), 0)


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match=r"expand_dims.*shape \(4, 4, 3\)"):
        ops.image_gradients(np.ones((4, 4, 3), "float32"))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("padding", ["reflect", "replicate", "valid"])
def test_unknown_sizes_in_a_tensorflow_graph(images, padding):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None] * 3 + [3])])
    def traced(x):
        dy, dx = ops.image_gradients(x, padding=padding)
        return tf.stack([dy, dx], axis=-1)

    expected = reference.slopes(images, padding=padding)
    np.testing.assert_allclose(traced(images), expected, atol=1e-5)
    wide = np.tile(images, (1, 1, 2, 1))
    expected = reference.slopes(wide, padding=padding)
    np.testing.assert_allclose(traced(wide), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("padding", "mode"), [("reflect", "reflect"), ("replicate", "edge")]
)
@pytest.mark.parametrize("reach", [(1, 1), (0, 1), (2, 2), (1, 3)])
def test_pads_as_numpy_does(rng, padding, mode, reach):
    x = rng.uniform(size=(2, 4, 5, 3)).astype("float32")
    found = pad_axes(x, *reach, padding, (1, 2))
    expected = np.pad(x, ((0, 0), reach, reach, (0, 0)), mode)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), expected)


def test_valid_pads_nothing():
    x = np.ones((1, 2, 2, 1), "float32")
    assert pad_axes(x, 1, 1, "valid", (1, 2)) is x


def test_crop_and_along():
    x = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(crop(x, 1, 1, 2), x[:, 1:2])
    np.testing.assert_array_equal(crop(x, 0, 1, 0), x[1:])
    np.testing.assert_array_equal(x[along(x, 1, slice(0, 2))], x[:, :2])


def test_spatial_axes():
    assert spatial_axes("channels_last") == (1, 2)
    assert spatial_axes("channels_first") == (2, 3)


@pytest.mark.parametrize("function", [ops.image_gradients, gradient_magnitude])
def test_defaults_are_the_documented_ones(function):
    checks.check_defaults(function)
