"""A loss between images as a metric."""

import inspect
from typing import Any, Self, TypeVar

import keras

from keras_perceptual import validation
from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import WindowedDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.metrics.per_image_mean import PerImageMean
from keras_perceptual.ops.windows import SMALLEST
from keras_perceptual.typing import DType
from keras_perceptual.validation import Checker

Loss = TypeVar("Loss", bound=ImageLoss)


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class ImageLossMetric(PerImageMean):
    """Averages a loss between images over all images that it has seen.

    The mean is over images, so that it does not depend on how they were cut
    into batches: `sum(weight * loss) / sum(weight)`.

    Args:
        loss: A loss of this package between two batches of images. If it is
            the one that the model is compiled with, its network is shared; it
            still is after `load_model`. A metric adds no weights to a saved
            model.
        {tile}
        name: String. Defaults to the name of the loss.
        {sums_dtype}

    Call arguments:
        y_true: Images, as the loss takes them.
        y_pred: Images of the same shape, of any type.
        sample_weight: Optional tensor shaped `(batch,)`, a weight for each
            image; or, if the loss takes one, a mask shaped
            `(batch, height, width)`.

    Returns:
        From `result()`, the mean; 0 before the first image.

    Raises:
        ValueError: If `loss` is not a loss between images, or if it cannot
            compare them in windows and `tile` is given.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> metric = kp.ImageLossMetric(kp.SobelGradientLoss())
    >>> sharp = np.zeros((1, 8, 8, 1), "float32")
    >>> sharp[:, :, 4:] = 1.0
    >>> metric.update_state(sharp, sharp)
    >>> metric.update_state(sharp, np.zeros_like(sharp))
    >>> float(metric.result())
    0.25
    >>> metric.name
    'sobel_gradient_loss'

    In a model: `model.compile(loss="mse", metrics=[kp.LPIPSMetric()])`.

    Reference:
        The streaming mean of `keras.metrics.Mean`,
        https://keras.io/api/metrics/reduction_metrics/.
    """

    def __init__(
        self,
        loss: ImageLoss,
        *,
        tile: int | None = None,
        name: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        check = Checker(self)
        if inspect.isclass(loss) and issubclass(loss, ImageLoss):
            validation.check_object(loss, loss, f"{loss.__name__}()")
        if not isinstance(loss, ImageLoss):
            raise ValueError(
                f"{check.owner} averages a loss of this package between two "
                "batches of images. Give it one, such as `LPIPS()`; other "
                "losses of Keras have metrics of their own. Received: "
                f"loss={validation.show(loss)}"
            )
        can_tile = isinstance(loss._distance, WindowedDistance)
        if tile is not None and not can_tile:
            raise ValueError(
                f"{check.owner} can look through windows with `LPIPS`, "
                "`DISTS` and `PerceivedDistance` alone. Leave out `tile`. "
                "Received: "
                f"tile={validation.show(tile)}, loss={validation.show(loss)}"
            )
        name = check.name(name)
        super().__init__(name=name or loss.name, dtype=dtype)
        self.loss = loss
        self.tile = tile
        if tile is not None:
            self.tile = check.integer("tile", tile, minimum=SMALLEST)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Revives the metric and its loss."""
        loss = Checker(cls.__name__).revive(config, "loss")
        return cls(**{**config, "loss": loss})


def make_loss(
    metric: object, kind: type[Loss], loss: Any, settings: dict[str, Any]
) -> Loss:
    """Returns the loss of a metric, made of settings where none is given.

    Args:
        metric: The metric that is constructed.
        kind: The class of its losses.
        loss: What the user gave, or `None`.
        settings: Dictionary, arguments of `kind`.

    Raises:
        ValueError: If the loss is of another class, or there are settings
            beside it.
    """
    owner = type(metric).__name__
    if loss is None:
        return kind(**settings)
    if settings:
        raise ValueError(
            f"{owner} takes settings where it is given no "
            f"loss. Put them into the loss: `{kind.__name__}(...)`. Received: "
            f"{', '.join(settings)} beside loss={validation.show(loss)}"
        )
    if not isinstance(loss, kind):
        raise ValueError(
            f"{owner} averages `{kind.__name__}`. Give it one, or its "
            "arguments by name, and use `ImageLossMetric` for other losses. "
            "Received: "
            f"loss={validation.show(loss)}"
        )
    return loss
