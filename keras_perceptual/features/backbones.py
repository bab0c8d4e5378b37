"""The networks that are known by name: how to build them, what feeds them."""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from keras_perceptual import validation
from keras_perceptual.features import weights_loading
from keras_perceptual.features.alexnet import build_alexnet
from keras_perceptual.features.applications import build_application
from keras_perceptual.features.hub import build_dinov2
from keras_perceptual.features.taps import BEFORE_ACTIVATION
from keras_perceptual.features.vgg import build_vgg
from keras_perceptual.files import show_path
from keras_perceptual.typing import PathLike
from keras_perceptual.validation import Checker

# The convention that the weights in a user's file follow, by its ending.
CONVENTION_OF_FILE = {".npz": "torchvision", ".h5": "imagenet"}


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network known by name.

    Attributes:
        build: Function that returns the network without its classifier and
            without trained weights.
        default_layers: The taps that are compared when none are asked for
            and no constants are known that balance several.
        preprocessing: For each convention that weights can follow
            (`"torchvision"`, `"imagenet"` of `keras.applications`, those of
            `"keras_hub"`), the key of
            `PREPROCESSING` that goes with it, the best one first.
        packaged_weights: Name of a weights file in the package, or `None`.
        aliases: Other names of taps, such as those PyTorch users know.
    """

    build: Callable[..., keras.Model]
    default_layers: tuple[str, ...]
    preprocessing: Mapping[str, str]
    packaged_weights: str | None = None
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The words that `weights` may be, the best one first."""
        conventions = [
            convention
            for convention in self.preprocessing
            if convention != "torchvision" or self.packaged_weights
        ]
        return (*conventions, "random")


def _from_keras(application: Callable[..., Any]) -> Callable[..., keras.Model]:
    return functools.partial(build_application, application)


def _build_vgg(
    application: Callable[..., Any],
    name: str,
    convolutions: tuple[int, ...],
    weights: str | None = None,
) -> keras.Model:
    """Returns VGG, with the weights of `keras.applications` if asked for."""
    network = build_vgg(name, convolutions)
    if weights is not None:
        source = build_application(application, weights)
        network.set_weights(source.get_weights())
    return network


def _vgg_aliases(*convolutions: int) -> dict[str, str]:
    aliases = {}
    for block, count in enumerate(convolutions, start=1):
        for conv in range(1, count + 1):
            layer = f"block{block}_conv{conv}"
            aliases[f"relu{block}_{conv}"] = layer
            aliases[f"conv{block}_{conv}"] = layer + BEFORE_ACTIVATION
    return aliases


BACKBONES = {
    "vgg16": Backbone(
        functools.partial(
            _build_vgg, keras.applications.VGG16, "vgg16", (2, 2, 3, 3, 3)
        ),
        # As in Johnson et al. (2016), https://arxiv.org/abs/1603.08155.
        ("block3_conv3",),
        {"torchvision": "torch", "imagenet": "caffe"},
        packaged_weights="vgg16.npz",
        aliases=_vgg_aliases(2, 2, 3, 3, 3),
    ),
    "alexnet": Backbone(
        build_alexnet,
        ("conv3",),
        {"torchvision": "torch"},
        packaged_weights="alexnet.npz",
        aliases={f"relu{index}": f"conv{index}" for index in range(1, 6)},
    ),
    # As in SRGAN, Ledig et al. (2017), https://arxiv.org/abs/1609.04802.
    "vgg19": Backbone(
        functools.partial(
            _build_vgg, keras.applications.VGG19, "vgg19", (2, 2, 4, 4, 4)
        ),
        ("block5_conv4",),
        {"imagenet": "caffe", "torchvision": "torch"},
        aliases=_vgg_aliases(2, 2, 4, 4, 4),
    ),
    # The end of the last stage but one, the stage that agrees best with people
    # in Kumar et al. (2022), https://arxiv.org/abs/2203.04946.
    "inception_v3": Backbone(
        _from_keras(keras.applications.InceptionV3),
        ("mixed7",),
        {"imagenet": "tf"},
    ),
    "resnet50": Backbone(
        _from_keras(keras.applications.ResNet50),
        ("conv4_block6_out",),
        {"imagenet": "caffe"},
    ),
    "mobilenet_v2": Backbone(
        _from_keras(keras.applications.MobileNetV2),
        ("block_13_expand_relu",),
        {"imagenet": "tf"},
    ),
    "efficientnet_b0": Backbone(
        _from_keras(keras.applications.EfficientNetB0),
        ("block6a_expand_activation",),
        {"imagenet": "inside"},
    ),
    "convnext_tiny": Backbone(
        _from_keras(keras.applications.ConvNeXtTiny),
        ("convnext_tiny_downsampling_block_2",),
        {"imagenet": "inside"},
    ),
    # The tokens of patches that their authors compare images by.
    "dinov2_small": Backbone(
        functools.partial(build_dinov2, "dinov2_small"),
        ("norm",),
        {"keras_hub": "torch"},
    ),
    "dinov2_base": Backbone(
        functools.partial(build_dinov2, "dinov2_base"),
        ("norm",),
        {"keras_hub": "torch"},
    ),
}


