import threading

import keras
import numpy as np
import pytest
from sampling import sample

import keras_perceptual as kp
from keras_perceptual.features import weights_loading
from keras_perceptual.features.applications import build_application, convert

APPLICATIONS = [
    keras.applications.MobileNetV2,
    keras.applications.ResNet50,
    keras.applications.EfficientNetB0,
    keras.applications.InceptionV3,
]


@pytest.mark.slow
@pytest.mark.parametrize("application", sample(APPLICATIONS, every=4))
def test_is_the_same_in_either_format_of_the_process(application, rng):
    images = rng.uniform(size=(1, 96, 80, 3)).astype("float32")
    found = []
    for data_format in ("channels_last", "channels_first"):
        keras.config.set_image_data_format(data_format)
        network = build_application(application)
        assert network.input_shape == (None, None, None, 3)
        weights_loading.assign_random(network)
        found.append(keras.ops.convert_to_numpy(network(images)))
        assert keras.config.image_data_format() == data_format
    assert np.any(found[0] != 0)
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


def test_what_keras_does_not_build_is_refused():
    keras.config.set_image_data_format("channels_first")
    with pytest.raises(ValueError, match=r"ConvNeXt.*set_image_data_format"):
        build_application(keras.applications.ConvNeXtTiny)


def test_converts_what_depends_on_the_layout():
    inputs = keras.Input((3, None, None))
    x = keras.layers.Conv2D(4, 3, data_format="channels_first")(inputs)
    x = keras.layers.BatchNormalization(axis=1)(x)
    x = keras.layers.Concatenate(axis=1)([x, x])
    scale = keras.layers.GlobalAveragePooling2D("channels_first")(x)
    scale = keras.layers.Reshape((8, 1, 1))(scale)
    # In a list, as networks of Keras have it.
    network = keras.Model([inputs], keras.layers.Multiply()([x, scale]))
    turned = convert(network)
    assert turned.output_shape == (None, None, None, 8)
    for found, expected in zip(turned.weights, network.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(found.value),
            keras.ops.convert_to_numpy(expected.value),
        )


@pytest.mark.slow
# JAX has no 64 bits unless it is told to.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
def test_threads_see_no_other_configuration(tmp_path):
    """Nor do they leave one behind."""
    keras.config.set_image_data_format("channels_first")
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            seen.add((keras.config.floatx(), keras.config.image_data_format()))

    def construct(dtype):
        kp.PerceptualLoss("alexnet", data_format="channels_last", dtype=dtype)
        kp.PerceptualLoss("vgg16", ["relu1_2"], weights="random", dtype=dtype)

    watcher = threading.Thread(target=watch)
    threads = [
        threading.Thread(target=construct, args=(dtype,))
        for dtype in ("float64", "mixed_float16", "float32")
    ]
    watcher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert seen == {("float32", "channels_first")}
    assert keras.config.dtype_policy().name == "float32"


def test_without_a_network_the_message_says_what_does_without(monkeypatch):
    def fail(**kwargs):
        raise Exception("URL fetch failure on https://example.org/a.h5: None")

    fail.__name__ = "VGG19"
    with pytest.raises(ConnectionError, match="downloads them") as caught:
        build_application(fail, "imagenet")
    for text in ("VGG19", "`~/.keras`", "backbone='vgg16'", "`weights`"):
        assert text in str(caught.value)
