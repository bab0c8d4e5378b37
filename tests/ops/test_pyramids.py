import keras
import numpy as np
import pytest
from reference import image_gradients as reference

from keras_perceptual import ops
from keras_perceptual.ops.pyramids import downsample, smallest_side_before


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 1, (2, 7, 9, 3)).astype("float32")


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


@pytest.mark.parametrize("padding", ["reflect", "replicate"])
@pytest.mark.parametrize("size", [(7, 9), (8, 6), (3, 3)])
def test_pyramid_equals_the_numpy_twin(rng, size, padding):
    images = rng.uniform(0, 1, (2, *size, 3)).astype("float32")
    found = ops.laplacian_pyramid(images, 2, padding=padding)
    small = reference.shrink(images, "gaussian", padding)
    for level, expected in zip(
        found, (reference.band(images, padding), small), strict=True
    ):
        np.testing.assert_allclose(to_numpy(level), expected, atol=1e-6)


def test_pyramid_adds_up_to_the_images(images):
    pyramid = ops.laplacian_pyramid(images, 3)
    assert [x.shape[1] for x in pyramid] == [7, 4, 2]
    found = to_numpy(pyramid[-1])
    for level in map(to_numpy, pyramid[-2::-1]):
        spread = np.zeros(level.shape)
        spread[:, ::2, ::2] = 4 * found
        found = level + reference.correlate(spread, reference.BLUR, "reflect")
    np.testing.assert_allclose(found, images, atol=1e-6)


def test_a_flat_image_has_no_details(images):
    flat = np.full_like(images, 0.7)
    *details, rest = ops.laplacian_pyramid(flat, 3)
    for level in details:
        np.testing.assert_allclose(to_numpy(level), 0, atol=1e-6)
    np.testing.assert_allclose(to_numpy(rest), 0.7, rtol=1e-6)


def test_pyramid_channels_first(images):
    last = ops.laplacian_pyramid(images, 2)
    first = ops.laplacian_pyramid(
        np.moveaxis(images, -1, 1), 2, data_format="channels_first"
    )
    for a, b in zip(first, last, strict=True):
        np.testing.assert_allclose(
            np.moveaxis(to_numpy(a), 1, -1), to_numpy(b), atol=1e-6
        )


def test_integers_become_floats():
    images = np.full((1, 4, 4, 1), 200, "uint8")
    level, rest = ops.laplacian_pyramid(images, 2)
    np.testing.assert_allclose(to_numpy(level), 0, atol=1e-4)
    np.testing.assert_allclose(to_numpy(rest), 200, rtol=1e-6)


@pytest.mark.parametrize("downsampling", ["average", "stride", "gaussian"])
@pytest.mark.parametrize("padding", ["reflect", "replicate", "valid"])
def test_downsample(images, downsampling, padding):
    found = downsample(images, downsampling, padding, "channels_last")
    expected = reference.shrink(images, downsampling, padding)
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-6)
    least = smallest_side_before(2, downsampling, padding)
    tiny = np.ones((1, least, least, 1), "float32")
    assert (
        downsample(tiny, downsampling, padding, "channels_last").shape[1] == 2
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": 1}, r"`levels`.*at least 2. Received: levels=1"),
        ({"levels": 2.5}, r"`levels`.*Received: levels=2.5"),
        ({"levels": 2, "padding": "valid"}, r"'replicate'.*padding='valid'"),
        ({"levels": 4}, r"at least 9 pixels.*fewer levels.*\(2, 7, 9, 3\)"),
    ],
)
def test_pyramids_that_cannot_be(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.laplacian_pyramid(images, **arguments)


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_unknown_sizes_in_a_tensorflow_graph(images):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None] * 3 + [3])])
    def traced(x):
        return (*ops.laplacian_pyramid(x, 3), ops.halve_images(x))

    found = traced(images)
    expected = (*ops.laplacian_pyramid(images, 3), ops.halve_images(images))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("downsampling", ["average", "stride", "gaussian"])
@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
@pytest.mark.parametrize("needed", [1, 2, 5])
def test_the_least_side_just_fits(downsampling, padding, needed):
    side = smallest_side_before(needed, downsampling, padding)
    expected = 2 * needed if downsampling == "average" else 2 * needed - 1
    # A blur that mirrors needs two pixels beside one.
    mirrors = downsampling == "gaussian" and padding == "reflect"
    assert side == max(expected, 3 if mirrors else 1)
