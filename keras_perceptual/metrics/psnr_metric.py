"""The peak signal-to-noise ratio as a metric."""

import dataclasses

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.image_validation import ImageChecker
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.metrics.per_image_mean import PerImageMean
from keras_perceptual.ops.psnr import decibels, squared_error
from keras_perceptual.range_check import RangeCheck
from keras_perceptual.typing import (
    DataFormat,
    DType,
    RangePolicy,
    Tensor,
    ValueRange,
)
from keras_perceptual.validation import Checker


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquaredErrorDistance(PixelDistance):
    """The mean squared error of what counts of the images."""

    border: int
    luma: bool

    takes_mask = True
    hides_pixels = True

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Numbers of channels that images may have; `None` for any."""
        return (1, 3) if self.luma else None

    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the error of each pair of images."""
        y_true, y_pred = map(self.channels_last, (y_true, y_pred))
        sides = y_pred.shape[1:3]
        if any(side is not None and side <= 2 * self.border for side in sides):
            raise ValueError(
                f"{self.owner} leaves out {self.border} pixels at each side, "
                "and nothing of these images is left. Give larger images, or a "
                "smaller `border`. Received: images of "
                f"{sides[0]} x {sides[1]} pixels"
            )
        return squared_error(
            y_true,
            y_pred,
            mask,
            width=self.width,
            border=self.border,
            luma=self.luma,
        )


class SquaredError(ImageLoss):
    """What `PSNRMetric` takes the logarithm of, with the checks of a loss."""

    def __init__(
        self,
        owner: str,
        border: int,
        luma: bool,
        value_range: ValueRange,
        check_range: RangePolicy,
        data_format: DataFormat | None,
    ) -> None:
        super().__init__(
            value_range=value_range,
            check_range=check_range,
            data_format=data_format,
        )
        # What is wrong is said of the metric, which the user knows.
        self._check = ImageChecker(owner)
        self._range_check = RangeCheck(
            owner, self.check_range, self.value_range, self.data_format
        )
        self.border: int = border
        self.luma: bool = luma
        self._distance = dataclasses.replace(
            SquaredErrorDistance.of(self), owner=owner
        )


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class PSNRMetric(PerImageMean):
    """Averages the peak signal-to-noise ratio of all images that it has seen.

    In decibels, more is better: `10 * log10(width ** 2 / mse)` of each image,
    where the width is that of `value_range`; then the mean over the images, as
    papers report it. Equal images count 100 dB.

    Args:
        border: Integer, how many pixels at each side are left out: with
            super-resolution usually as many as the factor. Defaults to 0.
        luma: Boolean, whether RGB images are compared by their luma alone,
            that of BT.601 for video (MATLAB's `rgb2ycbcr`), as papers on
            super-resolution do. Defaults to `False`.
        {value_range}
        {check_range}
        {data_format}
        name: String. Defaults to `"psnr"`.
        {sums_dtype}

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`.
        y_pred: Images of the same shape, of any type.
        sample_weight: Optional tensor shaped `(batch,)`, a weight for each
            image, or a mask shaped `(batch, height, width)`.

    Returns:
        From `result()`, the mean; 0 before the first image.

    Raises:
        ValueError: If an argument is unknown; if the images cannot be
            compared, or nothing of them is left within the border.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> photo = np.full((1, 16, 16, 3), 100, "uint8")
    >>> metric = kp.PSNRMetric(value_range=(0, 255))
    >>> metric.update_state(photo, photo + 10)
    >>> round(float(metric.result()), 2)
    28.13

    Notes:
        Papers round predictions to eight bits first, and clip them:
        `check_range="clip"` clips.

    Reference:
        `calculate_psnr` of https://github.com/XPixelGroup/BasicSR, with
        `crop_border` for `border` and `test_y_channel` for `luma`: the same
        numbers, but that theirs are infinite for equal images.
    """

    _direction = "up"

    def __init__(
        self,
        *,
        border: int = 0,
        luma: bool = False,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        name: str | None = "psnr",
        dtype: DType | None = None,
    ) -> None:
        check = Checker(self)
        super().__init__(name=check.name(name), dtype=dtype)
        self.border = check.integer("border", border, minimum=0)
        self.luma = check.boolean("luma", luma)
        self.loss = SquaredError(
            check.owner,
            self.border,
            self.luma,
            value_range,
            check_range,
            data_format,
        )
        self.value_range = self.loss.value_range
        self.check_range = self.loss.check_range
        self.data_format = self.loss.data_format

    def _score(self, values: Tensor) -> Tensor:
        """Returns decibels."""
        return decibels(values)
