import keras
import numpy as np
import pytest

from keras_perceptual.layers import mixing_network
from keras_perceptual.layers.mixing_network import build_mixing_network


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def convolve(x, kernel, bias):
    """A convolution of 3 x 3 with a stride of 2 and a border of zeros."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    size = x.shape[1] // 2
    result = np.zeros((len(x), size, size, kernel.shape[-1]))
    for i in range(3):
        for j in range(3):
            part = padded[:, i : i + 2 * size : 2, j : j + 2 * size : 2]
            result += part @ kernel[i, j]
    return result + bias


def twin(images, weights):
    """The network in NumPy, for images of its size in (0, 1)."""
    weights = [w.astype("float64") for w in weights]
    x = images.astype("float64")
    while weights:
        x = convolve(x, weights.pop(0), weights.pop(0))
        x = np.where(x > 0, x, 0.2 * x)
        if weights:
            mean = x.mean(axis=(1, 2), keepdims=True)
            variance = x.var(axis=(1, 2), keepdims=True)
            x = (x - mean) / np.sqrt(variance + 1e-5)
            x = x * weights.pop(0) + weights.pop(0)
    return x.reshape(len(x), -1)


@pytest.fixture
def images(rng, monkeypatch):
    """Images that need not be resized, as the network is told here."""
    monkeypatch.setattr(mixing_network, "SIDE", 64)
    return rng.uniform(0, 1, (2, 64, 64, 3)).astype("float32")


def test_equals_the_numpy_twin(rng, images):
    network = build_mixing_network()
    network.set_weights(
        [w + 0.1 * rng.normal(size=w.shape) for w in network.get_weights()]
    )
    found = to_numpy(network(images))
    assert found.shape == (2, 512)
    np.testing.assert_allclose(
        found, twin(images, network.get_weights()), atol=1e-4
    )


def test_as_many_weights_as_in_the_paper():
    """Less the last convolution, which makes weights of three tables."""
    network = build_mixing_network()
    assert network.output_shape == (None, 8192)
    assert network.count_params() == 270_083 - (8192 * 3 + 3)


@pytest.mark.parametrize("value_range", [(-1, 1), (0, 255)], ids=str)
def test_ranges_and_layouts_change_nothing(images, value_range):
    low, high = value_range
    network = build_mixing_network()
    other = build_mixing_network(value_range, "channels_first")
    other.set_weights(network.get_weights())
    scaled = np.moveaxis(images * (high - low) + low, -1, 1)
    np.testing.assert_allclose(
        to_numpy(other(scaled)), to_numpy(network(images)), atol=2e-4
    )


def test_images_of_any_size(images):
    """Pixels that are repeated are as good as none."""
    network = build_mixing_network()
    expected = to_numpy(network(images))
    for height, width in [(3, 3), (5, 1)]:
        large = images.repeat(height, axis=1).repeat(width, axis=2)
        np.testing.assert_allclose(
            to_numpy(network(large)), expected, atol=1e-4
        )
    assert network(images[:, :1, :2]).shape == (2, 512)


def test_forgets_half_in_training(images):
    features = to_numpy(build_mixing_network()(images, training=True))
    assert 0.45 < np.mean(features == 0) < 0.55


def test_a_dtype_is_that_of_all_layers():
    network = build_mixing_network(dtype="mixed_bfloat16")
    policies = {
        layer.dtype_policy.name
        for layer in network.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }
    assert policies == {"mixed_bfloat16"}
