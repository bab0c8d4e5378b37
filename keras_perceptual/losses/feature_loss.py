"""What losses on the features of a frozen network have in common."""

from typing import Any

from keras import ops

from keras_perceptual.losses.distance import (
    FeatureDistance,
    terms,
)
from keras_perceptual.losses.encoding import encode
from keras_perceptual.losses.image_loss import (
    ImageLoss,
    split,
    without_none,
)
from keras_perceptual.progress import track
from keras_perceptual.typing import ArrayLike, Targets, Tensor


class FeatureLoss(ImageLoss):
    """Base class of losses that compare what a frozen network sees in images.

    Their `_distance` is a `FeatureDistance`. In the place of `y_true` such a
    loss also takes what `encode` returned, or a pair of either and a mask; a
    mask may come as `sample_weight` of rank 3 as well.
    """

    _distance: FeatureDistance

    def per_layer(
        self, y_true: Targets, y_pred: ArrayLike
    ) -> dict[str, Tensor]:
        """Returns what each layer adds to the loss.

        Args:
            y_true: Images, as when the loss is called.
            y_pred: Images, as when the loss is called.

        Returns:
            A dictionary from names of layers to tensors shaped `(batch,)`,
            whose sum is the loss of each image.
        """
        y_true, y_pred, _ = self._admit(y_true, y_pred)
        y_true, y_pred, count = without_none(*self._cast((y_true, y_pred)))
        y_true, mask = split(y_true)
        found = terms(self._distance, y_true, y_pred, mask)
        return {name: values[:count] for name, values in found.items()}

    def encode(
        self,
        images: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        batch_size: int | None = None,
    ) -> Tensor:
        """Computes once what the loss keeps of target images.

        What it returns is accepted as `y_true` by a loss of the same
        configuration, in the place of the images: a third of the arithmetic of
        every later step is saved. It can be used in `tf.data.Dataset.map` and
        stored with `cache()`.

        Args:
            images: Images, as `y_true` when the loss is called.
            mask: Optional weights shaped `(batch, height, width)`, where the
                loss will be given a mask; only statistics of the whole image
                depend on it.
            batch_size: Integer, how many images are encoded at a time, where
                all would need too much memory; what takes long shows a
                progress bar. Defaults to `None`: all at once.

        Returns:
            A tensor shaped `(batch, n)`: the features, and in front of them
            four numbers that stand for the configuration. A loss of another
            configuration refuses them; in code compiled by XLA outside `fit`,
            where nothing can be refused, its value is NaN.
        """
        if batch_size is not None:
            size = self._check.integer("batch_size", batch_size, minimum=1)
            return self._encode_in_parts(images, mask, size)
        if mask is not None:
            images = images, mask
        images, *_ = self._admit(images, split(images)[0], encoding=True)
        images, mask = split(self._cast(images))
        images, _, count = without_none(images, images)
        mask = None if count == 0 else mask
        return encode(self._distance, images, mask)[:count]

    def _encode_in_parts(self, images: Any, mask: Any, size: int) -> Tensor:
        """Encodes some images at a time."""
        parts = []
        for start in track(range(0, max(len(images), 1), size)):
            part = slice(start, start + size)
            some = None if mask is None else mask[part]
            parts.append(self.encode(images[part], some))
        return ops.concatenate(parts)
