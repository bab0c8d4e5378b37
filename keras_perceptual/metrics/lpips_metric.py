"""The learned perceptual image patch similarity as a metric."""

from typing import Any

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.lpips import LPIPS
from keras_perceptual.metrics.image_loss_metric import (
    ImageLossMetric,
    make_loss,
)
from keras_perceptual.typing import DType


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class LPIPSMetric(ImageLossMetric):
    """Averages LPIPS over all images that it has seen.

    Lower is better; see `LPIPS`. Papers report that of AlexNet, the default.

    Args:
        loss: The `LPIPS` that is averaged: that of the model, to share its
            network, or another one; or the name of a network, `"alexnet"` or
            `"vgg16"`. Defaults to `LPIPS()`.
        {tile}
        name: String. Defaults to `"lpips"`.
        {sums_dtype}
        **settings: Arguments of `LPIPS`, where no loss is given, such as
            `value_range=(0, 255)`.

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`.
        y_pred: Images of the same shape, of any type.
        sample_weight: Optional tensor shaped `(batch,)`, a weight for each
            image, or a mask shaped `(batch, height, width)`.

    Returns:
        From `result()`, the mean; 0 before the first image.

    Raises:
        ValueError: If `loss` is not an `LPIPS`, nor the name of a network, or
            if there are settings beside it.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> rng = np.random.default_rng(0)
    >>> photos = rng.integers(0, 256, (3, 64, 64, 3), dtype="uint8")
    >>> metric = kp.LPIPSMetric("alexnet", value_range=(0, 255))
    >>> metric.update_state(photos, photos // 2)
    >>> 0 < float(metric.result()) < 1
    True

    Reference:
        Zhang et al. (2018), https://arxiv.org/abs/1801.03924.
    """

    def __init__(
        self,
        loss: LPIPS | str | None = None,
        *,
        tile: int | None = None,
        name: str | None = "lpips",
        dtype: DType | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(loss, str):
            loss, settings = None, {"backbone": loss, **settings}
        loss = make_loss(self, LPIPS, loss, settings)
        super().__init__(loss, tile=tile, name=name, dtype=dtype)
