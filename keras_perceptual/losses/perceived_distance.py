"""A distance of two images that forgives contrast and counts lost detail."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import keras
from keras import ops

from keras_perceptual.docstrings import fill
from keras_perceptual.features.backbones import check_torchvision_weights
from keras_perceptual.features.balance import balanced_layers, balanced_weights
from keras_perceptual.features.extractor import FeatureExtractor
from keras_perceptual.losses.distance import Own, WindowedDistance
from keras_perceptual.losses.feature_loss import FeatureLoss
from keras_perceptual.losses.lpips import TAPS
from keras_perceptual.ops.color_difference import cie76
from keras_perceptual.ops.color_spaces import srgb_to_lab, to_rgb
from keras_perceptual.ops.distances import (
    mean_per_image,
    position_weights,
)
from keras_perceptual.ops.lost_detail import (
    Moments,
    difference_map,
    feature_difference,
    joint_moments,
    lost_detail,
    lost_detail_map,
    merge_joint_moments,
    root_share,
)
from keras_perceptual.ops.pooling import block_means
from keras_perceptual.typing import (
    DataFormat,
    DType,
    PathLike,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)

# Which of the balanced taps are looked at, from and to: each, or the second.
SIZES: dict[str, tuple[int, int | None]] = {
    "full": (0, None),
    "small": (1, 2),
}

# The term of the colors, which are means of so many pixels a side, and what a
# difference of 1 in CIELAB counts.
COLOR = "color"
COLOR_STRIDE = 4
COLOR_WEIGHT = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LostDetailDistance(WindowedDistance):
    """Compares features by their moments over the image, and colors.

    Fields beside those of every `FeatureDistance`:
        scales: Dictionary from taps to what a squared difference counts.
        strides: Dictionary from taps to the pixels between their positions.
        forgive_gain: Whether contrast that is raised is set aside.
    """

    scales: dict[str, float]
    strides: dict[str, int]
    forgive_gain: bool

    takes_mask = True
    no_map: ClassVar[str | None] = None

    def see(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns the features, and the colors of small squares."""
        colors = srgb_to_lab(block_means(images, COLOR_STRIDE))
        return {COLOR: colors, **self.extractor(images)}

    def compare(
        self,
        true: Mapping[str, Tensor],
        pred: Mapping[str, Tensor],
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what the colors and each tap add to the distance."""
        colors = cie76(true[COLOR], pred[COLOR])
        colors = mean_per_image(ops.expand_dims(colors, -1), mask)
        return self._terms(self._moments(true, pred, mask), colors)

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns how much each position adds."""
        moments = self._moments(true, pred)
        pairs = {tap: (true[tap], pred[tap], moments[tap]) for tap in moments}
        _, share = self._differences(moments)
        share = ops.reshape(share, (-1, 1, 1))
        found = {COLOR: COLOR_WEIGHT * cie76(true[COLOR], pred[COLOR])}
        for tap, pair in pairs.items():
            where = difference_map(*pair, self.forgive_gain)
            found[f"difference/{tap}"] = share * self.scales[tap] * where
            where = lost_detail_map(*pair, self.forgive_gain)
            found[f"detail/{tap}"] = where / len(pairs)
        return found

    def start(self, zeros: Tensor) -> dict[str, Any]:
        """Returns the moments of no position."""
        none = 0 * zeros[0]
        state: dict[str, Any] = {COLOR: (none, zeros)}
        outputs = self.extractor.network.outputs
        for tap, output in zip(self.scales, outputs, strict=True):
            nothing = ops.tile(ops.expand_dims(zeros, 1), (1, output.shape[-1]))
            state[tap] = (none, Moments(*[nothing] * len(Moments._fields)))
        return state

    def add_window(
        self, name: str, state: Any, true: Tensor, pred: Tensor, own: Own
    ) -> Any:
        """Adds the positions of a window to those before."""
        rows, columns = ops.shape(pred)[1:3]
        stride = COLOR_STRIDE if name == COLOR else self.strides[name]
        own = ops.cast(own(rows, columns, stride), pred.dtype)
        count = ops.sum(own)
        if name == COLOR:
            before, total = state
            found = ops.sum(own * cie76(true, pred), axis=(1, 2))
            return before + count, total + found
        moments = joint_moments(true, pred, own / count)
        return merge_joint_moments(state, (count, moments))

    def finish(self, states: Mapping[str, Any]) -> dict[str, Tensor]:
        """Returns the distance of the moments of all windows."""
        count, total = states[COLOR]
        moments = {tap: states[tap][1] for tap in self.scales}
        return self._terms(moments, total / count)

    def _moments(
        self,
        true: Mapping[str, Tensor],
        pred: Mapping[str, Tensor],
        mask: Tensor | None = None,
    ) -> dict[str, Moments]:
        """Returns the moments of each tap."""
        return {
            tap: joint_moments(
                true[tap], pred[tap], position_weights(mask, pred[tap])
            )
            for tap in self.scales
        }

    def _differences(
        self, moments: Mapping[str, Moments]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Returns the differences at the taps, and what they count together."""
        found = {
            tap: scale * feature_difference(moments[tap], self.forgive_gain)
            for tap, scale in self.scales.items()
        }
        return found, root_share(sum(found.values()))

    def _terms(
        self, moments: Mapping[str, Moments], colors: Tensor
    ) -> dict[str, Tensor]:
        """Returns the terms of the distance."""
        differences, share = self._differences(moments)
        found = {COLOR: COLOR_WEIGHT * colors}
        for tap, difference in differences.items():
            found[f"difference/{tap}"] = share * difference
            lost = lost_detail(moments[tap], self.forgive_gain)
            found[f"detail/{tap}"] = lost / len(differences)
        return found


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class PerceivedDistance(FeatureLoss):
    """Compares images as people do, who like contrast and miss detail.

    Raters of photographs prefer raised contrast to none, and no symmetric
    distance can know that. This one asks, channel by channel of what AlexNet
    sees, how much of the contrast of the reference `x` is in the image `y`:

    ```
    g = cov(x, y) / (var(x) + e)        e = 1e-4 * mean over channels of var(x)
    difference = mean over taps, channels of
        (mean((x - y) ** 2) - max(g - 1, 0) ** 2 * var(x)) / constant of the tap
    detail = mean over taps, channels of
        max(0, var(x) - cov(x, y)) / (var(x) + e)
    color = mean of CIE76 between means of 4 x 4 pixels
    loss = sqrt(difference + 1e-6) - sqrt(1e-6) + detail + 0.01 * color
    ```

    with moments over the whole image. Contrast that is raised is set aside
    (`difference`), what is missing of the reference counts once more
    (`detail`), and so do colors that drift. On TID2013 it agrees better with
    people than all that was measured beside it: see the guide "A distance that
    sees as people do", which says also by what it can be deceived. Images are
    RGB in `value_range`, default `(0, 1)`; gray images with one channel are
    accepted. Nothing in it learns, and no gradient flows to `y_true`.

    Args:
        backbone: String, the network: `"alexnet"`, with which the distance was
            made and measured, or `"vgg16"`, to train with, whose agreement
            with people was not measured. Defaults to `"alexnet"`.
        size: String. `"full"` looks at all taps. `"small"` looks at the second
            alone, `relu2` of AlexNet: 330,688 weights of 1.3 MB, cut out of
            the same file. It takes about half of the time, and agrees with
            people as well. Defaults to `"full"`.
        forgive_gain: Boolean. `False` counts contrast that is raised as it
            counts contrast that is lowered: nothing is set aside, and
            `detail` is `abs(var(x) - cov(x, y)) / (var(x) + e)`. Defaults to
            `True`.
        weights: Where the network's weights come from: the path of an `.npz`
            file of torchvision's weights (see `FeatureExtractor`), or
            `"random"`, for tests. Defaults to those in this package.
        {feature_loss_arguments}

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`, of any type;
            or what `encode` made of them. Also a pair of either and a mask
            shaped `(batch, height, width)`, whose weights the moments and the
            means take.
        y_pred: Floating-point images of the same shape.
        sample_weight: Optional tensor shaped `(batch,)`, or the mask.

    Returns:
        A scalar, or a tensor shaped `(batch,)` with `reduction=None`.

    Raises:
        ValueError: If the backbone, the size or the weights are unknown; if
            the two batches cannot be compared; if an image is too small for a
            tap; if `y_pred` is of an integer type.
        FileNotFoundError: If `weights` is the path of no file.
        RuntimeError: If constructed while a function is being traced.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> rng = np.random.default_rng(0)
    >>> photo = rng.uniform(0.3, 0.7, size=(1, 64, 64, 3)).astype("float32")
    >>> loss = kp.PerceivedDistance()
    >>> float(loss(photo, photo))
    0.0
    >>> raised, lowered = (0.5 + g * (photo - 0.5) for g in (1.25, 0.75))
    >>> float(loss(photo, raised)) < 0.7 * float(loss(photo, lowered))
    True
    >>> small = kp.PerceivedDistance(size="small")
    >>> list(small.per_layer(photo, raised))
    ['color', 'difference/relu2', 'detail/relu2']

    Notes:
        - A distance, not a score: 0 for equal images, and about 1 where the
          difference is plain. It is not symmetric: the reference comes first.
        - Raised contrast and sharpening lower it where they mend what else is
          wrong. Keep PSNR or `LPIPSMetric` beside it.
        - `per_layer` and `spatial_map` tell the three parts apart, and the
          taps of each. In the map, `detail` is below 0 where contrast was
          added while other places lack it.
        - Colors are compared in CIELAB for D65. Rows and columns that are left
          of squares of 4 x 4 pixels are out of the color term alone.
        - Large images: `per_image` with `tile=1024`, or a metric with it, looks
          at them through windows, in memory that does not grow with them.

    Reference:
        Made for this package. The network is that of Krizhevsky (2014),
        https://arxiv.org/abs/1404.5997; people's scores are those of
        Ponomarenko et al. (2015), https://doi.org/10.1016/j.image.2014.10.009.
    """

    def __init__(
        self,
        backbone: Literal["alexnet", "vgg16"] = "alexnet",
        *,
        size: Literal["full", "small"] = "full",
        forgive_gain: bool = True,
        weights: PathLike | None = None,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "perceived_distance",
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
        self.backbone = check.choice("backbone", backbone, TAPS)
        self.size = check.choice("size", size, SIZES)
        self.forgive_gain = check.boolean("forgive_gain", forgive_gain)
        self.weights = check_torchvision_weights(check.owner, weights)
        chosen = slice(*SIZES[self.size])
        layers = balanced_layers(self.backbone, "torchvision")[chosen]
        strides = dict(list(TAPS[self.backbone].items())[chosen])
        scales = balanced_weights(
            self.backbone, "torchvision", "mse", False, layers
        )
        # By the names that LPIPS has for them.
        scales = dict(zip(strides, scales.values(), strict=False))
        extractor = FeatureExtractor(
            self.backbone,
            list(scales),
            weights=self.weights,
            dtype=self._dtype_config,
        )
        self._distance = LostDetailDistance.of(
            self,
            extractor=extractor,
            prepare=functools.partial(to_rgb, value_range=self.value_range),
            scales=scales,
            strides=strides,
        )
