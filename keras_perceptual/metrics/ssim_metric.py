"""The structural similarity as a metric."""

from typing import Any

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.ssim_loss import SSIMLoss
from keras_perceptual.metrics.image_loss_metric import make_loss
from keras_perceptual.metrics.per_image_mean import PerImageMean
from keras_perceptual.metrics.similarity import Similarity
from keras_perceptual.typing import DType
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class SSIMMetric(Similarity, PerImageMean):
    """Averages the structural similarity over all images that it has seen.

    More is better, and 1 is the most: one minus the `SSIMLoss` of each image,
    then the mean over the images. It is the number of `tf.image.ssim`.

    Args:
        loss: The `SSIMLoss` that is averaged, or what becomes of it. Defaults
            to `SSIMLoss()`.
        name: String. Defaults to `"ssim"`.
        {sums_dtype}
        **settings: Arguments of `SSIMLoss`, where no loss is given, such as
            `filter_size=7` or `value_range=(0, 255)`.

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`.
        y_pred: Images of the same shape, of any type.
        sample_weight: Optional tensor shaped `(batch,)`, a weight for each
            image, or a mask shaped `(batch, height, width)`.

    Returns:
        From `result()`, the mean; 0 before the first image.

    Raises:
        ValueError: If `loss` is not an `SSIMLoss`, or if there are settings
            beside it.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> photos = np.random.default_rng(0).uniform(size=(2, 48, 48, 3))
    >>> metric = kp.SSIMMetric()
    >>> metric.update_state(photos, photos)
    >>> float(metric.result())
    1.0

    Reference:
        Wang et al. (2004), https://doi.org/10.1109/TIP.2003.819861.
    """

    def __init__(
        self,
        loss: SSIMLoss | None = None,
        *,
        name: str | None = "ssim",
        dtype: DType | None = None,
        **settings: Any,
    ) -> None:
        loss = make_loss(self, SSIMLoss, loss, settings)
        super().__init__(name=Checker(self).name(name), dtype=dtype)
        self.loss = loss
