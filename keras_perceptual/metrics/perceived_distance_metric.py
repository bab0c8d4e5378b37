"""The distance that sees as people do as a metric."""

from typing import Any

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.perceived_distance import PerceivedDistance
from keras_perceptual.metrics.image_loss_metric import (
    ImageLossMetric,
    make_loss,
)
from keras_perceptual.typing import DType


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class PerceivedDistanceMetric(ImageLossMetric):
    """Averages `PerceivedDistance` over all images that it has seen.

    Lower is better; see `PerceivedDistance`, also for what deceives it.
    `PerceivedDistanceMetric(size="small")` takes about half of the time.

    Args:
        loss: The `PerceivedDistance` that is averaged: that of the model, to
            share its network, or another one; or the name of a network,
            `"alexnet"` or `"vgg16"`. Defaults to `PerceivedDistance()`.
        {tile}
        name: String. Defaults to `"perceived_distance"`.
        {sums_dtype}
        **settings: Arguments of `PerceivedDistance`, where no loss is given,
            such as `size="small"` or `value_range=(0, 255)`.

    Call arguments:
        y_true: References shaped `(batch, height, width, channels)`.
        y_pred: Images of the same shape, of any type.
        sample_weight: Optional tensor shaped `(batch,)`, a weight for each
            image, or a mask shaped `(batch, height, width)`.

    Returns:
        From `result()`, the mean; 0 before the first image.

    Raises:
        ValueError: If `loss` is not a `PerceivedDistance`, nor the name of a
            network, or if there are settings beside it.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> photos = np.random.default_rng(0).uniform(size=(2, 64, 64, 3))
    >>> metric = kp.PerceivedDistanceMetric(size="small")
    >>> metric.update_state(photos, photos)
    >>> float(metric.result())
    0.0

    Reference:
        The guide "A distance that sees as people do".
    """

    def __init__(
        self,
        loss: PerceivedDistance | str | None = None,
        *,
        tile: int | None = None,
        name: str | None = "perceived_distance",
        dtype: DType | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(loss, str):
            loss, settings = None, {"backbone": loss, **settings}
        loss = make_loss(self, PerceivedDistance, loss, settings)
        super().__init__(loss, tile=tile, name=name, dtype=dtype)
