"""The learned perceptual image patch similarity of two images."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import keras
import numpy as np
from keras import ops

from keras_perceptual.docstrings import fill
from keras_perceptual.features.backbones import check_torchvision_weights
from keras_perceptual.features.extractor import FeatureExtractor
from keras_perceptual.features.weights_loading import read_packaged
from keras_perceptual.losses.distance import Own, WindowedDistance
from keras_perceptual.losses.feature_loss import FeatureLoss
from keras_perceptual.ops.distances import (
    lpips_distance,
    lpips_map,
    map_values,
    unit_normalize,
)
from keras_perceptual.typing import (
    DataFormat,
    DType,
    PathLike,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)

# Where each network is tapped, and how many pixels lie between the positions
# of a tap. Each tap has a head.
TAPS = {
    "alexnet": {
        "relu1": 4,
        "relu2": 8,
        "relu3": 16,
        "relu4": 16,
        "relu5": 16,
    },
    "vgg16": {
        "relu1_2": 1,
        "relu2_2": 2,
        "relu3_3": 4,
        "relu4_3": 8,
        "relu5_3": 16,
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LPIPSDistance(WindowedDistance):
    """Compares the directions of features, position by position.

    Fields beside those of every `FeatureDistance`:
        heads: Dictionary from taps to arrays, what each channel counts; `None`
            for 1.
        strides: Dictionary from taps to the pixels between their positions.
    """

    heads: dict[str, np.ndarray | None]
    strides: dict[str, int]

    takes_mask = True
    no_map: ClassVar[str | None] = None

    def see(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns features of unit length at every position."""
        features = self.extractor(images)
        return map_values(unit_normalize, features)

    def compare(
        self,
        true: Mapping[str, Tensor],
        pred: Mapping[str, Tensor],
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what each tap adds to the distance."""
        distance = functools.partial(lpips_distance, mask=mask)
        return map_values(distance, true, pred, self.heads)

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns how much each position of a tap adds."""
        return map_values(lpips_map, true, pred, self.heads)

    def start(self, zeros: Tensor) -> dict[str, Any]:
        """Returns a sum over no position, and their number."""
        return {tap: (zeros, 0 * zeros[0]) for tap in self.heads}

    def add_window(
        self, name: str, state: Any, true: Tensor, pred: Tensor, own: Own
    ) -> Any:
        """Adds the positions of a window."""
        total, count = state
        rows, columns = ops.shape(pred)[1:3]
        own = own(rows, columns, self.strides[name])
        found = lpips_map(true, pred, self.heads[name])
        own = ops.cast(own, found.dtype)
        return (
            total + ops.sum(own * found, axis=(1, 2)),
            count + ops.sum(own),
        )

    def finish(self, states: Mapping[str, Any]) -> dict[str, Tensor]:
        """Returns the means over all positions."""
        return {tap: total / count for tap, (total, count) in states.items()}


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class LPIPS(FeatureLoss):
    """Compares images by features that were weighted by what people said.

    The channel vectors that a frozen network computes at each position are
    scaled to length one, and their squared differences are weighted, channel
    by channel, so that the distance agrees with people who said which of two
    distorted images looks more like the original:

    ```
    loss = sum over taps of mean over positions of
        sum over channels of head * (unit(f(y_true)) - unit(f(y_pred))) ** 2
    ```

    This is version 0.1 of the authors, with the weights in this package, and
    gives their numbers. Images are RGB in `value_range`, default `(0, 1)`;
    gray images with one channel are accepted. Nothing in it learns, and no
    gradient flows to `y_true`.

    Args:
        backbone: String, the network: `"alexnet"`, with which papers report
            the distance, or `"vgg16"`, which its authors advise to train with.
            Defaults to `"alexnet"`.
        weights: Where the network's weights come from: the path of an `.npz`
            file of torchvision's weights (see `FeatureExtractor`), or
            `"random"`, for tests. Defaults to those in this package.
        linear_heads: Boolean, whether the channels are weighted by what people
            said. `False` counts all channels alike, the baseline of the
            publication. Defaults to `True`.
        {feature_loss_arguments}

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`, of any type;
            or what `encode` made of them. Also a pair of either and a mask
            shaped `(batch, height, width)`, whose weights the means over the
            positions take.
        y_pred: Floating-point images of the same shape.
        sample_weight: Optional tensor shaped `(batch,)`, or the mask.

    Returns:
        A scalar, or a tensor shaped `(batch,)` with `reduction=None`.

    Raises:
        ValueError: If the backbone or the weights are unknown; if the two
            batches cannot be compared; if an image is too small for a tap; if
            `y_pred` is of an integer type.
        FileNotFoundError: If `weights` is the path of no file.
        RuntimeError: If constructed while a function is being traced.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> rng = np.random.default_rng(0)
    >>> photo = rng.uniform(size=(2, 64, 64, 3)).astype("float32")
    >>> loss = kp.LPIPS()
    >>> float(loss(photo, photo))
    0.0
    >>> list(loss.per_layer(photo, 0.5 * photo))
    ['relu1', 'relu2', 'relu3', 'relu4', 'relu5']
    >>> tuple(loss.spatial_map(photo, 0.5 * photo).shape)
    (2, 64, 64)

    Notes:
        - A distance, not a score: 0 for equal images, about 0.1 where the
          difference is slight, and seldom above 1.
        - Values of `"alexnet"` and `"vgg16"` cannot be compared with each
          other, nor can those of images of different sizes: the networks see
          a certain number of pixels at once.
        - Large images: `per_image` with `tile=1024`, or a metric with it, looks
          at them through windows, in memory that does not grow with them.
        - VGG16's weights are kept in 16 bits in this package, which moves a
          value by less than 5e-5 from that of the original ones.

    Reference:
        Zhang et al. (2018), The unreasonable effectiveness of deep features as
        a perceptual metric, https://arxiv.org/abs/1801.03924. Version 0.1 of
        https://github.com/richzhang/PerceptualSimilarity, but that the epsilon
        of the normalization is below the square root, which leaves the values
        and makes every gradient finite.
    """

    def __init__(
        self,
        backbone: Literal["alexnet", "vgg16"] = "alexnet",
        *,
        weights: PathLike | None = None,
        linear_heads: bool = True,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "lpips",
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
        self.weights = check_torchvision_weights(check.owner, weights)
        self.linear_heads = check.boolean("linear_heads", linear_heads)
        taps = TAPS[self.backbone]
        heads = dict.fromkeys(taps)
        if self.linear_heads:
            arrays = read_packaged("lpips_v0.1.npz")
            heads = {
                tap: arrays[f"{self.backbone}/{index}"]
                for index, tap in enumerate(taps)
            }
        extractor = FeatureExtractor(
            self.backbone,
            list(taps),
            weights=self.weights,
            value_range=self.value_range,
            dtype=self._dtype_config,
        )
        self._distance = LPIPSDistance.of(
            self, extractor=extractor, heads=heads, strides=taps
        )
