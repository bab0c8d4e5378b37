"""The features that a frozen network sees in an image."""

import dataclasses
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.features import weights_loading
from keras_perceptual.features.backbones import (
    BACKBONES,
    build_untrained,
    building_scope,
    load_weights,
    resolve_source,
    weights_convention,
)
from keras_perceptual.features.balance import balanced_layers
from keras_perceptual.features.rewiring import (
    POOLINGS,
    has_max_pooling,
    tap_network,
)
from keras_perceptual.features.taps import check_taps, standardize_tap
from keras_perceptual.image_validation import ImageChecker
from keras_perceptual.ops.value_range import rescale
from keras_perceptual.typing import (
    ArrayLike,
    PathLike,
    Pooling,
    Tensor,
    ValueRange,
)
from keras_perceptual.validation import show

OWNER = "FeatureExtractor"
check: ImageChecker = ImageChecker(OWNER)

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
CAFFE_MEAN_RGB = np.array([123.68, 116.779, 103.939])


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a network's images looked like when its weights were trained.

    An affine map of RGB images, a factor and an offset for each channel, and
    the order of the channels after it.
    """

    scale: np.ndarray
    offset: np.ndarray
    bgr: bool = False

    def __call__(self, images: Tensor, value_range: ValueRange) -> Tensor:
        """Maps RGB images from `value_range` to what the network expects."""
        if value_range != (0.0, 1.0):
            images = rescale(images, value_range)
        images = images * ops.cast(self.scale, images.dtype)
        images = images + ops.cast(self.offset, images.dtype)
        return ops.flip(images, axis=-1) if self.bgr else images


PREPROCESSING = {
    # torchvision: mean 0 and standard deviation 1 over ImageNet.
    "torch": Preprocessing(1 / IMAGENET_STD, -IMAGENET_MEAN / IMAGENET_STD),
    # keras.applications, mode "caffe": BGR in (0, 255) less the mean.
    "caffe": Preprocessing(np.full(3, 255.0), -CAFFE_MEAN_RGB, bgr=True),
    # keras.applications, mode "tf": (-1, 1).
    "tf": Preprocessing(np.full(3, 2.0), np.full(3, -1.0)),
    # Networks that hold their own preprocessing expect (0, 255).
    "inside": Preprocessing(np.full(3, 255.0), np.zeros(3)),
}


class FeatureExtractor:
    """Computes what chosen layers of a frozen network see in images.

    The network is cut off behind the deepest layer that is asked for, runs in
    inference mode and never learns. The features come as float32 whatever type
    the network computes in.

    This is deliberately not a Keras object: Keras' savers walk through the
    attributes of models, layers and losses, and would write the network into
    every checkpoint of a model that merely uses it.

    Args:
        backbone: String, the name of a network (`"vgg16"`, `"alexnet"`,
            `"vgg19"`, `"inception_v3"`, `"resnet50"`, `"mobilenet_v2"`,
            `"efficientnet_b0"`, `"convnext_tiny"`, and of keras-hub
            `"dinov2_small"` and `"dinov2_base"`), or a Functional or Sequential
            `keras.Model` of images. Of a model a frozen copy is taken; what
            preprocessing it needs belongs inside the model, which receives the
            images as they are.
        layers: Name or names of layers. Those of VGG and AlexNet may also be
            given as PyTorch users know them: `"relu3_3"` is `"block3_conv3"`.
            A name with `":before_activation"` behind it means what the layer
            computes before its own activation, which for VGG PyTorch users
            know as `"conv3_3"`. Defaults to those that `PerceptualLoss`
            compares, with another pooling to a single one of them; of a
            `keras.Model`, to its last layer. Of a layer that is called several
            times, the first call is meant.
        weights: Where the weights come from. `"torchvision"`: from this
            package (`"vgg16"`, `"alexnet"`). `"imagenet"`: downloaded by
            `keras.applications`. `"keras_hub"`: downloaded by that. A path:
            `.npz` with arrays named `"<layer>/kernel"` and `"<layer>/bias"` in
            torchvision's convention (VGG and AlexNet), or `.h5` as Keras writes
            it. `"random"`: the same random numbers in every process, for
            tests. Defaults to `"torchvision"` where there is such a file, else
            to the download; for a `keras.Model`, to the weights that it has.
        pooling: What pools where the network takes a maximum. `"max"`: as the
            network has it. `"average"`: the mean of the same window, which
            Gatys et al. found to give smoother pictures. `"l2"`: the energy
            under a Hann window of three by three with the same stride, as in
            DISTS (see `ops.pooling.l2_pool`), which hardly changes when the
            picture moves by a pixel. Defaults to `"max"`.
        value_range: Pair of numbers, the range of the pixels. Defaults to
            `(0, 1)`.
        dtype: Name of the dtype policy that the network computes in. Defaults
            to `"float32"`; a `keras.Model` keeps its own.

    Call arguments:
        images: Floating-point tensor shaped `(batch, height, width, 3)`; gray
            images with one channel are repeated where the network wants three.

    Returns:
        A dictionary from the names in `layers` to tensors, usually shaped
        `(batch, rows, columns, channels)`.

    Raises:
        ValueError: If the backbone, a layer, the pooling or the weights are
            unknown or do not fit; if a layer that has no activation of its own
            is tapped before it; if another pooling is asked of a network that
            has no `MaxPooling2D`; if an image is too small for a layer.
        FileNotFoundError: If there is no weights file at the path.
        RuntimeError: If it is constructed while a function is being traced.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.features import FeatureExtractor
    >>> extractor = FeatureExtractor("alexnet", ["relu2", "conv5"])
    >>> features = extractor(np.zeros((1, 64, 64, 3), "float32"))
    >>> {name: tuple(x.shape) for name, x in features.items()}
    {'relu2': (1, 7, 7, 192), 'conv5': (1, 3, 3, 256)}

    Reference:
        - Simonyan and Zisserman (2014), https://arxiv.org/abs/1409.1556 (VGG)
        - Krizhevsky (2014), https://arxiv.org/abs/1404.5997 (AlexNet)
        - https://keras.io/api/applications/ for the others
        - Oquab et al. (2023), https://arxiv.org/abs/2304.07193 (DINOv2)
        - Gatys et al. (2016), Image style transfer using convolutional neural
          networks, for `pooling="average"`
        - Ding et al. (2020), https://arxiv.org/abs/2004.07728, for
          `pooling="l2"`
        - Wang et al. (2018), https://arxiv.org/abs/1809.00219, for taps before
          the activation
    """

    convention: str | None
    layers: tuple[str, ...]
    network: keras.Model
    identity: int

    def __init__(
        self,
        backbone: str | keras.Model = "vgg16",
        layers: str | Sequence[str] | None = None,
        *,
        weights: PathLike | None = None,
        pooling: Pooling = "max",
        value_range: ValueRange = (0, 1),
        dtype: str = "float32",
    ) -> None:
        _refuse_trace()
        self.pooling: Pooling = check.choice("pooling", pooling, POOLINGS)
        self.value_range: tuple[float, float] = check.value_range(value_range)
        layers = _names_of(layers)
        if isinstance(backbone, keras.Model):
            _check_tappable(backbone)
            self.convention = self._preprocess = None
            self.layers = tuple(layers or usual_layers(backbone))
            taps = {name: name for name in self.layers}
            check_taps(taps, backbone)
            _check_pooling(backbone, pooling)
            network = _frozen_copy(backbone, weights)
            dtype = network.dtype_policy.name
        else:
            check.choice("backbone", backbone, BACKBONES)
            known = BACKBONES[backbone]
            source = resolve_source(OWNER, backbone, weights)
            self.convention = weights_convention(backbone, source)
            self._preprocess = PREPROCESSING[
                known.preprocessing[self.convention]
            ]
            self.layers = tuple(
                layers or usual_layers(backbone, weights, pooling)
            )
            taps = {n: standardize_tap(n, known.aliases) for n in self.layers}
            network = build_untrained(backbone, dtype)
            check_taps(taps, network, known.aliases)
            _check_pooling(network, pooling)
            network = load_weights(network, backbone, source, dtype)
        with building_scope(dtype):
            self.network = keras.Model(
                *tap_network(network, list(taps.values()), pooling),
                name=network.name,
            )
        self.network.trainable = False
        self._run = _backend.frozen_call(self.network)
        self.identity = _identity(self.network)
        self._sizes_seen: set[tuple[int | None, ...]] = set()

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Numbers of channels that images may have; `None` for any."""
        wanted = self.network.inputs[0].shape[-1]
        return {None: None, 3: (1, 3)}.get(wanted, (wanted,))

    def __call__(self, images: ArrayLike) -> dict[str, Tensor]:
        """Computes the features of a batch of images."""
        images = ops.convert_to_tensor(images)
        shape = tuple(images.shape)
        # While a model is exported, sizes are symbols.
        sizes = tuple(x if isinstance(x, int) else None for x in shape[1:])
        if sizes not in self._sizes_seen:
            check.image_shape(
                shape,
                channels=self.channels,
                data_format="channels_last",
                received=f"Received: images.shape={shape}",
            )
            self._check_size((sizes[0], sizes[1]))
            self._sizes_seen.add(sizes)
        dtype = self.network.compute_dtype
        images = ops.cast(images, _at_least_float32(dtype))
        if shape[-1] == 1 and self.channels == (1, 3):
            images = ops.repeat(images, 3, axis=-1)
        if self._preprocess is not None:
            images = self._preprocess(images, self.value_range)
        features = self._run(ops.cast(images, dtype))
        if len(self.layers) == 1:
            features = [features]
        return {
            name: ops.cast(x, _at_least_float32(dtype))
            for name, x in zip(self.layers, features, strict=True)
        }

    def smallest_side(self, positions: int = 1) -> int:
        """Returns the least side of square images that all layers see.

        Args:
            positions: Integer, how many positions each is to have at least.
        """
        low, high = 0, 2048
        while high - low > 1:
            middle = (low + high) // 2
            if min(_positions(self.network, (middle, middle))) >= positions:
                high = middle
            else:
                low = middle
        return high

    def _check_size(self, size: tuple[int | None, int | None]) -> None:
        """Refuses images of which a layer would see nothing."""
        counts = _positions(self.network, size)
        blind = [
            repr(name)
            for name, count in zip(self.layers, counts, strict=True)
            if count == 0
        ]
        if blind:
            layers = "layers" if len(blind) > 1 else "layer"
            raise ValueError(
                f"These images are too small for the {layers} "
                f"{', '.join(blind)} of {self.network.name!r}: nothing is left "
                "of them there. Use images of at least "
                f"{self.smallest_side()} pixels a side, or layers nearer to "
                f"the input. Received: height={size[0]}, width={size[1]}"
            )


