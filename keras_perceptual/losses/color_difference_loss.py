"""A loss on colors, as people tell them apart."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import keras
from keras import ops

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.color_difference import COLOR_DIFFERENCES
from keras_perceptual.ops.color_spaces import to_rgb
from keras_perceptual.ops.distances import mean_over_positions, mean_per_image
from keras_perceptual.ops.pooling import block_means
from keras_perceptual.typing import (
    Blur,
    ColorDifference,
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)

# What compares the mean colors of whole images.
WHOLE = "image"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColorDistance(PixelDistance):
    """The mean difference of the colors of squares of pixels."""

    difference: ColorDifference
    blur: Blur

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
        found = self._compare(y_true, y_pred, mask)
        if self.blur == WHOLE:
            # Nothing is seen of an image that is hidden.
            mask = None if mask is None else ops.max(mask, (1, 2), True)
        return mean_per_image(ops.expand_dims(found, -1), mask)

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns the difference of each square."""
        found = self._compare(true["pixels"], pred["pixels"])
        return {"pixels" if self.blur == 1 else "squares": found}

    def _compare(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the differences, `(batch, rows, columns)`."""
        sides = y_pred.shape[1:3]
        if self.data_format == "channels_first":
            sides = y_pred.shape[2:]
        size = 1 if self.blur == WHOLE else self.blur
        if any(side is not None and side < size for side in sides):
            raise ValueError(
                f"{self.owner} compares means of squares of {self.blur} pixels "
                "a side, and these images have none. Give larger images, or a "
                f"smaller `blur`. Received: images of {sides[0]} x {sides[1]} "
                "pixels"
            )
        convert, compare = COLOR_DIFFERENCES[self.difference]
        colors = [convert(self._means(x, mask)) for x in (y_true, y_pred)]
        return compare(*colors)

    def _means(self, images: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the colors of squares, as RGB in (0, 1)."""
        images = to_rgb(self.channels_last(images), self.value_range)
        if self.blur == 1:
            return images
        if mask is None:
            return self._average(images)
        # What is hidden has no share in the color of a square.
        weights = ops.expand_dims(mask, -1)
        area = self._average(weights)
        total = self._average(images * weights)
        return total / ops.where(area > 0, area, ops.ones_like(area))

    def _average(self, images: Tensor) -> Tensor:
        """Returns the means of squares, or of the whole image as one."""
        if self.blur != WHOLE:
            return block_means(images, self.blur)
        return mean_over_positions(images)[:, None, None]


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class ColorDifferenceLoss(ImageLoss):
    """Compares colors, as people tell them apart.

    The mean over the image of the difference of the colors of two pixels, or
    of two small squares of pixels. A difference of 1 is just about the least
    that is seen side by side, also where the colors are dark or gray, for which
    a squared error of RGB has no measure. With `blur` noise and texture count
    little, and a drift of the colors stays. Images are sRGB in `value_range`,
    default `(0, 1)`; gray images with one channel are accepted.

    Args:
        difference: String. `"ciede2000"`: what the industry uses. `"cie76"`:
            the distance in CIELAB, cheaper, which makes too much of saturated
            colors. `"oklab"`: the distance in OKLab, times 100. Defaults to
            `"ciede2000"`.
        blur: Integer. Compares the means of squares of so many pixels a side;
            rows and columns that are left at the end are left out. Or
            `"image"`: compares the mean colors of whole images, so that a
            drift of the color is all that counts. Defaults to 1: each pixel.
        {loss_arguments}

    Call arguments:
        {masked_pair_of_images}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape or have no colors, if an image is smaller than a square, or if
            `y_pred` is of an integer type.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> gray = np.full((1, 8, 8, 3), 0.5, "float32")
    >>> warm = gray + np.float32([0.02, 0, -0.02])
    >>> round(float(kp.ColorDifferenceLoss()(gray, warm)), 2)
    3.46

    Notes:
        - Gradients are finite for all colors, also gray, equal and black ones
          and where hues wrap. What is below 0.001 counts as 0: it is rounding.
        - Above about 5 no formula is reliable: CIEDE2000 was made for small
          differences.

    Reference:
        - [Sharma et al., 2005](https://doi.org/10.1002/col.20070), CIEDE2000,
          with light of D65 seen at two degrees: the numbers of the package
          colour-science.
        - [Ottosson, 2020](https://bottosson.github.io/posts/oklab/), OKLab.
    """

    def __init__(
        self,
        difference: ColorDifference = "ciede2000",
        *,
        blur: Blur = 1,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "color_difference_loss",
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
        self.difference = self._check.choice(
            "difference", difference, COLOR_DIFFERENCES
        )
        self.blur: Blur = (
            self._check.choice("blur", blur, (WHOLE,))
            if isinstance(blur, str)
            else self._check.integer("blur", blur, minimum=1)
        )
        self._distance = ColorDistance.of(self)