def resolve_source(owner: str, name: str, weights: PathLike | None) -> str:
    """Returns where the weights of a named network come from.

    Args:
        owner: Name of the object that asks, for the message.
        name: String, a key of `BACKBONES`.
        weights: What the user gave: `None`, a word or a path.

    Returns:
        One of the network's `sources`, or the path as a string.

    Raises:
        ValueError: If it is neither a source of this network nor a path.
        FileNotFoundError: If it is a path where there is no file.
    """
    backbone = BACKBONES[name]
    weights = Checker(owner).path("weights", weights)
    if weights is None:
        return backbone.sources[0]
    if weights in backbone.sources:
        return weights
    endings = {
        ending: convention
        for ending, convention in CONVENTION_OF_FILE.items()
        if convention in backbone.preprocessing
    }
    if pathlib.Path(weights).suffix not in endings:
        files = f", or the path of a file that ends in {' or '.join(endings)}"
        files = files if endings else ""
        raise ValueError(
            f"{owner} has no such weights for {name!r}. "
            f"{validation.nearest_names(weights, backbone.sources)}"
            f"Use one of {list(backbone.sources)}{files}. "
            f"Received: weights={validation.show(weights)}"
        )
    if not os.path.isfile(weights):
        raise FileNotFoundError(
            f"{owner} finds no weights file at this path. Check the path, or "
            f"use one of {list(backbone.sources)}. "
            f"Received: weights={show_path(weights)}"
        )
    return weights


def check_torchvision_weights(
    owner: str, weights: PathLike | None
) -> str | None:
    """Refuses weights of a network other than torchvision's.

    Args:
        owner: Name of the object that asks, for the message.
        weights: What the user gave: `None`, a word or a path.

    Returns:
        `None` or a string.

    Raises:
        ValueError: If other weights are asked for.
    """
    weights = Checker(owner).path("weights", weights)
    if weights in (None, "torchvision", "random") or weights.endswith(".npz"):
        return weights
    raise ValueError(
        f"{owner} was fitted to the features of torchvision's network, and "
        "means nothing with other weights: those of keras.applications "
        '("imagenet", or an .h5 file) make another network, with other '
        "channels. Leave out `weights` for those in this package, or give the "
        "path of an .npz file of torchvision's. "
        f"Received: weights={validation.show(weights)}"
    )


def weights_convention(name: str, source: str) -> str:
    """Returns which convention the weights from a source follow.

    Args:
        name: String, a key of `BACKBONES`.
        source: What `resolve_source` returned.

    Returns:
        A key of the network's `preprocessing`.
    """
    preprocessing = BACKBONES[name].preprocessing
    if source == "random":
        return next(iter(preprocessing))
    if source in preprocessing:
        return source
    return CONVENTION_OF_FILE[pathlib.Path(source).suffix]


def build_untrained(name: str, dtype: str) -> keras.Model:
    """Builds a named network whose weights are still to be loaded.

    Args:
        name: String, a key of `BACKBONES`.
        dtype: Name of the dtype policy of the layers.

    Returns:
        A `keras.Model` of images shaped `(batch, height, width, 3)`.
    """
    with building_scope(dtype):
        return BACKBONES[name].build()


def load_weights(
    network: keras.Model, name: str, source: str, dtype: str
) -> keras.Model:
    """Gives a named network the weights from `source`.

    Args:
        network: What `build_untrained` returned.
        name: String, a key of `BACKBONES`.
        source: What `resolve_source` returned.
        dtype: Name of the dtype policy of the layers.

    Returns:
        The network with its weights.
    """
    backbone = BACKBONES[name]
    if source == "random":
        weights_loading.assign_random(network)
    elif source == "torchvision" and backbone.packaged_weights:
        arrays = weights_loading.read_packaged(backbone.packaged_weights)
        weights_loading.assign(network, arrays, backbone.packaged_weights)
    elif source in backbone.sources:
        # Built anew: EfficientNet has one layer more with these weights.
        with building_scope(dtype):
            network = backbone.build(weights=source)
    else:
        weights_loading.load_file(network, source)
    return network


@contextlib.contextmanager
def building_scope(dtype: str) -> Iterator[None]:
    """Builds layers of a type and leaves no trace.

    The policy is that of this thread alone. What all threads share, such as
    the default type and the image format, is not touched.

    Args:
        dtype: Name of the dtype policy of the layers.

    Yields:
        Nothing.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
