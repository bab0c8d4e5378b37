"""The structural similarity at several scales as a metric."""

from typing import Any

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.ms_ssim_loss import MSSSIMLoss
from keras_perceptual.metrics.image_loss_metric import make_loss
from keras_perceptual.metrics.per_image_mean import PerImageMean
from keras_perceptual.metrics.similarity import Similarity
from keras_perceptual.typing import DType
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class MSSSIMMetric(Similarity, PerImageMean):
    """Averages the MS-SSIM over all images that it has seen.

    More is better, and 1 is the most: one minus the `MSSSIMLoss` of each image,
    then the mean over the images. Five scales need images of 161 pixels a
    side.

    Args:
        loss: The `MSSSIMLoss` that is averaged, or what becomes of it. Defaults
            to `MSSSIMLoss()`.
        name: String. Defaults to `"ms_ssim"`.
        {sums_dtype}
        **settings: Arguments of `MSSSIMLoss`, where no loss is given, such as
            `weights=(0.5, 0.5)` or `value_range=(0, 255)`.

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`.
        y_pred: Images of the same shape, of any type.
        sample_weight: Optional tensor shaped `(batch,)`, a weight for each
            image, or a mask shaped `(batch, height, width)`.

    Returns:
        From `result()`, the mean; 0 before the first image.

    Raises:
        ValueError: If `loss` is not an `MSSSIMLoss`, or if there are settings
            beside it.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> photos = np.random.default_rng(0).uniform(size=(2, 48, 48, 3))
    >>> metric = kp.MSSSIMMetric(weights=(0.5, 0.5))
    >>> metric.update_state(photos, photos)
    >>> float(metric.result())
    1.0

    Reference:
        Wang et al. (2003), https://doi.org/10.1109/ACSSC.2003.1292216.
    """

    def __init__(
        self,
        loss: MSSSIMLoss | None = None,
        *,
        name: str | None = "ms_ssim",
        dtype: DType | None = None,
        **settings: Any,
    ) -> None:
        loss = make_loss(self, MSSSIMLoss, loss, settings)
        super().__init__(name=Checker(self).name(name), dtype=dtype)
        self.loss = loss
