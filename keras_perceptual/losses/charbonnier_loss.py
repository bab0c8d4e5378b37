"""A loss on pixel values that is smooth where they agree."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import keras
from keras import ops

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.distances import charbonnier_penalty, mean_per_image
from keras_perceptual.typing import (
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CharbonnierDistance(PixelDistance):
    """The mean of the penalty of all differences."""

    epsilon: float

    takes_mask = True
    hides_pixels = True
    no_map: ClassVar[str | None] = None

    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the distance of each pair of images."""
        penalty = self._penalty(y_true, y_pred)
        if mask is not None and self.data_format == "channels_first":
            penalty = ops.transpose(penalty, (0, 2, 3, 1))
        return mean_per_image(penalty, mask)

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns the mean penalty of the channels of each pixel."""
        axis = -1 if self.data_format == "channels_last" else 1
        return {
            "pixels": ops.mean(
                self._penalty(true["pixels"], pred["pixels"]), axis=axis
            )
        }

    def _penalty(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the penalty of each value."""
        difference = (y_pred - y_true) / self.width
        return charbonnier_penalty(difference, self.epsilon)


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class CharbonnierLoss(ImageLoss):
    """Compares pixel values, as the mean absolute error but smooth at zero.

    The usual loss on pixels in super-resolution and restoration. Like the
    mean absolute error it forgives single large differences more readily than
    the squared error does; below `epsilon` it is quadratic, so that pixels
    that are all but right no longer jump to and fro. For each image it is

    ```
    mean(sqrt(d**2 + epsilon**2) - epsilon),   d = y_pred - y_true
    ```

    over height, width and channels, of images with any number of channels.

    Args:
        epsilon: Float above zero, the difference below which the loss is
            quadratic, of pixels in (0, 1). Defaults to 1e-3.
        {loss_arguments}

    Call arguments:
        {masked_pair_of_images}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape, or if `y_pred` is of an integer type.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.losses import CharbonnierLoss
    >>> black = np.zeros((1, 8, 8, 3), "float32")
    >>> round(float(CharbonnierLoss()(black, black + 0.5)), 3)
    0.499

    Reference:
        - Charbonnier et al., "Two deterministic half-quadratic regularization
          algorithms for computed imaging", 1994.
        - [Lai et al., 2017](https://arxiv.org/abs/1704.03915), who brought it
          to super-resolution, with the `epsilon` of 1e-3. Their loss, and the
          one of this name in BasicSR, does not subtract `epsilon`: it is
          larger by that constant, with the same gradient. The default of
          BasicSR, `eps=1e-12`, is added to `d**2` as it is; that is
          `epsilon=1e-6` here.
    """

    def __init__(
        self,
        epsilon: float = 1e-3,
        *,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "charbonnier_loss",
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
        self.epsilon = self._check.number("epsilon", epsilon, above=0)
        self._distance = CharbonnierDistance.of(self)
