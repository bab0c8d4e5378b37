import json
import pathlib

import keras
import numpy as np
import pytest

from keras_perceptual.features import FeatureExtractor

GOLDEN = json.loads(
    (
        pathlib.Path(__file__).parents[1] / "reference/golden_features.json"
    ).read_text()
)


def small_model(channels=3):
    inputs = keras.Input((None, None, channels))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    x = keras.layers.MaxPooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    outputs = keras.layers.Conv2D(5, 3, name="second")(x)
    return keras.Model(inputs, outputs, name="small")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_a_dictionary_of_features_named_as_asked(rng):
    extractor = FeatureExtractor("vgg16", ["relu2_1", "block1_conv2"])
    features = extractor(rng.uniform(size=(2, 16, 20, 3)))
    assert {k: tuple(v.shape) for k, v in features.items()} == {
        "relu2_1": (2, 8, 10, 128),
        "block1_conv2": (2, 16, 20, 64),
    }
    assert extractor.layers == ("relu2_1", "block1_conv2")


def test_one_layer(rng):
    features = FeatureExtractor("alexnet", "conv2")(np.zeros((1, 40, 40, 3)))
    assert list(features) == ["conv2"]


def test_the_network_is_cut_behind_the_deepest_tap():
    full = FeatureExtractor("vgg16", ["block5_conv3"])._network
    short = FeatureExtractor("vgg16", ["block1_conv2"])._network
    assert len(short.layers) == 3
    assert short.count_params() < full.count_params() / 300
    assert not short.trainable_variables


def test_a_picture_gives_the_same_features_in_any_range(rng):
    photo = rng.uniform(size=(1, 16, 16, 3)).astype("float32")
    expected = FeatureExtractor("vgg16", ["relu2_1"])(photo)["relu2_1"]
    for low, high in ((-1, 1), (0, 255)):
        extractor = FeatureExtractor(
            "vgg16", ["relu2_1"], value_range=(low, high)
        )
        found = extractor(low + photo * (high - low))["relu2_1"]
        np.testing.assert_allclose(
            numpy(found), numpy(expected), rtol=1e-3, atol=1e-3
        )


def test_gray_images_are_repeated_and_integers_taken(rng):
    extractor = FeatureExtractor("vgg16", ["relu1_2"], value_range=(0, 255))
    gray = rng.integers(0, 256, (1, 8, 8, 1), dtype="uint8")
    np.testing.assert_array_equal(
        numpy(extractor(gray)["relu1_2"]),
        numpy(extractor(np.repeat(gray, 3, -1))["relu1_2"]),
    )


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16"])
def test_features_are_float32_whatever_the_network_computes_in(dtype, rng):
    photo = rng.uniform(size=(1, 32, 32, 3)).astype("float32")
    exact = FeatureExtractor("alexnet", ["conv3"])(photo)["conv3"]
    found = FeatureExtractor("alexnet", ["conv3"], dtype=dtype)(photo)["conv3"]
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    error = np.abs(numpy(found) - numpy(exact)).max()
    assert 0 < error < 0.05 * numpy(exact).max()


def test_two_networks_do_not_disturb_each_other(rng):
    photo = rng.uniform(size=(1, 32, 32, 3)).astype("float32")
    first = FeatureExtractor("vgg16", ["relu2_1"])
    before = numpy(first(photo)["relu2_1"])
    second = FeatureExtractor("alexnet", ["conv1"])
    second(photo)
    FeatureExtractor("vgg16", ["relu2_1"], weights="random")(photo)
    np.testing.assert_array_equal(numpy(first(photo)["relu2_1"]), before)


@pytest.mark.parametrize(
    ("backbone", "side"),
    [
        ("vgg16", 8),
        ("alexnet", 31),
        ("vgg19", 16),
        ("inception_v3", 43),
    ],
)
def test_an_image_too_small_for_a_tap_is_refused(backbone, side):
    extractor = FeatureExtractor(backbone, weights="random")
    extractor(np.zeros((1, side, side, 3), "float32"))
    with pytest.raises(
        ValueError,
        match=f"too small for the layer {extractor.layers[-1]!r}|'conv3'",
    ) as error:
        extractor(np.zeros((1, side - 1, 64, 3), "float32"))
    assert f"at least {side} pixels a side" in str(error.value)
    assert str(error.value).endswith(f"height={side - 1}, width=64")


def test_only_the_taps_decide_what_is_too_small():
    FeatureExtractor("vgg16", ["block1_conv2"])(np.zeros((1, 1, 1, 3)))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("vgg17",), "Did you mean 'vgg19' or 'vgg16'.*Received: backbone="),
        (("vgg16", ["relu3_4"]), "'relu3_3'.*Received: layers="),
        (("vgg16", ["conv9"]), "has no layer of this name. .*Received"),
        (("vgg16", ["relu1_1", "block1_conv1"]), "twice.*Received: layers="),
    ],
)
def test_unknown_names_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        FeatureExtractor(*arguments)


