"""The deep image structure and texture similarity of two images."""

import keras
import numpy as np
from keras import ops

from keras_perceptual.features.backbones import check_torchvision_weights
from keras_perceptual.features.extractor import FeatureExtractor
from keras_perceptual.features.weights_loading import read_packaged
from keras_perceptual.losses.lpips import TAPS
from keras_perceptual.losses.windowed_loss import WindowedLoss
from keras_perceptual.ops.dists import (
    dists_distance,
    merge_moments,
    pair_moments,
)
from keras_perceptual.ops.masks import position_weights
from keras_perceptual.ops.resizing import shrink_shorter_side
from keras_perceptual.ops.value_range import rescale
from keras_perceptual.validation import Checker

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


@keras.saving.register_keras_serializable(package="keras_perceptual")
class DISTS(WindowedLoss):
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
        value_range: Pair of numbers, the range of the pixels. Defaults to
            `(0, 1)`. The same picture gives the same loss in any range.
        check_range: What to do about images that are not in `value_range`:
            `"warn"` once, `"raise"`, `"off"`, or `"clip"`, which warns and
            moves stray values to the ends of the range. Defaults to `"warn"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        reduction: As in `keras.losses.Loss`. Defaults to
            `"sum_over_batch_size"`.
        name: String. Defaults to `"dists"`.
        dtype: The type the network computes in, such as `"float32"`,
            `"float64"` or `"mixed_float16"`; what follows the taps is computed
            in float32 at least. Defaults to `keras.config.floatx()`.

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
        weights=None,
        resize=None,
        value_range=(0, 1),
        check_range="warn",
        data_format=None,
        reduction="sum_over_batch_size",
        name="dists",
        dtype=None,
    ):
        super().__init__(
            value_range=value_range,
            check_range=check_range,
            data_format=data_format,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        check = Checker(self)
        self.weights = check_torchvision_weights(check.owner, weights)
        self.resize = resize
        if resize is not None:
            self.resize = check.integer("resize", resize, minimum=1)
        parameters = read_packaged("dists.npz")
        total = sum(x.sum() for x in parameters.values())
        ends = np.cumsum(list(CHANNELS.values()))[:-1]
        self._parameters = dict(
            zip(
                CHANNELS,
                zip(
                    np.split(parameters["alpha"] / total, ends),
                    np.split(parameters["beta"] / total, ends),
                    strict=True,
                ),
                strict=True,
            )
        )
        self._extractor = FeatureExtractor(
            "vgg16",
            [name for name in CHANNELS if name != IMAGE],
            weights=self.weights,
            pooling="l2",
            dtype=self._dtype_config,
        )
        self.channels = self._extractor.channels

    def spatial_map(self, y_true, y_pred):
        """Refuses: statistics of whole images are nowhere in particular."""
        raise ValueError(
            f"{type(self).__name__} compares statistics of whole images and "
            "has no map of where they differ. Use `per_layer` for the share "
            "of each layer, or the map of `LPIPS`. "
            f"Received: y_true.shape={tuple(y_true.shape)}"
        )

    def _prepare(self, images):
        images = rescale(super()._prepare(images), self.value_range)
        if images.shape[-1] == 1:
            images = ops.repeat(images, 3, axis=-1)
        if self.resize is not None:
            images = shrink_shorter_side(images, self.resize)
        return images

    def _features(self, images):
        return {IMAGE: images, **self._extractor(images)}

    def _compare(self, true, pred, mask):
        found = {}
        for name, y in pred.items():
            weights = position_weights(mask, y)
            found[name] = dists_distance(
                *pair_moments(true[name], y, weights), *self._parameters[name]
            )
        return found

    def _start(self, zeros):
        zeros = ops.reshape(zeros, (-1, 1, 1))
        return {
            name: (
                zeros[0, 0, 0],
                *(ops.tile(zeros, (1, 3, channels)) for _ in range(2)),
            )
            for name, channels in CHANNELS.items()
        }

    def _add_window(self, name, state, true, pred, own):
        rows, columns = ops.shape(pred)[1:3]
        own = ops.cast(own(rows, columns, STRIDES[name]), pred.dtype)
        count = ops.sum(own)
        moments = pair_moments(true, pred, own / count)
        return merge_moments(state, (count, *moments))

    def _finish(self, name, state):
        _, *moments = state
        return dists_distance(*moments, *self._parameters[name])

    def _encoding(self):
        return [*super()._encoding(), self.resize]
