"""The mean over images of one minus a loss: a similarity as a metric."""

from typing import Any, Self

from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.metrics.per_image_mean import PerImageMean
from keras_perceptual.typing import DType, Tensor
from keras_perceptual.validation import Checker


class SimilarityMetric(PerImageMean):
    """Base class of metrics of which more is better, and 1 the most.

    Args:
        loss: The loss that is one minus the similarity.
        name: String.
        dtype: The type that sums are kept in.
    """

    _direction = "up"

    def __init__(
        self, loss: ImageLoss, *, name: str | None, dtype: DType | None
    ) -> None:
        super().__init__(name=Checker(self).name(name), dtype=dtype)
        self.loss = loss

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Revives the metric and its loss."""
        loss = Checker(cls.__name__).revive(config, "loss")
        return cls(**{**config, "loss": loss})

    def _score(self, values: Tensor) -> Tensor:
        """Returns similarities."""
        return 1 - values