def test_images_that_are_no_batch_of_images_are_refused():
    extractor = FeatureExtractor("vgg16", ["relu1_1"])
    with pytest.raises(ValueError, match="Add the missing axis"):
        extractor(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        extractor(np.zeros((1, 8, 8, 4)))


def test_a_model_is_copied_frozen_and_in_inference_mode(rng):
    model = small_model()
    extractor = FeatureExtractor(model, ["first", "dropout"])
    photo = rng.uniform(size=(1, 8, 8, 3)).astype("float32")
    before = {k: numpy(v) for k, v in extractor(photo).items()}
    np.testing.assert_array_equal(  # Nothing is dropped.
        before["dropout"], numpy(extractor(photo)["dropout"])
    )
    assert model.trainable
    assert len(model.trainable_variables) == 4
    for variable in model.variables:
        variable.assign(keras.ops.zeros(variable.shape))
    for name, x in extractor(photo).items():
        np.testing.assert_array_equal(numpy(x), before[name])
    assert np.any(before["first"] != 0)


def test_a_model_gets_the_images_as_they_are():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    photo = np.array([-3.0, 7.0], "float32").reshape(1, 1, 1, 2)
    (found,) = FeatureExtractor(model, value_range=(0, 255))(photo).values()
    np.testing.assert_array_equal(numpy(found), photo)


def test_weights_of_a_model_from_a_file(tmp_path, rng):
    path = tmp_path / "small.weights.h5"
    trained = small_model()
    trained.save_weights(path)
    photo = rng.uniform(size=(1, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(
        numpy(FeatureExtractor(small_model(), weights=path)(photo)["second"]),
        numpy(trained(photo)),
    )


def test_a_model_that_cannot_be_tapped_is_refused():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="Functional or a built Sequential"):
        FeatureExtractor(Subclassed(), ["first"])
    with pytest.raises(ValueError, match="Functional or a built Sequential"):
        FeatureExtractor(keras.Sequential([keras.layers.Dense(1)]), ["dense"])


def test_a_layer_of_several_outputs_is_refused():
    class Split(keras.layers.Layer):
        def call(self, x):
            return x, -x

    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, Split(name="split")(inputs))
    with pytest.raises(ValueError, match=r"several tensors.*Received: layers="):
        FeatureExtractor(model, ["split"])


def test_a_network_cannot_be_built_inside_a_trace():
    def build(x):
        FeatureExtractor("alexnet", weights="random")
        return x

    match = "cannot be built inside a function that is being traced"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with pytest.raises(RuntimeError, match=match):
            tf.function(build, autograph=False)(tf.zeros(1))
    elif keras.backend.backend() == "jax":
        import jax

        with pytest.raises(RuntimeError, match=match):
            jax.jit(build)(keras.ops.zeros(1))
    else:
        # PyTorch runs as it goes: nothing is traced.
        build(0)


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_float32_weights_from_a_file_are_as_exact_as_the_packaged_ones(
    backbone, tmp_path, rng
):
    from keras_perceptual.features import weights_loading

    arrays = weights_loading.read_packaged(f"{backbone}.npz")
    path = tmp_path / "weights.npz"
    np.savez(path, **{k: v.astype("float32") for k, v in arrays.items()})
    photo = rng.uniform(size=(1, 32, 32, 3)).astype("float32")
    packaged = FeatureExtractor(backbone)
    own = FeatureExtractor(backbone, weights=path)
    assert own.layers == packaged.layers
    for name, x in own(photo).items():
        np.testing.assert_array_equal(numpy(x), numpy(packaged(photo)[name]))


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_every_layer_agrees_with_pytorch(backbone):
    skimage_data = pytest.importorskip("skimage.data")
    image = skimage_data.astronaut()[96:160, 192:256].astype("float32") / 255
    other = 0.1 + 0.8 * np.roll(image, (1, 2), axis=(0, 1))
    layers = list(GOLDEN[f"{backbone}_packaged"])
    features = FeatureExtractor(backbone, layers)(np.stack([image, other]))
    for kind, tolerance in (("packaged", 2e-5), ("original", 1e-3)):
        for layer in layers:
            x, y = numpy(features[layer]).astype("float64")
            expected = GOLDEN[f"{backbone}_{kind}"][layer]
            np.testing.assert_allclose(
                [((x - y) ** 2).mean(), np.abs(x - y).mean()],
                [expected["mse"], expected["mae"]],
                rtol=tolerance,
                err_msg=f"{kind} {layer}",
            )
