import keras
import numpy as np
import pytest

from keras_perceptual import _backend

convolutions = _backend.load("convolutions")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"padding": "same", "activation": "relu"},
        {"padding": "valid", "strides": (2, 1)},
        {"padding": "same", "strides": 2},
        {"padding": "same", "dilation_rate": (1, 2)},
        {"padding": "same", "kernel_size": (2, 5)},
        {"padding": "valid", "groups": 3},
        {"padding": "same", "use_bias": False},
    ],
    ids=str,
)
def test_a_bias_added_in_the_same_pass_changes_no_number(
    arguments, data_format
):
    if data_format == "channels_first" and (
        keras.backend.backend() == "tensorflow"
    ):
        pytest.skip("TensorFlow has no such convolutions on the CPU")
    shape = (9, 8, 3) if data_format == "channels_last" else (3, 9, 8)
    network = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(
                6,
                **{"kernel_size": 3, **arguments},
                bias_initializer="normal",
                data_format=data_format,
            ),
        ]
    )
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    expected = keras.ops.convert_to_numpy(network(x))
    weights = network.get_weights()
    convolutions.save_passes(network)
    found = keras.ops.convert_to_numpy(network(x))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_pooling_changes_no_number(padding, data_format):
    if data_format == "channels_first" and (
        keras.backend.backend() == "tensorflow"
    ):
        pytest.skip("TensorFlow has no such pooling on the CPU")
    shape = (9, 8, 3) if data_format == "channels_last" else (3, 9, 8)
    pooling = keras.layers.MaxPooling2D(
        (3, 2), (2, 1), padding, data_format=data_format
    )
    network = keras.Sequential([keras.Input(shape), pooling])
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    expected = keras.ops.convert_to_numpy(network(x))
    convolutions.save_passes(network)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(network(x)), expected
    )
