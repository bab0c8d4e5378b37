"""A loss on how unevenly the similarity of two images is spread."""

import dataclasses

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.color_spaces import to_rgb
from keras_perceptual.ops.mdsi import mdsi_distance
from keras_perceptual.typing import (
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MDSIDistance(PixelDistance):
    """The mean deviation of the similarity."""

    c1: float
    c2: float
    c3: float
    alpha: float

    takes_mask = True
    hides_pixels = True

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers of channels that images may have."""
        return (1, 3)

    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the distance of each pair of images."""
        return mdsi_distance(
            to_rgb(self.channels_last(y_true), self.value_range),
            to_rgb(self.channels_last(y_pred), self.value_range),
            c1=self.c1,
            c2=self.c2,
            c3=self.c3,
            alpha=self.alpha,
            mask=mask,
        )


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class MDSILoss(ImageLoss):
    """The mean deviation similarity index (MDSI) of two images.

    At each place it compares the slopes and the colors of two images, and then
    tells how unevenly the similarity is spread: people mind a spoiled part
    more than the same change all over. With the similarity `s` of all places
    it is

    ```
    mean(abs(s**(1/4) - mean(s**(1/4)))) ** (1/4)
    ```

    0 for equal images, usually 0.2 to 0.6 for others. A change that is the same
    everywhere, such as another color all over, it does not see: keep a loss on
    pixels beside it. What an image lacks of the slopes of the target counts
    more than what it adds.

    The numbers are those of `piq.mdsi(y_pred, y_true)`. Images are RGB in
    `value_range`, default `(0, 1)`, or gray with one channel; those whose
    shorter side has 384 pixels or more are averaged to about 256 there.

    Args:
        c1: Float above zero, which steadies the similarity of the slopes of
            the two images, of pixels up to 255. Defaults to 140.
        c2: Float above zero, likewise for those of each with their mean.
            Defaults to 55.
        c3: Float above zero, likewise for the colors. Defaults to 550.
        alpha: Float from 0 to 1, the share of the slopes; the rest is that of
            the colors. Defaults to 0.6.
        {loss_arguments}

    Call arguments:
        {masked_pair_of_images}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape or have no colors, or if `y_pred` is of an integer type.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> ramp = np.linspace(0, 1, 1024, dtype="float32").reshape(1, 32, 32, 1)
    >>> spoiled = ramp.copy()
    >>> spoiled[:, :8, :8] = 0.5
    >>> loss = kp.MDSILoss()
    >>> float(loss(ramp, ramp))
    0.0
    >>> bool(loss(ramp, spoiled) > 0.3)
    True

    Notes:
        - Gradients are finite for all images, also flat and equal ones, for
          which piq returns NaN. Of a distance below 0.01 the outer root is
          continued by a parabola: half a gray level of noise is at 0.04.
        - A root of so high an order is steep where images are almost equal.
        - Hidden pixels count as black, as what lies beyond the border does.

    Reference:
        - [Nafchi et al., 2016](https://arxiv.org/abs/1608.07433), "Mean
          deviation similarity index: efficient and reliable full-reference
          image quality evaluator", with the sum of the two similarities.
    """

    def __init__(
        self,
        *,
        c1: float = 140.0,
        c2: float = 55.0,
        c3: float = 550.0,
        alpha: float = 0.6,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "mdsi_loss",
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
        self.c1 = check.number("c1", c1, above=0)
        self.c2 = check.number("c2", c2, above=0)
        self.c3 = check.number("c3", c3, above=0)
        self.alpha = check.number("alpha", alpha, minimum=0, maximum=1)
        self._distance = MDSIDistance.of(self)
