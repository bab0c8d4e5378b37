"""A loss on the similarity of two images in Haar wavelets."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.haar_psi import (
    SMALLEST,
    haar_psi_distance,
    haar_psi_map,
)
from keras_perceptual.ops.image_gradients import check_image_size
from keras_perceptual.ops.value_range import rescale
from keras_perceptual.typing import (
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HaarPSIDistance(PixelDistance):
    """One minus the perceptual similarity index of Haar wavelets."""

    c: float
    alpha: float
    subsample: bool

    takes_mask = True
    hides_pixels = True
    no_map: ClassVar[str | None] = None

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers of channels that images may have."""
        return (1, 3)

    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the distance of each pair of images."""
        return haar_psi_distance(
            self._stage(y_true),
            self._stage(y_pred),
            c=self.c,
            alpha=self.alpha,
            subsample=self.subsample,
            mask=mask,
        )

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns what each place adds."""
        found = haar_psi_map(
            self._stage(true["pixels"]),
            self._stage(pred["pixels"]),
            c=self.c,
            alpha=self.alpha,
            subsample=self.subsample,
        )
        return {"squares" if self.subsample else "pixels": found}

    def _stage(self, images: Tensor) -> Tensor:
        """Returns images in (0, 1), their channels last, if large enough."""
        check_image_size(
            self.owner,
            tuple(images.shape),
            SMALLEST,
            data_format=self.data_format,
            condition="the coarsest of its wavelets",
        )
        return rescale(self.channels_last(images), self.value_range)


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class HaarPSILoss(ImageLoss):
    """One minus the perceptual similarity index of Haar wavelets (HaarPSI).

    It compares how strong the edges of two images are at each place, at two
    scales and in two directions, and their colors, and counts a place by how
    strong the edges of a third, coarser scale are there. It agrees with people
    better than SSIM at a fraction of what a network costs. It is 0 for equal
    images and 1 at most:

    ```
    s = mean(logistic(alpha * similarity), weighted by the coarsest edges)
    1 - (logit(s) / alpha)**2
    ```

    The numbers are one minus those of `piq.haarpsi`; the authors round the
    colors in another place, which changes the index by up to 3e-4. Images are
    RGB in `value_range`, default `(0, 1)`, or gray with one channel, of at
    least 16 pixels a side.

    Args:
        c: Float above zero, which steadies the ratio of small coefficients, of
            pixels up to 255. Defaults to 30.
        alpha: Float above zero and at most 50, how steep the logistic function
            is through which places are averaged. Defaults to 4.2.
        subsample: Boolean, whether images are halved first, for the distance
            from which people look at them. Defaults to `True`.
        {loss_arguments}

    Call arguments:
        {masked_pair_of_images}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape or have no colors, if `y_pred` is of an integer type, or if
            the images are smaller than 16 pixels.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> ramp = np.linspace(0, 1, 1024, dtype="float32").reshape(1, 32, 32, 1)
    >>> loss = kp.HaarPSILoss()
    >>> float(loss(ramp, ramp))
    0.0
    >>> bool(loss(ramp, 0.9 * ramp) < 0.1 < loss(ramp, 0.5 * ramp))
    True

    Notes:
        - Gradients are finite for all images, also black ones, for which piq
          returns NaN.
        - Hidden pixels count as black, as what lies beyond the border does: a
          mask that leaves a part of an image gives the loss of that part.

    Reference:
        - [Reisenhofer et al., 2018](https://arxiv.org/abs/1607.06140), "A Haar
          wavelet-based perceptual similarity index for image quality
          assessment".
    """

    def __init__(
        self,
        *,
        c: float = 30.0,
        alpha: float = 4.2,
        subsample: bool = True,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "haar_psi_loss",
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
        self.c = check.number("c", c, above=0)
        self.alpha = check.number("alpha", alpha, above=0, maximum=50)
        self.subsample = check.boolean("subsample", subsample)
        self._distance = HaarPSIDistance.of(self)
