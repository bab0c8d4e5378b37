import json
import pathlib

import keras
import numpy as np
import pytest
from sampling import rarely

from keras_perceptual.features import FeatureExtractor
from keras_perceptual.features.backbones import BACKBONES
from keras_perceptual.features.extractor import PREPROCESSING

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
    full = FeatureExtractor("vgg16", ["block5_conv3"]).network
    short = FeatureExtractor("vgg16", ["block1_conv2"]).network
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


@pytest.mark.tensorflow_only
def test_features_of_a_network_in_double_precision_are_so(rng):
    extractor = FeatureExtractor(
        "alexnet", ["conv1"], weights="random", dtype="float64"
    )
    (found,) = extractor(rng.uniform(size=(1, 32, 32, 3))).values()
    assert keras.backend.standardize_dtype(found.dtype) == "float64"
    # Not of numbers that were single precision in between.
    assert np.any(numpy(found) != numpy(found).astype("float32"))


def test_two_networks_do_not_disturb_each_other(rng):
    photo = rng.uniform(size=(1, 32, 32, 3)).astype("float32")
    first = FeatureExtractor("vgg16", ["relu2_1"])
    before = numpy(first(photo)["relu2_1"])
    second = FeatureExtractor("alexnet", ["conv1"])
    second(photo)
    FeatureExtractor("vgg16", ["relu2_1"], weights="random")(photo)
    np.testing.assert_array_equal(numpy(first(photo)["relu2_1"]), before)


@pytest.mark.tensorflow_only  # Building the networks takes long.
@pytest.mark.parametrize(
    ("backbone", "side"),
    [
        ("vgg16", 8),
        ("alexnet", 31),
        rarely(("vgg19", 16)),
        rarely(("inception_v3", 43)),
    ],
)
def test_an_image_too_small_for_a_tap_is_refused(backbone, side):
    extractor = FeatureExtractor(backbone, weights="random")
    extractor(np.zeros((1, side, side, 3), "float32"))
    with pytest.raises(
        ValueError,
        match=f"too small for the layers? .*{extractor.layers[-1]!r}",
    ) as error:
        extractor(np.zeros((1, side - 1, 64, 3), "float32"))
    assert f"at least {side} pixels a side" in str(error.value)
    assert str(error.value).endswith(f"height={side - 1}, width=64")


def test_the_size_that_is_named_does_for_all_taps():
    extractor = FeatureExtractor("vgg16", ["relu2_2", "relu4_3", "relu5_3"])
    with pytest.raises(ValueError, match="'relu4_3', 'relu5_3'") as error:
        extractor(np.zeros((1, 4, 64, 3), "float32"))
    assert "'relu2_2'" not in str(error.value)
    assert "at least 16 pixels a side" in str(error.value)
    assert extractor.smallest_side() == 16
    assert extractor.smallest_side(positions=2) == 32


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


