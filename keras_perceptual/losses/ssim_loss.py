"""A loss on the structural similarity of two images."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.ssim import (
    LARGEST_FILTER,
    check_image_size,
    ssim_distance,
    ssim_map,
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSIMDistance(PixelDistance):
    """One minus the structural similarity."""

    filter_size: int
    filter_sigma: float
    k1: float
    k2: float

    takes_mask = True
    hides_pixels = True
    no_map: ClassVar[str | None] = None

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
            )
        return ssim_distance(
            rescale(y_true, self.value_range),
            rescale(y_pred, self.value_range),
            filter_size=self.filter_size,
            filter_sigma=self.filter_sigma,
            k1=self.k1,
            k2=self.k2,
            mask=mask,
            data_format=self.data_format,
        )

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns the distance in the window around each pixel."""
        return {
            "pixels": ssim_map(
                rescale(true["pixels"], self.value_range),
                rescale(pred["pixels"], self.value_range),
                filter_size=self.filter_size,
                filter_sigma=self.filter_sigma,
                k1=self.k1,
                k2=self.k2,
                data_format=self.data_format,
            )
        }


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class SSIMLoss(ImageLoss):
    """One minus the structural similarity (SSIM) of two images.

    In every window of 11 by 11 pixels it compares the means, the contrasts
    and how pixels go together, rather than pixel with pixel: a change of
    brightness or contrast costs little, a lost texture a lot. It is 0 for
    equal images and 2 at most, for images that go against each other:

    ```
    1 - mean((2 * mx * my + c1) / (mx**2 + my**2 + c1)
             * (2 * cov + c2) / (vx + vy + c2))
    ```

    with Gaussian-weighted means, variances and covariance, `c1 = k1**2` and
    `c2 = k2**2`, over all windows within the image and all channels. The
    numbers are one minus those of `tf.image.ssim`, but for its rounding of up
    to 2e-5: here variances are taken about the mean of the image, and the
    distance from the difference of the images, so that it keeps its digits
    where they are almost equal.

    Images have any number of channels, in `value_range`, default `(0, 1)`.
    The authors take the similarity of gray images.

    Args:
        filter_size: Integer, height and width of the Gaussian window, in
            pixels. Defaults to 11.
        filter_sigma: Float above zero, standard deviation of the window, in
            pixels. Defaults to 1.5.
        k1: Float above zero, which steadies the ratio of the means where
            images are dark. Defaults to 0.01.
        k2: Float above zero, which steadies the ratio of the variances where
            images are flat. Defaults to 0.03.
        {loss_arguments}

    Call arguments:
        {masked_pair_of_images}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape, if `y_pred` is of an integer type, or if the images are
            smaller than the window.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.losses import SSIMLoss
    >>> ramp = np.linspace(0, 1, 256, dtype="float32").reshape(1, 16, 16, 1)
    >>> loss = SSIMLoss()
    >>> float(loss(ramp, ramp))
    0.0
    >>> bool(loss(ramp, 0.9 * ramp) < 0.1 < 1.0 < loss(ramp, 1 - ramp))
    True

    Reference:
        - [Wang et al., 2004](https://doi.org/10.1109/TIP.2003.819861), "Image
          quality assessment: from error visibility to structural similarity".
        - [Zhao et al., 2015](https://arxiv.org/abs/1511.08861), for it as a
          loss. `kornia.losses.SSIMLoss` is half of it.
    """

    def __init__(
        self,
        *,
        filter_size: int = 11,
        filter_sigma: float = 1.5,
        k1: float = 0.01,
        k2: float = 0.03,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "ssim_loss",
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
        self.filter_size = check.integer(
            "filter_size", filter_size, minimum=1, maximum=LARGEST_FILTER
        )
        self.filter_sigma = check.number("filter_sigma", filter_sigma, above=0)
        self.k1 = check.number("k1", k1, above=0)
        self.k2 = check.number("k2", k2, above=0)
        self._distance = SSIMDistance.of(self)
