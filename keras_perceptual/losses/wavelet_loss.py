"""A loss on what two images are taken apart into by wavelets."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import keras
from keras import ops

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.color_spaces import luma
from keras_perceptual.ops.distances import absolute, mean_per_image
from keras_perceptual.ops.image_gradients import check_image_size
from keras_perceptual.ops.wavelets import (
    LOW_PASS,
    smallest_side,
    stationary_wavelets,
)
from keras_perceptual.typing import (
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
    Wavelet,
)

# More would look at images of thousands of pixels as a whole.
MOST_LEVELS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveletDistance(PixelDistance):
    """The weighted mean absolute differences of the bands."""

    wavelet: Wavelet
    levels: int
    approximation_weight: float
    detail_weight: float
    diagonal_weight: float
    luma: bool

    takes_mask = True
    hides_pixels = True
    no_map: ClassVar[str | None] = None

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Numbers of channels that images may have; `None` for any."""
        return (1, 3) if self.luma else None

    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the distance of each pair of images."""
        return mean_per_image(self._compare(y_true, y_pred), mask)

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns what the coefficients of each pixel add."""
        found = self._compare(true["pixels"], pred["pixels"])
        return {"pixels": ops.mean(found, axis=-1)}

    def _compare(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns what each coefficient adds, channels last."""
        check_image_size(
            self.owner,
            tuple(y_pred.shape),
            smallest_side(self.wavelet, self.levels),
            data_format=self.data_format,
            condition=f"wavelet={self.wavelet!r} with levels={self.levels}",
        )
        # The transform is linear: one does for the two images.
        difference = self.channels_last((y_pred - y_true) / self.width)
        if self.luma and difference.shape[-1] == 3:
            difference = luma(difference)
        bands = stationary_wavelets(difference, self.wavelet, self.levels)
        found = self.approximation_weight * absolute(bands[-1].approximation)
        for _, horizontal, vertical, diagonal in bands:
            edges = absolute(horizontal) + absolute(vertical)
            found = found + self.detail_weight * edges
            found = found + self.diagonal_weight * absolute(diagonal)
        return found


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class WaveletLoss(ImageLoss):
    """Compares what images are taken apart into by wavelets.

    A stationary wavelet transform takes an image apart into a smooth image and
    details along its height, its width and both. The loss is the mean absolute
    difference of each, times a weight, so that what matters of the details is
    yours to say; a pixel loss weighs all alike. Super-resolution networks that
    were trained with it, beside an adversary that looks at details alone, make
    fewer artifacts:

    ```
    approximation_weight * mean(abs(a_true - a_pred))
    + detail_weight * mean(abs(h_true - h_pred) + abs(v_true - v_pred))
    + diagonal_weight * mean(abs(d_true - d_pred))
    ```

    with the details of all levels, and the smooth image of the last one. The
    numbers are those of `pywt.swt2(..., norm=True)`. The defaults are what the
    authors train with at one level, divided by 21.9: their images reach from 16
    to 235, and their smooth image has the weight 0.1. Images are in
    `value_range`, default `(0, 1)`, and go on at one side as they begin at the
    other, which makes no difference where they are equal there.

    Args:
        wavelet: String. `"haar"`, `"db2"`, `"db4"`, `"sym4"` or `"sym7"`: the
            larger the number, the longer the filters, and the less two bands
            overlap. Defaults to `"sym7"`.
        levels: Integer from 1 to 8, how often the smooth image is taken apart
            again. Defaults to 1.
        approximation_weight: Float of at least 0, the weight of the smooth
            image. Defaults to 1.
        detail_weight: Float of at least 0, the weight of the details along the
            height, and along the width. Defaults to 0.1414.
        diagonal_weight: Float of at least 0, the weight of the details along
            both. Defaults to 1.
        luma: Boolean, whether RGB images are compared by their luma alone, as
            the authors do; then images have one or three channels. Otherwise
            each channel is compared. Defaults to `True`.
        {loss_arguments}

    Call arguments:
        {masked_pair_of_images}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if all weights are 0, if the two
            batches differ in shape, if `y_pred` is of an integer type, or if
            the images are smaller than half the filter of the last level.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> gray = np.full((1, 16, 16, 1), 0.5, "float32")
    >>> checkered = gray + 0.1 * (-1) ** np.indices((16, 16)).sum(0)[..., None]
    >>> loss = kp.WaveletLoss()
    >>> round(float(loss(gray, gray + 0.1)), 4)
    0.1
    >>> round(float(loss(gray, checkered.astype("float32"))), 4)
    0.1

    Reference:
        - [Korkmaz et al., 2024](https://arxiv.org/abs/2402.19215), "Training
          generative image super-resolution models by wavelet-domain losses
          enables better control of artifacts", whose code is named WGSR.
    """

    def __init__(
        self,
        wavelet: Wavelet = "sym7",
        *,
        levels: int = 1,
        approximation_weight: float = 1.0,
        detail_weight: float = 0.1414,
        diagonal_weight: float = 1.0,
        luma: bool = True,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "wavelet_loss",
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
        self.wavelet = check.choice("wavelet", wavelet, LOW_PASS)
        self.levels = check.integer(
            "levels", levels, minimum=1, maximum=MOST_LEVELS
        )
        self.approximation_weight = check.number(
            "approximation_weight", approximation_weight, minimum=0
        )
        self.detail_weight = check.number(
            "detail_weight", detail_weight, minimum=0
        )
        self.diagonal_weight = check.number(
            "diagonal_weight", diagonal_weight, minimum=0
        )
        if not (
            self.approximation_weight
            or self.detail_weight
            or self.diagonal_weight
        ):
            raise ValueError(
                f"{check.owner} compares nothing where all weights are 0. Give "
                "one of them a weight above 0. Received: "
                "approximation_weight=0, detail_weight=0, diagonal_weight=0"
            )
        self.luma = check.boolean("luma", luma)
        self._distance = WaveletDistance.of(self)