def test_random_weights_of_a_model_are_always_the_same(rng):
    photo = rng.uniform(size=(1, 8, 8, 3)).astype("float32")
    one, other = (
        numpy(
            FeatureExtractor(small_model(), weights="random")(photo)["second"]
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)


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


def test_pytorch_names_before_and_after_the_activation(rng):
    photo = rng.uniform(size=(1, 16, 16, 3)).astype("float32")
    features = FeatureExtractor(
        "vgg16",
        ["conv1_2", "relu1_2", "block2_conv1:before_activation", "relu2_1"],
    )(photo)
    before, after, deep_before, deep = (numpy(x) for x in features.values())
    assert np.any(before < -0.1)
    np.testing.assert_array_equal(np.maximum(before, 0), after)
    np.testing.assert_array_equal(np.maximum(deep_before, 0), deep)
    plain = FeatureExtractor("vgg16", ["relu1_2", "relu2_1"])(photo)
    np.testing.assert_allclose(after, numpy(plain["relu1_2"]), atol=1e-4)
    np.testing.assert_allclose(deep, numpy(plain["relu2_1"]), atol=1e-4)


def test_nothing_is_wired_anew_without_need():
    network = FeatureExtractor("vgg16", ["relu1_2"]).network
    assert [layer.name for layer in network.layers[1:]] == [
        "block1_conv1",
        "block1_conv2",
    ]
    split = FeatureExtractor("vgg16", ["conv1_2"]).network
    assert split.layers[-1].name == "block1_conv2"
    assert split.layers[-1].activation is keras.activations.linear
    assert not split.trainable_variables


@pytest.mark.parametrize("pooling", ["average", "l2"])
@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_other_pooling_changes_what_is_behind_it_only(backbone, pooling, rng):
    layers = {
        "vgg16": ["relu1_2", "relu2_1"],
        "alexnet": ["relu1", "conv2:before_activation"],
    }[backbone]
    photo = rng.uniform(size=(1, 64, 64, 3)).astype("float32")
    plain = FeatureExtractor(backbone, layers)(photo)
    other = FeatureExtractor(backbone, layers, pooling=pooling)
    assert other.pooling == pooling
    found = other(photo)
    first, second = ((numpy(plain[k]), numpy(found[k])) for k in layers)
    np.testing.assert_allclose(first[1], first[0], atol=1e-4)
    # The window of AlexNet's maximum has no border; that of "l2" has one.
    grown = backbone == "alexnet" and pooling == "l2"
    assert second[1].shape[1] == second[0].shape[1] + grown
    assert abs(second[1].std() - second[0].std()) > 0.01 * second[0].std()


def test_other_pooling_has_one_default_tap():
    extractor = FeatureExtractor("vgg16", pooling="average")
    assert extractor.layers == ("block3_conv3",)
    assert len(FeatureExtractor("vgg16").layers) > 1


def test_a_model_with_other_pooling_is_still_a_copy(rng):
    model = small_model()
    photo = rng.uniform(size=(1, 8, 8, 3)).astype("float32")
    before = numpy(model(photo))
    extractor = FeatureExtractor(
        model, ["first:before_activation", "second"], pooling="average"
    )
    first, second = (numpy(x) for x in extractor(photo).values())
    assert np.any(first < 0)
    assert np.any(np.abs(second - before) > 1e-3)
    np.testing.assert_array_equal(numpy(model(photo)), before)
    assert model.get_layer("first").activation is keras.activations.relu
    assert isinstance(model.get_layer("pool"), keras.layers.MaxPooling2D)


def test_other_pooling_computes_in_half_precision(rng):
    photo = rng.uniform(size=(1, 32, 32, 3)).astype("float32")
    found = [
        numpy(
            FeatureExtractor("vgg16", "conv3_1", pooling="l2", dtype=dtype)(
                photo
            )["conv3_1"]
        )
        for dtype in ("float32", "mixed_float16")
    ]
    assert 0 < np.abs(found[0] - found[1]).max() < 0.02 * found[0].std()


@pytest.mark.tensorflow_only  # Building the networks takes long.
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"pooling": "mean"}, "does not know this `pooling`.*pooling='mean'"),
        rarely(
            (
                {"backbone": "efficientnet_b0", "pooling": "l2"},
                "has no `MaxPooling2D`.*Received: pooling='l2'",
            )
        ),
        (
            {"backbone": "resnet50", "layers": "conv1_relu:before_activation"},
            "an activation itself. .* in front of it: 'conv1_bn'. Received",
        ),
        ({"layers": ["conv3_3", "relu3_3:before_activation"]}, "twice"),
        ({"layers": "conv3_4"}, "Did you mean .*'conv3_3'"),
    ],
)
def test_variants_that_are_not_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        FeatureExtractor(**{"weights": "random", **arguments})


KERAS_MODULES = {
    "vgg16": keras.applications.vgg16,
    "vgg19": keras.applications.vgg19,
    "inception_v3": keras.applications.inception_v3,
    "resnet50": keras.applications.resnet,
    "mobilenet_v2": keras.applications.mobilenet_v2,
    "efficientnet_b0": keras.applications.efficientnet,
    "convnext_tiny": keras.applications.convnext,
}


def test_every_network_of_keras_applications_is_checked():
    assert set(KERAS_MODULES) == {
        name
        for name, backbone in BACKBONES.items()
        if "imagenet" in backbone.preprocessing
    }


@pytest.mark.parametrize("name", KERAS_MODULES)
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (0, 255)])
def test_equals_what_keras_applications_does(name, value_range, rng):
    preprocess = PREPROCESSING[BACKBONES[name].preprocessing["imagenet"]]
    pixels = rng.uniform(0, 255, (2, 4, 4, 3)).astype("float32")
    low, high = value_range
    images = keras.ops.convert_to_tensor(low + pixels / 255 * (high - low))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(preprocess(images, value_range)),
        KERAS_MODULES[name].preprocess_input(pixels.copy()),
        rtol=1e-4,
        atol=1e-4,
    )


def test_torch_gives_mean_zero_and_deviation_one():
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = np.stack([mean, mean + std]).reshape(2, 1, 1, 3).astype("float32")
    found = PREPROCESSING["torch"](
        keras.ops.convert_to_tensor(images * 255), (0, 255)
    )
    found = keras.ops.convert_to_numpy(found)
    np.testing.assert_allclose(found[0], 0, atol=1e-5)
    np.testing.assert_allclose(found[1], 1, rtol=1e-5)
