"""A loss that asks for smooth images."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.total_variation import (
    VARIATIONS,
    total_variation,
    variation_map,
)
from keras_perceptual.typing import (
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
    VariationNorm,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TotalVariation(PixelDistance):
    """How much the predictions vary, whatever the targets are."""

    norm: VariationNorm
    epsilon: float

    takes_mask = True
    hides_pixels = True
    no_map: ClassVar[str | None] = None

    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the variation of each predicted image."""
        return total_variation(
            y_pred / self.width,
            self.norm,
            epsilon=self.epsilon,
            mask=mask,
            data_format=self.data_format,
        )

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns the variation at each pixel."""
        return {
            "pixels": variation_map(
                pred["pixels"] / self.width,
                self.norm,
                epsilon=self.epsilon,
                data_format=self.data_format,
            )
        }


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class TotalVariationLoss(ImageLoss):
    """Counts how much the predicted image varies from pixel to pixel.

    It knows nothing of the target: it takes `y_true` because Keras passes
    one, and ignores what is in it. Add it with a small weight to a loss that
    does compare, against noise and checkerboards in style transfer,
    super-resolution and denoising. Alone it asks for a blank image.

    With the defaults it is the mean of the absolute differences between
    neighbors, for each image

    ```
    tf.image.total_variation(y_pred) / (height * width * channels)
    ```

    and so does not depend on the size of the image. Images have any number of
    channels, in `value_range`, default `(0, 1)`.

    Args:
        norm: What is averaged over the differences `dy` and `dx` to the
            pixels below and on the right: `"l1"` takes `abs(dy) + abs(dx)`,
            which lets edges be as sharp as they like; `"l2"` takes
            `dy**2 + dx**2`, which prefers soft ones; `"isotropic"` takes
            `sqrt(dy**2 + dx**2 + epsilon**2) - epsilon`, in which an edge
            counts about alike in all directions. Defaults to `"l1"`.
        epsilon: Float above zero, the slope below which `"isotropic"` is
            quadratic, of pixels in (0, 1). The others do without. Defaults to
            1e-3.
        {loss_arguments}

    Call arguments:
        y_true: Images shaped as `y_pred`. Any will do; pass `y_pred` itself
            where there are no others.
        y_pred: Floating-point images shaped `(batch, height, width,
            channels)`, or `(batch, channels, height, width)` with
            `"channels_first"`.
        {pixel_weight}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape, or if `y_pred` is of an integer type.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.losses import TotalVariationLoss
    >>> checkerboard = np.indices((8, 8)).sum(axis=0).reshape(1, 8, 8, 1) % 2.0
    >>> float(TotalVariationLoss()(checkerboard, checkerboard))
    1.75

    In a model, next to a loss on the pixels:

    >>> import keras
    >>> import keras_perceptual as kp
    >>> both = kp.WeightedSumLoss(
    ...     {
    ...         "pixels": "mean_absolute_error",
    ...         "variation": (kp.TotalVariationLoss(), 0.01),
    ...     }
    ... )
    >>> model = keras.Sequential([keras.layers.Conv2D(3, 3, padding="same")])
    >>> model.compile("adam", both, metrics=[kp.LossTerms(both)])

    Reference:
        - [Rudin, Osher and Fatemi, 1992](
          https://doi.org/10.1016/0167-2789(92)90242-F), whose variation is the
          isotropic one.
        - [Mahendran and Vedaldi, 2014](https://arxiv.org/abs/1412.0035), who
          take a power of it as a prior of natural images; `"l2"` is theirs of
          beta = 2.
        - Elsewhere it is a sum over pixels: multiply by
          `height * width * channels` for `tf.image.total_variation`,
          `kornia.losses.total_variation` (`reduction="sum"`) and piq's
          `norm_type="l1"`, and likewise `"l2"` for piq's `"l2_squared"`.
    """

    def __init__(
        self,
        norm: VariationNorm = "l1",
        *,
        epsilon: float = 1e-3,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "total_variation_loss",
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
        self.norm = check.choice("norm", norm, VARIATIONS)
        self.epsilon = check.number("epsilon", epsilon, above=0)
        self._distance = TotalVariation.of(self)
