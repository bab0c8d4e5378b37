"""The deep image structure and texture similarity of two images."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_perceptual.docstrings import fill
from keras_perceptual.features.backbones import check_torchvision_weights
from keras_perceptual.features.extractor import FeatureExtractor
from keras_perceptual.features.weights_loading import read_packaged
from keras_perceptual.losses.distance import Own, WindowedDistance
from keras_perceptual.losses.feature_loss import FeatureLoss
from keras_perceptual.losses.lpips import TAPS
from keras_perceptual.ops.color_spaces import to_rgb
from keras_perceptual.ops.distances import position_weights
from keras_perceptual.ops.dists import (
    dists_distance,
    merge_moments,
    pair_moments,
)
from keras_perceptual.ops.resizing import shrink_shorter_side
from keras_perceptual.typing import (
    DataFormat,
    DType,
    PathLike,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)

# The image itself and where the network is tapped, with their channels.
IMAGE = "image"
CHANNELS = {
    IMAGE: 3,
    "relu1_2": 64,
    "relu2_2": 128,
    "relu3_3": 256,
    "relu4_3": 512,
    "relu5_3": 512,
}
# How many pixels lie between the positions of a tap.
STRIDES = {IMAGE: 1, **TAPS["vgg16"]}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DISTSDistance(WindowedDistance):
    """Compares the means and variances of the channels of features.

    Args:
        resize: The length of the shorter side after shrinking, or `None`.
        weights: Dictionary from names to two arrays, what each channel counts.
    """

    resize: int | None
    weights: dict[str, tuple[np.ndarray, np.ndarray]]

    takes_mask = True
    no_map: ClassVar[str | None] = (
        "compares statistics of whole images and has no map of where they "
        "differ. Use `per_layer` for the share of each layer, or the map of "
        "`LPIPS`."
    )

    @property
    def settings(self) -> tuple[Any, ...]:
        """What of the configuration decides what is observed."""
        return (self.resize,)

    def see(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns the image and its features."""
        return {IMAGE: images, **self.extractor(images)}

    def compare(
        self,
        true: Mapping[str, Tensor],
        pred: Mapping[str, Tensor],
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what the image and each tap add to the distance."""
        found = {}
        for name, y in pred.items():
            moments = pair_moments(true[name], y, position_weights(mask, y))
            found[name] = dists_distance(*moments, *self.weights[name])
        return found

    def start(self, zeros: Tensor) -> dict[str, Any]:
        """Returns the moments of no position."""
        zeros = ops.reshape(zeros, (-1, 1, 1))
        return {
            name: (
                zeros[0, 0, 0],
                *(ops.tile(zeros, (1, 3, channels)) for _ in range(2)),
            )
            for name, channels in CHANNELS.items()
        }

    def add_window(
        self, name: str, state: Any, true: Tensor, pred: Tensor, own: Own
    ) -> Any:
        """Merges the moments of a window with those before."""
        rows, columns = ops.shape(pred)[1:3]
        own = ops.cast(own(rows, columns, STRIDES[name]), pred.dtype)
        count = ops.sum(own)
        moments = pair_moments(true, pred, own / count)
        return merge_moments(state, (count, *moments))

    def finish(self, states: Mapping[str, Any]) -> dict[str, Tensor]:
        """Returns the distance of the moments of all windows."""
        return {
            name: dists_distance(means, variances, *self.weights[name])
            for name, (_, means, variances) in states.items()
        }


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class DISTS(FeatureLoss):
    """Compares images by their texture and structure, not pixel by pixel.

    It compares, channel by channel, the mean of what VGG16 sees in the whole
    image and how that varies around its mean. Grass is as good as the same
    grass a little further on, so that it suits textures and what is made up,
    as by a generator:

    ```
    loss = sum over taps and channels of
        alpha * (1 - similarity of the means)
        + beta * (1 - similarity of the deviations from the means)
    ```

    The first tap is the image itself; the network pools with a Hann window
    (`pooling="l2"` of `FeatureExtractor`), so that small shifts do not matter.
    `alpha` and `beta` were fitted to what people said of distorted images and
    of textures, and are in this package; it gives the authors' numbers. Images
    are RGB in `value_range`, default `(0, 1)`; gray images with one channel
    are accepted. Nothing in it learns, and no gradient flows to `y_true`.

    Args:
        weights: Where the weights of VGG16 come from: the path of an `.npz`
            file of torchvision's weights (see `FeatureExtractor`), or
            `"random"`, for tests. Defaults to those in this package.
        resize: Integer or `None`. Images whose shorter side has more pixels
            are shrunk to this number of them, bilinear without smoothing. With
            256 the values are those of the package `piq`, and about those of
            the authors' script, which smooths. Defaults to `None`: images are
            compared as they are, as the authors' class does.
        {feature_loss_arguments}

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`, of any type;
            or what `encode` made of them. Also a pair of either and a mask
            shaped `(batch, height, width)`, whose weights the means take.
        y_pred: Floating-point images of the same shape.
        sample_weight: Optional tensor shaped `(batch,)`, or the mask.

    Returns:
        A scalar, or a tensor shaped `(batch,)` with `reduction=None`.

    Raises:
        ValueError: If the weights or the size are unknown; if the two batches
            cannot be compared; if `y_pred` is of an integer type.
        FileNotFoundError: If `weights` is the path of no file.
        RuntimeError: If constructed while a function is being traced.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.uniform(size=(1, 64, 64, 3)).astype("float32")
    >>> other = rng.uniform(size=(1, 64, 64, 3)).astype("float32")
    >>> flat = np.full_like(noise, 0.5)
    >>> loss = kp.DISTS()
    >>> float(loss(noise, noise))
    0.0
    >>> float(loss(noise, other)) < 0.5 * float(loss(noise, flat))
    True

    Notes:
        - A distance: 0 for equal images, and at most 1 but for channels whose
          means or deviations are opposed.
        - There is no `spatial_map`: what is compared are statistics of the
          whole image. `per_layer` tells the share of each tap.
        - Large images: `per_image` with `tile=1024`, or a metric with it, looks
          at them through windows, in memory that does not grow with them.
        - VGG16's weights are kept in 16 bits in this package, which moves a
          value by less than 1e-4 from that of the original ones.

    Reference:
        Ding et al. (2020), Image quality assessment: unifying structure and
        texture similarity, https://arxiv.org/abs/2004.07728, as published at
        https://github.com/dingkeyan93/DISTS, but computed so that nothing
        cancels (see `ops.dists.dists_distance`).
    """

    def __init__(
        self,
        *,
        weights: PathLike | None = None,
        resize: int | None = None,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "dists",
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
        self.weights = check_torchvision_weights(check.owner, weights)
        self.resize = resize
        if resize is not None:
            self.resize = check.integer("resize", resize, minimum=1)
        extractor = FeatureExtractor(
            "vgg16",
            [name for name in CHANNELS if name != IMAGE],
            weights=self.weights,
            pooling="l2",
            dtype=self._dtype_config,
        )
        self._distance = DISTSDistance.of(
            self,
            extractor=extractor,
            prepare=functools.partial(
                _prepare, value_range=self.value_range, resize=self.resize
            ),
            weights=_read_weights(),
        )


def _prepare(
    images: Tensor, *, value_range: tuple[float, float], resize: int | None
) -> Tensor:
    """Returns RGB images in (0, 1), shrunk if asked to."""
    images = to_rgb(images, value_range)
    if resize is not None:
        images = shrink_shorter_side(images, resize)
    return images


def _read_weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns what the means and the variances of each channel count."""
    parameters = read_packaged("dists.npz")
    total = sum(x.sum() for x in parameters.values())
    ends = np.cumsum(list(CHANNELS.values()))[:-1]
    alpha, beta = (
        np.split(parameters[name] / total, ends) for name in ("alpha", "beta")
    )
    return dict(zip(CHANNELS, zip(alpha, beta, strict=True), strict=True))
