"""The mean over images of what a loss between images says of each."""

import keras
from keras import ops

from keras_perceptual.configuration import Configured
from keras_perceptual.image_validation import ImageChecker, shape_and_dtype
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.typing import ArrayLike, Targets, Tensor


class PerImageMean(Configured, keras.metrics.Mean):
    """Base class of metrics that average a value of each pair of images.

    A subclass sets the `loss` that compares them in its constructor, and may
    say what is averaged of its values.
    """

    loss: ImageLoss
    tile: int | None = None
    # Where the callbacks of Keras that watch a metric look for it.
    _direction: str = "down"

    def update_state(
        self,
        y_true: Targets,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> None:
        """Adds the images of one batch."""
        if sample_weight is not None:
            shape, _ = shape_and_dtype(sample_weight)
            distance = self.loss._distance
            takes_mask = distance.takes_mask or distance.no_mask is not None
            if len(shape) > 2 and takes_mask:
                y_true, sample_weight = (y_true, sample_weight), None
        ImageChecker(self).sample_weight(sample_weight)
        # Nothing is learned from a metric: whole numbers will do.
        y_pred = ops.stop_gradient(
            ops.convert_to_tensor(y_pred, dtype=self.loss.dtype)
        )
        values = self.loss.per_image(y_true, y_pred, tile=self.tile)
        super().update_state(self._score(values), sample_weight)

    def _score(self, values: Tensor) -> Tensor:
        """Returns what is averaged, of the losses of images."""
        return values
