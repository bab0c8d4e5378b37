"""The distance of two images in the feature space of a frozen network."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import keras
from keras import ops

from keras_perceptual import validation
from keras_perceptual.docstrings import fill
from keras_perceptual.features.backbones import BACKBONES
from keras_perceptual.features.balance import balanced_weights
from keras_perceptual.features.extractor import FeatureExtractor, usual_layers
from keras_perceptual.features.taps import check_layers, standardize_tap
from keras_perceptual.losses.distance import FeatureDistance
from keras_perceptual.losses.feature_loss import FeatureLoss
from keras_perceptual.losses.presets import PRESETS
from keras_perceptual.losses.style_image import read_image
from keras_perceptual.ops.distances import (
    FEATURE_DISTANCES,
    feature_distance,
    feature_penalty,
    map_values,
    unit_normalize,
)
from keras_perceptual.ops.gram import GRAM_NORMALIZATIONS, gram_matrix
from keras_perceptual.ops.pyramids import halve_images
from keras_perceptual.typing import (
    ArrayLike,
    DataFormat,
    DType,
    FeatureDifference,
    GramNormalization,
    Layers,
    PathLike,
    PerceptualPreset,
    Pooling,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)
from keras_perceptual.validation import Checker

# What features count that are added, with `distance="lost"`.
ADDED_WEIGHT = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PerceptualDistance(FeatureDistance):
    """Compares features position by position, and their Gram matrices."""

    content: dict[str, float]
    style: dict[str, float]
    distance: FeatureDifference
    normalize_features: bool
    gram_normalization: GramNormalization
    scales: int
    added_weight: float
    # Whether the network was revived without its weights.
    is_lost: bool = False

    takes_mask = True
    no_map: ClassVar[str | None] = None

    @property
    def settings(self) -> tuple[Any, ...]:
        """What of the configuration decides what is observed."""
        return (
            list(self.content),
            [] if self.fixed else list(self.style),
            self.gram_normalization,
            self.normalize_features,
            self.scales,
        )

    def see(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns features to compare, and Gram matrices."""
        if self.is_lost:
            raise RuntimeError(
                "This PerceptualLoss was loaded with the architecture of its "
                f"backbone {self.network.name!r} but without its weights, "
                "which are not saved with a model. Compile the model anew with "
                "`loss=PerceptualLoss(backbone=...)`, or give the weights as "
                "a path from the start: `PerceptualLoss(backbone=..., "
                "weights='backbone.weights.h5')`. Received: weights=None"
            )
        found, shape = {}, tuple(images.shape)
        for scale in range(self.scales):
            if scale:
                images = halve_images(images, "channels_last")
            try:
                features = self.extractor(images)
            except ValueError as error:
                if not scale:
                    raise
                side = self.extractor.smallest_side()
                raise ValueError(
                    f"{self.owner} looks at images at {self.scales} scales, "
                    "and of these a layer sees nothing at one of them. Use "
                    f"images of at least {2 ** (self.scales - 1) * side} "
                    "pixels a side, fewer scales, or layers nearer to the "
                    f"input. Received: scales={self.scales}, images of shape "
                    f"{shape}"
                ) from error
            if self.normalize_features:
                features = map_values(unit_normalize, features)
            end = f"/scale{scale + 1}" if scale else ""
            for tap in self.content:
                found[f"content/{tap}{end}"] = features[tap]
            for tap in self.style:
                found[f"style/{tap}{end}"] = gram_matrix(
                    features[tap], self.gram_normalization, mask
                )
        return found

    def compare(
        self,
        true: Mapping[str, Tensor],
        pred: Mapping[str, Tensor],
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what each tap adds to the distance at each scale."""
        content = functools.partial(
            feature_distance,
            self.distance,
            mask=mask,
            added_weight=self.added_weight,
        )
        style = functools.partial(feature_distance, "mse")
        found = {
            **map_values(content, *(_of("content/", x) for x in (true, pred))),
            **map_values(style, *(_of("style/", x) for x in (true, pred))),
        }
        return {name: self._weight(name) * found[name] for name in pred}

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns how much each position of a tap adds."""
        if not self.content:
            raise ValueError(
                f"{self.owner} has no map of its style term, which "
                "compares statistics of whole images. Give `content_weight` "
                "a value above 0. Received: content_weight=0"
            )
        penalty = feature_penalty(self.distance, self.added_weight)
        return {
            name: self._weight(name) * ops.mean(penalty(true[name], x), -1)
            for name, x in _of("content/", pred).items()
        }

    def _weight(self, name: str) -> float:
        """Returns the weight of a term."""
        kind, tap = name.split("/")[:2]
        return (self.style if kind == "style" else self.content)[tap]


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class PerceptualLoss(FeatureLoss):
    """Compares images by what a frozen network sees in them.

    A pixel loss asks for the average of all plausible pictures, which is a
    blurred one. This loss compares the features of a network trained to
    recognize things, for which a sharp texture in a slightly different place
    is closer than a smear in the right one:

    ```
    loss = content_weight * sum over layers of
               weight * distance(features(y_true), features(y_pred))
         + style_weight * sum over style_layers of
               weight * mse(gram(features(y_true)), gram(features(y_pred)))
    ```

    with means over height, width and channels. Images are RGB in
    `value_range`, default `(0, 1)`; gray images with one channel are
    accepted. The network never learns, and no gradient flows to `y_true`.

    Args:
        backbone: String or `keras.Model`, the network. `"vgg16"` and
            `"alexnet"` come with this package; `"vgg19"`, `"inception_v3"`,
            `"resnet50"`, `"mobilenet_v2"`, `"efficientnet_b0"` and
            `"convnext_tiny"` with `keras.applications`, `"dinov2_small"` and
            `"dinov2_base"` with keras-hub, which download their weights. Of a
            model with named layers a frozen copy is taken; it
            receives the images as they are. Defaults to `"vgg16"`.
        layers: The taps: a list of names of layers, each of weight 1, or a
            dictionary from names to weights. Names are those of Keras, and for
            VGG and AlexNet also PyTorch's: `"relu3_3"` is after the activation
            and `"conv3_3"` before it. `":before_activation"` behind any name
            means the same. Defaults to the backbone's usual taps; those of the
            packaged networks have constants that make them count alike, and
            that make 1 the loss of an average distortion (see Notes).
        weights: Where the network's weights come from: `"torchvision"`,
            `"imagenet"`, a path (`.npz` or `.h5`) or `"random"`; see
            `FeatureExtractor`. Defaults to the package's where there are any,
            else to `"imagenet"`, and to the own ones of a `keras.Model`.
        pooling: `"max"`, `"average"` or `"l2"`, what pools where the network
            takes a maximum; see `FeatureExtractor`. Defaults to `"max"`.
        distance: String, how features are compared: `"mse"`, `"mae"`,
            `"charbonnier"` (`sqrt(d ** 2 + 1e-6) - 1e-3`), `"cosine"` (one
            minus the cosine between channel vectors), or `"lost"`: squared
            differences, of which those count 1 where `y_pred` has less of a
            feature than `y_true`, and those `added_weight` where it has more.
            It asks for detail, at the risk of too much. Defaults to `"mse"`.
        added_weight: Float of at least 0, for `distance="lost"`: from 1, which
            is `"mse"`, the pictures get sharper towards 0. Defaults to 0.1.
        normalize_features: Boolean, whether the channel vector at each
            position is scaled to length one, as in LPIPS. Defaults to `False`.
        content_weight: Float, the weight of the distance of the features.
            Defaults to 1.
        style_weight: Float, the weight of the distance of the Gram matrices.
            Defaults to 0.
        style_layers: The taps of the style term, as `layers`. Defaults to
            `layers`.
        style_image: A picture that takes the place of `y_true` in the style
            term, of any size: an array shaped `(height, width, 3)`, or
            `(height, width)` if gray, with values in `value_range` and looked
            at as `check_range` says; or the path of a file that Pillow reads.
            Its Gram matrices are computed once. A path is saved as it is, an
            array with every pixel. Defaults to `None`: the style of `y_true`.
        gram_normalization: What Gram matrices are divided by: `"chw"`,
            channels, height and width (Johnson, BasicSR); `"hw"`, height and
            width (TensorFlow's tutorial, FILM); `"none"` (piq). The style term
            with `"hw"` is `channels ** 2` times that with `"chw"`, and with
            `"none"` it is `(height * width) ** 2` times that, of the features.
            Defaults to `"chw"`.
        scales: Integer. At how many scales to compare: the images at each have
            half the size of those at the last, by averaging two by two pixels,
            and the terms of all are summed. Defaults to 1.
        {feature_loss_arguments}

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`, of any type;
            or what `encode` made of them; or a pair of either and a mask.
        y_pred: Floating-point images of the same shape.
        sample_weight: Optional tensor shaped `(batch,)`; or a mask.

    A mask is a weight of at least 0 for each pixel, shaped
    `(batch, height, width)`. Where features see only pixels of weight 0 they
    have no share in the loss, and the sums are divided by the area of the
    mask: a constant error costs the same under any mask, and nothing under
    one that is 0 everywhere.

    Returns:
        A scalar, or a tensor shaped `(batch,)` with `reduction=None`.

    Raises:
        ValueError: If the backbone, a layer, a distance or the weights are
            unknown; if the two batches cannot be compared; if an image is too
            small for a tap; if `y_pred` is of an integer type; if a mask has
            another size; if encoded targets come from another configuration.
        FileNotFoundError: If `weights` or `style_image` is the path of no
            file.
        RuntimeError: If constructed while a function is being traced; if it
            was loaded without the weights of its `keras.Model`.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> rng = np.random.default_rng(0)
    >>> photo = rng.uniform(size=(2, 32, 32, 3)).astype("float32")
    >>> loss = kp.PerceptualLoss("alexnet")
    >>> float(loss(photo, photo))
    0.0
    >>> float(loss(photo, 0.5 * photo)) > float(loss(photo, 0.9 * photo)) > 0
    True

    In a model: `model.compile("adam", loss=kp.PerceptualLoss())`. Targets
    that come again and again can be encoded once, here by `encode`, in a
    `tf.data.Dataset` by `map` in front of `cache`:

    >>> import keras
    >>> model = keras.Sequential([keras.layers.Conv2D(3, 3, padding="same")])
    >>> model.compile("adam", loss)
    >>> history = model.fit(0.5 * photo, loss.encode(photo), verbose=0)

    Notes:
        - Which network: `"vgg16"` to train with; `"alexnet"` to measure, or
          where speed matters. Features of networks with normalizations agree
          less well with people.
        - The constants of the default taps are one over the mean distance at
          each tap over distorted public-domain photographs, divided by the
          number of taps. With `"imagenet"` weights, another pooling or another
          backbone there are none, and the default is one tap of weight 1; nor
          for Gram matrices that are not divided by `"chw"`.
        - From other packages: `piq.ContentLoss` sums over the channels where
          this takes the mean, and is `channels` times as large;
          `piq.StyleLoss` has `gram_normalization="none"`; BasicSR's
          `PerceptualLoss` is `distance="mae"` with `"conv5_4"` and the like.
        - Saving: the network is not written into checkpoints. A `keras.Model`
          as backbone is saved by its architecture; give its `weights` as a
          path, else the loss that `load_model` revives refuses to compute
          until it is made anew. `load_model(path, compile=False)` does without
          any loss.

    Reference:
        - Johnson et al. (2016), Perceptual losses for real-time style transfer
          and super-resolution, https://arxiv.org/abs/1603.08155
        - Gatys et al. (2016), Image style transfer using convolutional neural
          networks, for the style term
    """

    def __init__(
        self,
        backbone: str | keras.Model = "vgg16",
        layers: Layers | None = None,
        *,
        weights: PathLike | None = None,
        pooling: Pooling = "max",
        distance: FeatureDifference = "mse",
        added_weight: float = ADDED_WEIGHT,
        normalize_features: bool = False,
        content_weight: float = 1.0,
        style_weight: float = 0.0,
        style_layers: Layers | None = None,
        style_image: ArrayLike | PathLike | None = None,
        gram_normalization: GramNormalization = "chw",
        scales: int = 1,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "perceptual_loss",
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
        self.layers = check_layers(check.owner, "layers", layers)
        self.distance = check.choice("distance", distance, FEATURE_DISTANCES)
        self.added_weight = check.number(
            "added_weight", added_weight, minimum=0
        )
        if self.distance != "lost" and self.added_weight != ADDED_WEIGHT:
            raise ValueError(
                f'{check.owner} weighs what is added with `distance="lost"` '
                "alone. Ask for that, or leave `added_weight` out. Received: "
                f"distance={distance!r}, added_weight={added_weight!r}"
            )
        self.normalize_features = check.boolean(
            "normalize_features", normalize_features
        )
        self.content_weight = check.number(
            "content_weight", content_weight, minimum=0
        )
        self.style_weight = check.number(
            "style_weight", style_weight, minimum=0
        )
        _check_style(check.owner, self, style_layers, style_image)
        self.style_layers = check_layers(
            check.owner, "style_layers", style_layers
        )
        self.gram_normalization = check.choice(
            "gram_normalization", gram_normalization, GRAM_NORMALIZATIONS
        )
        self.scales = check.integer(
            "scales",
            scales,
            minimum=1,
            maximum=validation.MOST_SCALES,
        )
        weights = check.path("weights", weights)
        self.weights = weights
        # Keras' savers write out every model that an attribute leads to, so
        # that the network hides in an object that they do not look into.
        if isinstance(backbone, keras.Model):
            self.backbone = backbone.name
            self._backbone_config = keras.saving.serialize_keras_object(
                backbone
            )
        else:
            self.backbone = self._backbone_config = backbone
        usual = ()
        if self.layers is None:
            usual = usual_layers(backbone, weights, pooling)
        content = style = self.layers or usual
        if self.style_layers is not None:
            style = _share_names(backbone, content, self.style_layers)
        content = content if self.content_weight else ()
        style = style if self.style_weight else ()
        extractor = FeatureExtractor(
            backbone,
            list(dict.fromkeys([*content, *style])),
            weights=weights,
            pooling=pooling,
            value_range=self.value_range,
            dtype=self._dtype_config,
        )
        self.pooling = pooling

        def weigh(taps: Layers, kind: str, factor: float) -> dict[str, float]:
            convention = extractor.convention
            found = self._weigh(convention, taps, usual, kind)
            return {tap: factor * weight for tap, weight in found.items()}

        self._distance = PerceptualDistance.of(
            self,
            extractor=extractor,
            content=weigh(content, self.distance, self.content_weight),
            style=weigh(style, "gram", self.style_weight),
        )
        self.style_image = style_image
        if style_image is not None:
            self._set_style(style_image)

    @classmethod
    def preset(cls, name: PerceptualPreset, **overrides: Any) -> Self:
        """Returns the loss of a publication.

        | name | publication |
        | --- | --- |
        | `"johnson2016_style"` | Johnson et al. 2016, VGG16, style 5 |
        | `"johnson2016_super_resolution"` | the same, `relu2_2` |
        | `"srgan_vgg54"` | Ledig et al. 2017, features divided by 12.75 |
        | `"esrgan"` | Wang et al. 2018, before the activation |
        | `"gatys2016"` | Gatys et al. 2016, at 512 x 512 pixels |
        | `"pix2pixhd"` | Wang et al. 2018, five taps |
        | `"film"` | Reda et al. 2022, the feature term |
        | `"tensorflow_style_transfer"` | the tutorial of TensorFlow |

        All but those of Johnson are made for VGG19, which `keras.applications`
        downloads. The weights are those of each publication for its own means
        and sums, as `keras_perceptual/losses/presets.py` works out.

        Args:
            name: String, a name of this table.
            **overrides: Arguments of `PerceptualLoss` that are to differ, such
                as `value_range`, `style_image` or `backbone`.

        Returns:
            A `PerceptualLoss`; its configuration does not mention the preset.

        Raises:
            ValueError: If there is no preset of this name.

        Example:

        >>> from keras_perceptual import PerceptualLoss
        >>> loss = PerceptualLoss.preset("johnson2016_super_resolution")
        >>> loss.layers
        {'relu2_2': 1.0}
        """
        Checker(f"{cls.__name__}.preset").choice("name", name, PRESETS)
        return cls(**{**PRESETS[name], **overrides})

    def _weigh(
        self, convention: str | None, taps: Layers, usual: Layers, kind: str
    ) -> dict[str, float]:
        """Returns the weight of each tap."""
        if isinstance(taps, dict):
            return taps
        measured = kind != "gram" or self.gram_normalization == "chw"
        if taps is not usual or not measured:
            return dict.fromkeys(taps, 1.0)
        return balanced_weights(
            self.backbone,
            convention,
            kind,
            self.normalize_features,
            list(taps),
            self.pooling,
            self.added_weight,
        )

    def _set_style(self, style_image: ArrayLike | PathLike) -> None:
        """Observes an image of style, once for all."""
        image = read_image(
            self._check.owner, style_image, self.value_range, self.check_range
        )
        if not isinstance(style_image, str | os.PathLike):
            pixels = ops.convert_to_numpy(style_image)
            self._style_image_config = pixels.tolist()
        found = self._distance.see(ops.convert_to_tensor(image[None]))
        style = {
            name: ops.convert_to_numpy(x)
            for name, x in found.items()
            if name.startswith("style/")
        }
        self._distance = dataclasses.replace(self._distance, fixed=style)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Revives a loss; that of a `keras.Model` may lack its weights."""
        if isinstance(config.get("backbone", ""), str):
            return cls(**config)
        backbone = Checker(cls.__name__).revive(config, "backbone")
        loss = cls(**{**config, "backbone": backbone})
        if loss.weights is None and backbone.variables:
            distance = cast(PerceptualDistance, loss._distance)
            loss._distance = dataclasses.replace(distance, is_lost=True)
        return loss


def _of(kind: str, observed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns what is observed of one kind."""
    return {name: x for name, x in observed.items() if name.startswith(kind)}


def _check_style(
    owner: str,
    loss: PerceptualLoss,
    style_layers: Layers | None,
    style_image: ArrayLike | PathLike | None,
) -> None:
    """Refuses weights and arguments of which nothing would come."""
    if loss.content_weight == loss.style_weight == 0:
        raise ValueError(
            f"{owner} would always be zero. Give `content_weight` or "
            "`style_weight` a value above 0. Received: "
            f"content_weight={loss.content_weight}, "
            f"style_weight={loss.style_weight}"
        )
    given = {"style_layers": style_layers, "style_image": style_image}
    for argument, value in given.items():
        if value is not None and not loss.style_weight:
            raise ValueError(
                f"{owner} has no use for `{argument}` without a style term. "
                f"Give `style_weight` a value above 0, or leave `{argument}` "
                f"out. Received: style_weight={loss.style_weight}"
            )


def _share_names(
    backbone: str | keras.Model, content: Layers, style: Layers
) -> Layers:
    """Returns the style taps, by the names that the content taps go by."""
    aliases = getattr(BACKBONES.get(backbone), "aliases", {})
    known = {standardize_tap(name, aliases): name for name in content}
    names = [known.get(standardize_tap(n, aliases), n) for n in style]
    if isinstance(style, dict):
        return dict(zip(names, style.values(), strict=True))
    return names
