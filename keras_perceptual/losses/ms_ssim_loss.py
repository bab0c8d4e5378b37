"""A loss on the structural similarity of two images at several scales."""

import dataclasses
from collections.abc import Sequence

import keras

from keras_perceptual import validation
from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.ssim import (
    LARGEST_FILTER,
    MS_SSIM_WEIGHTS,
    check_image_size,
    ms_ssim_distance,
)
from keras_perceptual.ops.value_range import rescale
from keras_perceptual.typing import (
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)
from keras_perceptual.validation import Checker


@dataclasses.dataclass(frozen=True, kw_only=True)
class MSSSIMDistance(PixelDistance):
    """One minus the multi-scale structural similarity."""

    weights: tuple[float, ...]
    filter_size: int
    filter_sigma: float
    k1: float
    k2: float
    epsilon: float

    takes_mask = True
    hides_pixels = True

    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the distance of each pair of images."""
        for images in (y_true, y_pred):
            check_image_size(
                self.owner,
                tuple(images.shape),
                filter_size=self.filter_size,
                data_format=self.data_format,
                scales=len(self.weights),
            )
        return ms_ssim_distance(
            rescale(y_true, self.value_range),
            rescale(y_pred, self.value_range),
            self.weights,
            filter_size=self.filter_size,
            filter_sigma=self.filter_sigma,
            k1=self.k1,
            k2=self.k2,
            epsilon=self.epsilon,
            mask=mask,
            data_format=self.data_format,
        )


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class MSSSIMLoss(ImageLoss):
    """One minus the multi-scale structural similarity (MS-SSIM) of two images.

    It compares contrast and structure as `SSIMLoss` does, at five sizes of
    the images, each half of the last, and brightness at the smallest alone.
    What is lost at a scale that eyes are less sensitive to counts less. It
    agrees with people better than one scale does, and leaves the mean
    brightness freer: add a loss on the pixels.

    The similarity is a product of one term for each scale to the power of its
    weight, and the numbers are one minus those of `tf.image.ssim_multiscale`
    as long as all terms are above `epsilon`. A term that is negative, as of
    an image and its negative, has no such power; elsewhere it becomes zero, at
    the cost of the gradient, or NaN. Here terms below `epsilon` enter as
    `epsilon`, and the loss grows by `weight * (epsilon - term)` for each. So
    it goes on rising, to a little less than 2, and pulls at every image.

    Images have any number of channels, in `value_range`, default `(0, 1)`.
    With five scales and a window of 11 pixels they are at least 161 pixels
    high and wide; smaller ones have fewer scales, such as
    `weights=(0.2, 0.3, 0.5)` from 41 pixels on.

    Args:
        weights: Sequence of floats of at least 0, the exponent of each scale
            from the finest on, and thereby how many scales there are.
            Defaults to the five of the authors, (0.0448, 0.2856, 0.3001,
            0.2363, 0.1333).
        filter_size: Integer, height and width of the Gaussian window, in
            pixels of each scale. Defaults to 11.
        filter_sigma: Float above zero, standard deviation of the window, in
            pixels. Defaults to 1.5.
        k1: Float above zero, which steadies the ratio of the means where
            images are dark. Defaults to 0.01.
        k2: Float above zero, which steadies the ratio of the variances where
            images are flat. Defaults to 0.03.
        epsilon: Float above zero and below one, the least that a term is
            raised to its power from. Defaults to 1e-3.
        {loss_arguments}

    Call arguments:
        {masked_pair_of_images}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape, if `y_pred` is of an integer type, or if the images are
            smaller than the window at the coarsest scale.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.losses import MSSSIMLoss
    >>> ramp = np.linspace(0, 1, 1024, dtype="float32").reshape(1, 32, 32, 1)
    >>> loss = MSSSIMLoss((0.5, 0.5))  # Large enough for two scales.
    >>> float(loss(ramp, ramp))
    0.0
    >>> bool(loss(ramp, 0.9 * ramp) < 0.1 < 1.0 < loss(ramp, 1 - ramp))
    True

    In a model, with the mix of Zhao et al.:

    >>> import keras
    >>> import keras_perceptual as kp
    >>> mix = kp.WeightedSumLoss(
    ...     {
    ...         "ms_ssim": (kp.MSSSIMLoss(), 0.84),
    ...         "pixels": ("mean_absolute_error", 0.16),
    ...     }
    ... )
    >>> model = keras.Sequential([keras.layers.Conv2D(3, 3, padding="same")])
    >>> model.compile("adam", mix, metrics=[kp.LossTerms(mix)])

    Reference:
        - [Wang et al., 2003](https://doi.org/10.1109/ACSSC.2003.1292216),
          "Multi-scale structural similarity for image quality assessment".
        - [Zhao et al., 2015](https://arxiv.org/abs/1511.08861), for it as a
          loss.
    """

    def __init__(
        self,
        weights: Sequence[float] | None = None,
        *,
        filter_size: int = 11,
        filter_sigma: float = 1.5,
        k1: float = 0.01,
        k2: float = 0.03,
        epsilon: float = 1e-3,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "ms_ssim_loss",
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
        self.weights = _check_weights(check, weights)
        self.filter_size = check.integer(
            "filter_size", filter_size, minimum=1, maximum=LARGEST_FILTER
        )
        self.filter_sigma = check.number("filter_sigma", filter_sigma, above=0)
        self.k1 = check.number("k1", k1, above=0)
        self.k2 = check.number("k2", k2, above=0)
        self.epsilon = check.number("epsilon", epsilon, above=0)
        if self.epsilon >= 1:
            raise ValueError(
                f"{check.owner} needs `epsilon` to be below one, which is the "
                "largest value of a term. Take one near the default of 1e-3. "
                f"Received: epsilon={epsilon!r}"
            )
        self._distance = MSSSIMDistance.of(self)


def _check_weights(
    check: Checker, weights: Sequence[float] | None
) -> tuple[float, ...]:
    """Returns the weights of the scales, by default those of the authors."""
    if weights is None:
        return MS_SSIM_WEIGHTS
    is_list = isinstance(weights, (list, tuple))
    if not is_list or not 0 < len(weights) <= validation.MOST_SCALES:
        raise ValueError(
            f"{check.owner} needs `weights` to be a list of numbers, one for "
            f"each scale from the finest on, at most {validation.MOST_SCALES}, "
            "or None for the five usual ones. Received: "
            f"weights={validation.show(weights)}"
        )
    return tuple(
        check.number("weights", weight, minimum=0) for weight in weights
    )
