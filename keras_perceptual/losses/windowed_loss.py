"""Losses on features that can look at large images part by part."""

from keras import ops

from keras_perceptual import validation
from keras_perceptual.losses.feature_loss import FeatureLoss
from keras_perceptual.ops.windows import SMALLEST, fold_windows
from keras_perceptual.validation import Checker


class WindowedLoss(FeatureLoss):
    """Base class of losses on features that need not see an image at once.

    A subclass implements `_features`, what is kept of prepared images, next to
    `_compare`, and the three methods that collect its terms from windows. It
    may override `_prepare`.
    """

    def per_image(self, y_true, y_pred, *, tile=None):
        """Returns the loss of each image, before weights and reduction.

        Args:
            y_true: Images, as when the loss is called.
            y_pred: Images, as when the loss is called.
            tile: Integer of at least 256, or `None`. Images with a longer side
                are looked at through overlapping windows of at most so many
                pixels a side, one after the other, so that memory does not
                grow with the image. The values are the same; without a mask,
                and no gradient. Neighbours overlap by 224 pixels or more, so
                that windows of 512 take up to three times the time of none,
                and larger ones less. Defaults to `None`: the whole image at
                once.

        Returns:
            A tensor shaped `(batch,)`.

        Raises:
            ValueError: If there is a mask or an encoded target and `tile`; as
                when the loss is called.
        """
        if tile is None:
            return super().per_image(y_true, y_pred)
        check = Checker(self)
        tile = check.integer("tile", tile, minimum=SMALLEST)
        if validation.shape_and_dtype(y_pred)[0][:1] == (0,):
            return super().per_image(y_true, y_pred)
        y_true, y_pred, _ = self._admit(y_true, y_pred)
        if isinstance(y_true, tuple) or len(y_true.shape) != 4:
            raise ValueError(
                f"{check.owner} compares plain images in windows, without a "
                "mask and not encoded before. Leave out the mask, or `tile`. "
                f"Received: tile={tile}"
            )
        images = [
            self._prepare(ops.stop_gradient(self._cast(x)))
            for x in (y_true, y_pred)
        ]

        def look(state, windows, own):
            true, pred = (self._features(x) for x in windows)
            return {
                name: self._add_window(name, state[name], true[name], x, own)
                for name, x in pred.items()
            }

        # One zero for each image, of whatever batch.
        zeros = 0 * images[0][:, 0, 0, 0]
        found = fold_windows(look, self._start(zeros), images, tile)
        return sum(self._finish(name, x) for name, x in found.items())

    def _prepare(self, images):
        """Returns images as they are before they are cut into windows."""
        if self.data_format == "channels_first":
            return ops.transpose(images, (0, 2, 3, 1))
        return images

    def _features(self, images):
        """Returns what is kept of prepared images, a dictionary of tensors."""
        raise NotImplementedError

    def _observe(self, images, mask=None):
        return self._features(self._prepare(images))

    def _start(self, zeros):
        """Returns what is known of each term before the first window."""
        raise NotImplementedError

    def _add_window(self, name, state, true, pred, own):
        """Returns what is known of a term after one window more."""
        raise NotImplementedError

    def _finish(self, name, state):
        """Returns a term, shaped `(batch,)`."""
        raise NotImplementedError
