"""What every loss between two batches of images has in common."""

import keras
from keras import ops, tree

from keras_perceptual.configuration import Configured
from keras_perceptual.losses.device_share import weigh_by_share
from keras_perceptual.losses.range_check import TOLERANCES, RangeCheck
from keras_perceptual.ops.value_range import clamp
from keras_perceptual.validation import Checker


class ImageLoss(Configured, keras.losses.Loss):
    """Base class of losses that compare two batches of images.

    It refuses what cannot be compared before anything is computed, speaks up
    about pixel values that do not fit `value_range`, and keeps the whole
    configuration. A subclass implements `_values(y_true, y_pred)`, which
    receives two floating-point batches and returns one value for each image,
    shaped `(batch,)`. Batches without an image cost 0, and never get there.

    Args:
        value_range: Pair of numbers, the lowest and the highest value that a
            pixel can have. Defaults to `(0, 1)`.
        check_range: What to do about images that are not in `value_range`:
            `"warn"` once, `"raise"`, `"off"`, or `"clip"`, which warns and
            moves stray values to the ends of the range. Defaults to `"warn"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        reduction: How the values of a batch become one, as in
            `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        name: Optional name of the loss.
        dtype: The type the loss computes in. Defaults to
            `keras.config.floatx()`. Images, sums and means are in float32 at
            least, whatever is given here; a network may use a shorter type.
    """

    # Numbers of channels that the loss accepts; None for any.
    channels = None

    def __init__(
        self,
        *,
        value_range=(0, 1),
        check_range="warn",
        data_format=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        check = Checker(self)
        policy = check.policy(dtype)
        half = policy.compute_dtype in ("float16", "bfloat16")
        super().__init__(
            name=check.name(name),
            reduction=reduction,
            dtype="float32" if half else policy.compute_dtype,
        )
        self._dtype_config = policy.name
        self.value_range = check.value_range(value_range)
        self.data_format = check.data_format(data_format)
        self._range_check = RangeCheck(
            check.owner, check_range, self.value_range, self.data_format
        )

    @property
    def check_range(self):
        """What is done about images that are not in `value_range`."""
        return self._range_check.policy

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Checks the images, then computes the reduced loss."""
        admitted = self._admit(y_true, y_pred, sample_weight)
        loss = super().__call__(*admitted)
        if tuple(loss.shape) == (0,) and self.reduction not in (None, "none"):
            # Keras leaves it at that where there is no image.
            loss = ops.sum(loss)
        return weigh_by_share(loss, self.reduction, *admitted[1:])

    def call(self, y_true, y_pred):
        """Returns one value for each image, shaped `(batch,)`."""
        if y_pred.shape[0] == 0:
            # Many operations cannot do with none.
            return ops.sum(y_pred, axis=(1, 2, 3))
        return self._values(y_true, y_pred)

    def _values(self, y_true, y_pred):
        """Returns one value for each image, of batches that have some."""
        raise NotImplementedError

    def per_image(self, y_true, y_pred):
        """Returns the loss of each image, before weights and reduction.

        Args:
            y_true: Images, as when the loss is called.
            y_pred: Images, as when the loss is called.

        Returns:
            A tensor shaped `(batch,)`.
        """
        y_true, y_pred, _ = self._admit(y_true, y_pred)
        return self.call(self._cast(y_true), self._cast(y_pred))

    def compare(self, y_true, y_pred):
        """Returns the loss of each image, without looking at their values.

        Args:
            y_true: Images.
            y_pred: Images of the same shape, of any type.

        Returns:
            A tensor shaped `(batch,)`.
        """
        Checker(self).image_pair(
            y_true,
            y_pred,
            channels=self.channels,
            data_format=self.data_format,
            predicted=False,
        )
        y_true, y_pred = self._cast((y_true, y_pred))
        return self.call(self._clip(y_true), self._clip(y_pred))

    def _admit(
        self, y_true, y_pred, sample_weight=None, *, looks_at=tuple(TOLERANCES)
    ):
        """Refuses what cannot be compared, before integers become floats.

        Args:
            y_true: What the user gave.
            y_pred: What the user gave.
            sample_weight: What the user gave.
            looks_at: The arguments whose values are looked at as well.

        Returns:
            The three, as they go on.
        """
        check = Checker(self)
        check.image_pair(
            y_true,
            y_pred,
            channels=self.channels,
            data_format=self.data_format,
            predicted="y_pred" in looks_at,
        )
        check.sample_weight(sample_weight)
        if "y_true" in looks_at:
            y_true = self._in_range("y_true", y_true)
        if "y_pred" in looks_at:
            y_pred = self._in_range("y_pred", y_pred)
        return y_true, y_pred, sample_weight

    def _cast(self, x):
        """Returns tensors of the type that the loss computes in."""
        return tree.map_structure(
            lambda x: ops.convert_to_tensor(x, self.dtype), x
        )

    def _in_range(self, name, images):
        """Looks at the values of images, and moves stray ones if asked to."""
        self._range_check(name, images)
        return self._clip(images)

    def _clip(self, images):
        """Moves stray values into the range, if asked to."""
        if self.check_range != "clip":
            return images
        return clamp(ops.cast(images, self.dtype), *self.value_range)
