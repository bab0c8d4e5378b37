"""The deep image structure and texture similarity as a metric."""

from typing import Any

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.dists import DISTS
from keras_perceptual.metrics.image_loss_metric import (
    ImageLossMetric,
    make_loss,
)
from keras_perceptual.typing import DType


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class DISTSMetric(ImageLossMetric):
    """Averages DISTS over all images that it has seen.

    Lower is better; see `DISTS`. Papers report what the authors' script says,
    which shrinks larger images to a shorter side of 256 pixels:
    `DISTSMetric(resize=256)`.

    Args:
        loss: The `DISTS` that is averaged: that of the model, to share its
            network, or another one. Defaults to `DISTS()`.
        {tile}
        name: String. Defaults to `"dists"`.
        {sums_dtype}
        **settings: Arguments of `DISTS`, where no loss is given, such as
            `resize=256` or `value_range=(0, 255)`.

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`.
        y_pred: Images of the same shape, of any type.
        sample_weight: Optional tensor shaped `(batch,)`, a weight for each
            image, or a mask shaped `(batch, height, width)`.

    Returns:
        From `result()`, the mean; 0 before the first image.

    Raises:
        ValueError: If `loss` is not a `DISTS`, or if there are settings beside
            it.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> photos = np.random.default_rng(0).uniform(size=(2, 32, 32, 3))
    >>> metric = kp.DISTSMetric()
    >>> metric.update_state(photos, photos)
    >>> float(metric.result())
    0.0

    Reference:
        Ding et al. (2020), https://arxiv.org/abs/2004.07728.
    """

    def __init__(
        self,
        loss: DISTS | None = None,
        *,
        tile: int | None = None,
        name: str | None = "dists",
        dtype: DType | None = None,
        **settings: Any,
    ) -> None:
        loss = make_loss(self, DISTS, loss, settings)
        super().__init__(loss, tile=tile, name=name, dtype=dtype)
