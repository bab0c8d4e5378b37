"""A loss between images that are not aligned."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.features.backbones import BACKBONES
from keras_perceptual.features.extractor import FeatureExtractor, usual_layers
from keras_perceptual.features.taps import check_layers
from keras_perceptual.losses.distance import FeatureDistance
from keras_perceptual.losses.feature_loss import FeatureLoss
from keras_perceptual.ops.contextual import contextual_distance, sample_features
from keras_perceptual.typing import (
    DataFormat,
    DType,
    Layers,
    PathLike,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)

# What comes nearest to the taps of the authors, at a quarter and an eighth of
# the size of the images.
USUAL_LAYERS = {
    "vgg16": ("relu3_3", "relu4_3"),
    "vgg19": ("relu3_4", "relu4_4"),
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ContextualDistance(FeatureDistance):
    """Compares which features two images have, and not where.

    Args:
        weights: Dictionary from taps to their weights.
    """

    weights: dict[str, float]
    band_width: float
    max_features: int

    no_mask: ClassVar[str | None] = (
        "compares features wherever they are, so that a mask of places has no "
        "meaning. Crop the images instead, or use `PerceptualLoss`."
    )
    no_map: ClassVar[str | None] = (
        "compares features wherever they are and has no map of where images "
        "differ. Use `per_layer` for the share of each layer, or the map of "
        "`PerceptualLoss`."
    )

    @property
    def settings(self) -> tuple[Any, ...]:
        """What of the configuration decides what is observed."""
        return (self.max_features,)

    def see(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns the features of a grid of limited size."""
        found = self.extractor(images)
        for tap, x in found.items():
            if tuple(x.shape[1:3]) == (1, 1):
                self._refuse_one_position(tap, tuple(images.shape))
        return {
            tap: sample_features(x, self.max_features)
            for tap, x in found.items()
        }

    def _refuse_one_position(self, tap: str, shape: Sequence[Any]) -> NoReturn:
        """Refuses images of which there is one feature, and none to choose."""
        raise ValueError(
            f"{self.owner} compares the features of many positions, and of "
            f"these images the layer {tap!r} of {self.network.name!r} has but "
            "one: any two would be alike. Use images of at least "
            f"{self.extractor.smallest_side(positions=2)} pixels a side, or a "
            "layer nearer to the input. "
            f"Received: height={shape[1]}, width={shape[2]}"
        )

    def compare(
        self,
        true: Mapping[str, Tensor],
        pred: Mapping[str, Tensor],
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what each tap adds to the distance."""
        return {
            tap: weight
            * contextual_distance(true[tap], pred[tap], self.band_width)
            for tap, weight in self.weights.items()
        }


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class ContextualLoss(FeatureLoss):
    """Compares which features two images have, and not where.

    For targets that are not aligned with the predictions, pixel by pixel:
    photographs of two cameras, faces of two expressions, an example of a
    style. Each feature that a frozen network sees in the prediction chooses
    among those of the target, by how near they are in comparison with the
    nearest one; each feature of the target keeps the best share that any
    feature of the prediction gives it:

    ```
    loss = sum over taps of weight * -log(mean over j of max over i of share)
    share[i, j] = softmax over j of -d[i, j] / (min over k of d[i, k]) / h
    ```

    where `d[i, j]` is one minus the cosine of feature `i` of the prediction
    and feature `j` of the target, both less the mean feature of the target,
    and `h` is the band width. Images are RGB in `value_range`, default
    `(0, 1)`; gray images with one channel are accepted. The network never
    learns, and no gradient flows to `y_true`.

    Every feature is compared with every other: memory grows with the square
    of their number. From a tap with more than `max_features` positions, an
    even grid of about as many is taken, the same for all images of a size.

    Args:
        backbone: String, the network: `"vgg16"` and `"alexnet"` come with this
            package; others, with `keras.applications`, see `FeatureExtractor`.
            The authors use `"vgg19"`. Defaults to `"vgg16"`.
        layers: The taps: a list of names of layers, each of weight 1, or a
            dictionary from names to weights. Defaults to `"relu3_3"` and
            `"relu4_3"` of VGG16, `"relu3_4"` and `"relu4_4"` of VGG19, and the
            usual taps of others.
        weights: Where the network's weights come from: `"torchvision"`,
            `"imagenet"`, a path or `"random"`; see `FeatureExtractor`.
            Defaults to the package's where there are any, else to
            `"imagenet"`.
        band_width: Float above zero. The smaller it is, the more a feature
            chooses its nearest one alone. Defaults to 0.5.
        max_features: Integer, the largest number of positions of a tap that
            are compared, at least 2. The distances of one image at a tap take
            `4 * max_features**2` bytes, up to eight times that in training.
            Defaults to 1024.
        {feature_loss_arguments}

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`, of any type;
            or what `encode` made of them.
        y_pred: Floating-point images of the same shape.
        sample_weight: Optional tensor shaped `(batch,)`.

    Returns:
        A scalar, or a tensor shaped `(batch,)` with `reduction=None`.

    Raises:
        ValueError: If the backbone, a layer or the weights are unknown; if the
            two batches cannot be compared; if an image is too small for a
            tap to see two positions; if `y_pred` is of an integer type; if a
            mask is given.
        FileNotFoundError: If `weights` is the path of no file.
        RuntimeError: If constructed while a function is being traced.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> rng = np.random.default_rng(0)
    >>> photo = rng.uniform(size=(1, 64, 64, 3)).astype("float32")
    >>> moved = np.roll(photo, 8, axis=2)
    >>> loss = kp.ContextualLoss("alexnet", ["relu2"])
    >>> bool(loss(photo, moved) < 0.5 * loss(photo, 0 * photo))
    True

    Notes:
        - It is about 0 for equal images that are nowhere flat, and at most
          the logarithm of the number of positions. Where features of the
          target are alike, as in a sky, none is chosen alone, and the loss of
          equal images is above 0.
        - It is not symmetric: the target's features have to be found in the
          prediction, which may hold more.
        - `spatial_map` and masks have no meaning where places have none.

    Reference:
        [Mechrez et al., 2018](https://arxiv.org/abs/1803.02077), "The
        contextual loss for image transformation with non-aligned data". Their
        code takes the mean feature over the batch, here it is that of each
        image; and where there are many features it takes random ones.
    """

    def __init__(
        self,
        backbone: str = "vgg16",
        layers: Layers | None = None,
        *,
        weights: PathLike | None = None,
        band_width: float = 0.5,
        max_features: int = 1024,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "contextual_loss",
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            value_range=value_range,
            check_range=check_range,
            data_format=data_format,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        check = self._check
        self.backbone = check.choice("backbone", backbone, BACKBONES)
        self.layers = check_layers(check.owner, "layers", layers)
        self.weights = None if weights is None else str(weights)
        self.band_width = check.number("band_width", band_width, above=0)
        self.max_features = check.integer(
            "max_features", max_features, minimum=2
        )
        taps = (
            self.layers
            or USUAL_LAYERS.get(backbone)
            or usual_layers(backbone, weights)
        )
        extractor = FeatureExtractor(
            self.backbone,
            list(taps),
            weights=self.weights,
            value_range=self.value_range,
            dtype=self._dtype_config,
        )
        weights = taps if isinstance(taps, dict) else dict.fromkeys(taps, 1.0)
        self._distance = ContextualDistance.of(
            self, extractor=extractor, weights=weights
        )