def _names_of(layers: Any) -> list[str]:
    """Returns the names of layers that were given, a single one too."""
    names = [layers] if isinstance(layers, str) else layers
    names = list(names) if isinstance(names, Iterable) else names
    if names is None:
        return []
    if not isinstance(names, list) or not all(
        isinstance(name, str) for name in names
    ):
        raise ValueError(
            f"{OWNER} needs the name of a layer, or a list of names. Received: "
            f"layers={show(layers)}"
        )
    return names


def usual_layers(
    backbone: str | keras.Model,
    weights: PathLike | None = None,
    pooling: Pooling = "max",
) -> tuple[str, ...]:
    """Returns the taps of a network that are compared if none are named.

    Args:
        backbone: As for `FeatureExtractor`.
        weights: As for `FeatureExtractor`.
        pooling: As for `FeatureExtractor`.

    Returns:
        A tuple of names of layers.
    """
    if isinstance(backbone, keras.Model):
        return (backbone.layers[-1].name,)
    check.choice("backbone", backbone, BACKBONES)
    source = resolve_source(OWNER, backbone, weights)
    convention = weights_convention(backbone, source)
    return (
        balanced_layers(backbone, convention, pooling)
        or BACKBONES[backbone].default_layers
    )


def _refuse_trace() -> None:
    """Refuses to build while a function is traced.

    A network built there would keep its initial weights: loading them would
    become a part of the traced function.
    """
    if not _backend.has_values(ops.zeros(())):
        raise RuntimeError(
            "A frozen network cannot be built inside a function that is being "
            "traced, such as `call`, `train_step` or a `tf.function`: it "
            "would run with weights that were never loaded. Construct it "
            "once, outside, and use it inside; to `compile`, pass an object "
            "of a loss, such as `PerceptualLoss()`, and not its class. "
            "Received: a traced context"
        )


