import keras
import numpy as np
import pytest
from reference import l2_pooling

from keras_perceptual.features.rewiring import (
    L2Pooling2D,
    has_max_pooling,
    tap_network,
)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def small_model(activation="relu"):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, None, 3), name="images")
    x = keras.layers.Conv2D(4, 3, activation=activation, name="first")(inputs)
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="pool")(x)
    x = keras.layers.Conv2D(5, 3, activation=activation, name="second")(x)
    return keras.Model(inputs, x, name="small")


def tapped(network, taps, photo, pooling="max"):
    model = keras.Model(*tap_network(network, taps, pooling))
    found = model(photo)
    found = found if isinstance(found, list) else [found]
    return [numpy(x) for x in found]


@pytest.fixture
def photo(rng):
    return rng.uniform(size=(2, 11, 14, 3)).astype("float32")


def test_as_the_network_has_it_nothing_is_made_anew():
    network = small_model()
    inputs, outputs = tap_network(network, ["pool", "second"])
    assert inputs is network.inputs[0]
    assert outputs == [network.get_layer(n).output for n in ("pool", "second")]


def test_before_and_after_the_activation(photo):
    expected = tapped(small_model(), ["first", "second"], photo)
    taps = ["second:before_activation", "first", "first:before_activation"]
    second_before, first, first_before = tapped(small_model(), taps, photo)
    np.testing.assert_allclose(first, expected[0], atol=1e-6)
    for before, after in (
        (first_before, expected[0]),
        (second_before, expected[1]),
    ):
        assert np.any(before < -0.01)
        np.testing.assert_allclose(np.maximum(before, 0), after, atol=1e-6)


def test_layers_behind_see_what_is_after_the_activation(photo):
    (expected,) = tapped(small_model(), ["second"], photo)
    _, found = tapped(
        small_model(), ["first:before_activation", "second"], photo
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_any_activation(photo):
    (before,) = tapped(small_model("tanh"), ["first:before_activation"], photo)
    (after,) = tapped(small_model("tanh"), ["first"], photo)
    np.testing.assert_allclose(np.tanh(before), after, atol=1e-6)


def test_average_pooling_keeps_size_stride_and_padding(photo):
    first, pooled = tapped(small_model(), ["first", "pool"], photo, "average")
    expected = keras.layers.AveragePooling2D(3, 2, padding="same")(first)
    np.testing.assert_allclose(pooled, numpy(expected), atol=1e-6)


def test_l2_pooling_keeps_the_stride(photo):
    first, pooled = tapped(small_model(), ["first", "pool"], photo, "l2")
    np.testing.assert_allclose(pooled, l2_pooling.l2_pool(first), rtol=1e-4)


def test_other_pooling_and_before_the_activation_together(photo):
    first, before = tapped(
        small_model(), ["first", "second:before_activation"], photo, "l2"
    )
    kernel, bias = (numpy(w) for w in small_model().get_layer("second").weights)
    expected = keras.ops.conv(
        l2_pooling.l2_pool(first).astype("float32"), kernel
    )
    np.testing.assert_allclose(before, numpy(expected) + bias, atol=1e-5)


def test_the_input_can_be_tapped(photo):
    found, _ = tapped(small_model(), ["images", "pool"], photo, "average")
    np.testing.assert_array_equal(found, photo)


def test_a_sequential_model(photo):
    layers = [
        keras.Input((None, None, 3)),
        keras.layers.Conv2D(2, 3, activation="relu", name="conv"),
        keras.layers.MaxPooling2D(name="pool"),
    ]
    before, pooled = tapped(
        keras.Sequential(layers),
        ["conv:before_activation", "pool"],
        photo,
        "average",
    )
    expected = keras.layers.AveragePooling2D(2)(np.maximum(before, 0))
    np.testing.assert_allclose(pooled, numpy(expected), atol=1e-6)


@pytest.mark.parametrize("sequential", [False, True])
def test_networks_inside_networks(sequential, photo):
    inner = small_model()
    if sequential:
        inner = keras.Sequential([keras.Input((None, None, 3)), inner])
    inputs = keras.Input((None, None, 3))
    outer = keras.Model(inputs, inner(keras.layers.Rescaling(2.0)(inputs)))
    assert has_max_pooling(outer)
    (found,) = tapped(outer, [inner.name], photo, "average")
    (expected,) = tapped(small_model(), ["second"], 2 * photo, "average")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_layer_that_is_called_twice(photo):
    inputs = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(3, 1, activation="relu", name="conv")
    model = keras.Model(inputs, conv(conv(inputs)))
    (expected,) = tapped(keras.Model(inputs, conv(inputs)), ["conv"], photo)
    (before,) = tapped(model, ["conv:before_activation"], photo)
    np.testing.assert_allclose(np.maximum(before, 0), expected, atol=1e-6)


def test_a_network_without_a_maximum():
    inputs = keras.Input((None, None, 3))
    outputs = keras.layers.GlobalMaxPooling2D()(inputs)
    assert not has_max_pooling(keras.Model(inputs, outputs))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_shape_of_l2_pooling(data_format):
    layer = L2Pooling2D((2, 3), data_format)
    shape = [1, 7, 6]
    shape.insert(3 if data_format == "channels_last" else 1, 4)
    expected = keras.ops.shape(layer(np.ones(shape, "float32")))
    assert layer.compute_output_shape(tuple(shape)) == tuple(expected)
    first = 1 if data_format == "channels_last" else 2
    shape[first] = None
    assert layer.compute_output_shape(shape)[first] is None
