import random

import h5py
import keras
import numpy as np
import pytest

from keras_perceptual.features.backbones import (
    BACKBONES,
    build_untrained,
    building_scope,
    load_weights,
    resolve_source,
    weights_convention,
)
from keras_perceptual.features.taps import layer_name


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("vgg16", "alexnet")
        else pytest.param(name, marks=[pytest.mark.slow, pytest.mark.once])
        for name in BACKBONES
        if "keras_hub" not in BACKBONES[name].preprocessing
    ],
)
def test_has_its_default_layers_and_the_layers_that_aliases_mean(name):
    backbone = BACKBONES[name]
    network = build_untrained(name, "float32")
    known = {layer.name for layer in network.layers}
    assert set(backbone.default_layers) <= known
    assert {layer_name(tap) for tap in backbone.aliases.values()} <= known
    assert network.input_shape == (None, None, None, 3)


def test_torch_names_of_vgg():
    assert BACKBONES["vgg16"].aliases["relu3_3"] == "block3_conv3"
    assert "relu3_4" not in BACKBONES["vgg16"].aliases
    assert BACKBONES["vgg19"].aliases["relu5_4"] == "block5_conv4"
    before = "block5_conv4:before_activation"
    assert BACKBONES["vgg19"].aliases["conv5_4"] == before


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        ("vgg16", ("torchvision", "imagenet", "random")),
        ("alexnet", ("torchvision", "random")),
        ("vgg19", ("imagenet", "random")),
        ("resnet50", ("imagenet", "random")),
        ("dinov2_small", ("keras_hub", "random")),
    ],
)
def test_sources_the_best_one_first(name, sources):
    assert BACKBONES[name].sources == sources
    assert resolve_source("Loss", name, None) == sources[0]


def test_unknown_weights_are_refused():
    with pytest.raises(
        ValueError, match=r"Did you mean 'imagenet'.*weights='imagnet'"
    ):
        resolve_source("Loss", "vgg19", "imagnet")
    with pytest.raises(ValueError, match=r"ends in \.h5\. Received"):
        resolve_source("Loss", "resnet50", "weights.npz")
    with pytest.raises(FileNotFoundError, match=r"weights='no\.h5'"):
        resolve_source("Loss", "vgg16", "no.h5")


def test_the_ending_of_a_file_tells_its_convention():
    assert weights_convention("vgg16", "a.npz") == "torchvision"
    assert weights_convention("vgg16", "a.h5") == "imagenet"
    assert weights_convention("vgg16", "random") == "torchvision"
    assert weights_convention("resnet50", "random") == "imagenet"


def test_building_leaves_no_trace():
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_image_data_format("channels_first")
    random.seed(3)
    expected = random.Random(3).random()
    network = build_untrained("alexnet", "float32")
    assert random.random() == expected
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.image_data_format() == "channels_first"
    layer = network.get_layer("conv1")
    assert layer.compute_dtype == "float32"
    assert layer.data_format == "channels_last"


def test_weights_are_drawn_or_come_from_a_file(tmp_path):
    path = tmp_path / "own.weights.h5"
    drawn, read = (build_untrained("alexnet", "float32") for _ in range(2))
    assert load_weights(drawn, "alexnet", "random", "float32") is drawn
    drawn.save_weights(path)
    assert load_weights(read, "alexnet", str(path), "float32") is read
    for one, other in zip(drawn.weights, read.weights, strict=True):
        values = keras.ops.convert_to_numpy(one)
        assert np.std(values) > 0 or one.name == "bias"
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(other), values)


def test_building_scope_restores_after_a_failure():
    with pytest.raises(KeyError), building_scope("float16"):
        raise KeyError
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.tensorflow_only  # What is downloaded does not depend on it.
@pytest.mark.parametrize(
    "name", [n for n, b in BACKBONES.items() if "imagenet" in b.preprocessing]
)
def test_imagenet_weights_are_downloaded_and_loaded(
    name, tmp_path, monkeypatch
):
    """The download is real but for its address, which is a local file."""
    from keras.src.legacy.saving import legacy_h5_format
    from keras.src.utils import file_utils

    network = build_untrained(name, "float32")
    rng = np.random.default_rng(0)
    for variable in network.weights:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    file = tmp_path / "published.h5"  # In the format of the published ones.
    with h5py.File(file, "w") as published:
        legacy_h5_format.save_weights_to_hdf5_group(published, network)
    addresses = []
    real_get_file = file_utils.get_file

    def get_file(fname, origin, **kwargs):
        addresses.append(origin)
        return real_get_file(fname, file.as_uri(), cache_dir=str(tmp_path))

    monkeypatch.setattr(file_utils, "get_file", get_file)
    loaded = load_weights(
        build_untrained(name, "float32"), name, "imagenet", "float32"
    )
    (address,) = addresses
    assert address.startswith("https://")
    assert "notop" in address or "no_top" in address
    for found, expected in zip(loaded.weights, network.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(found),
            keras.ops.convert_to_numpy(expected),
        )