def _check_tappable(model: keras.Model) -> None:
    """Refuses a model whose layers are not linked in a graph."""
    if len(getattr(model, "inputs", None) or ()) != 1:
        raise ValueError(
            "A backbone has to be a Functional or a built Sequential model "
            "with one input, so that its layers can be tapped. Wrap a "
            "subclassed model's layers into `keras.Model(inputs, outputs)`. "
            f"Received: {model!r}"
        )


def _check_pooling(network: keras.Model, pooling: Pooling) -> None:
    """Refuses another pooling for a network that has no maximum to replace."""
    if pooling != "max" and not has_max_pooling(network):
        raise ValueError(
            f"{network.name!r} has no `MaxPooling2D` that another pooling "
            'could replace. Leave out `pooling`, or use "vgg16", "vgg19" or '
            f'"alexnet". Received: pooling={pooling!r}'
        )


def _frozen_copy(model: keras.Model, weights: PathLike | None) -> keras.Model:
    """Copies a user's model, so that its training does not move the loss."""
    copy = keras.models.clone_model(model)
    if weights is None:
        for variable, original in zip(copy.weights, model.weights, strict=True):
            variable.assign(ops.convert_to_tensor(original))
    elif weights == "random":
        weights_loading.assign_random(copy)
    else:
        weights_loading.load_file(copy, str(weights))
    return copy


def _identity(network: keras.Model) -> int:
    """Returns a number that tells networks and their weights apart."""
    found = 0
    for variable in network.weights:
        values = ops.convert_to_numpy(variable.value)
        found = zlib.crc32(values.tobytes(), found)
    return found


def _at_least_float32(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def _positions(
    network: keras.Model, size: tuple[int | None, int | None]
) -> list[int]:
    """Returns how many positions of an image each output has."""
    # A side that is not known yet is taken to be long enough.
    height, width = (2048 if side is None else side for side in size)
    channels = network.inputs[0].shape[-1] or 1
    try:
        shapes = network.compute_output_shape((1, height, width, channels))
    except ValueError:
        # Some layer refuses it: each output is asked for itself.
        if len(network.outputs) == 1:
            return [0]
        parts = [keras.Model(network.inputs[0], x) for x in network.outputs]
        return [_positions(part, size)[0] for part in parts]
    if not isinstance(shapes, list):
        shapes = [shapes]
    return [math.prod(shape[1:-1]) if 0 not in shape else 0 for shape in shapes]
