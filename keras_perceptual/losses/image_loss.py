"""What every loss between two batches of images has in common."""

import warnings

import keras

from keras_perceptual import _backend, validation
from keras_perceptual.ops.value_range import describe_range_mistake

tensors = _backend.load("tensors")

# How far outside the range values may lie before the first call speaks up.
# Targets are pictures; predictions of an untrained model stray.
TARGET_TOLERANCE = 0.1
PREDICTION_TOLERANCE = 10.0


class ImageLoss(keras.losses.Loss):
    """Base class of losses that compare two batches of images.

    It refuses what cannot be compared before anything is computed, warns once
    about pixel values that do not fit `value_range`, and keeps the whole
    configuration. A subclass implements `call(y_true, y_pred)`, which receives
    two floating-point batches and returns one value for each image, shaped
    `(batch,)`.

    Args:
        value_range: Pair of numbers, the lowest and the highest value that a
            pixel can have. Defaults to `(0, 1)`.
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
        data_format=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        policy = keras.dtype_policies.get(dtype or keras.config.floatx())
        half = policy.compute_dtype in ("float16", "bfloat16")
        super().__init__(
            name=name,
            reduction=reduction,
            dtype="float32" if half else policy.compute_dtype,
        )
        self._dtype_name = policy.name
        owner = type(self).__name__
        self.value_range = validation.check_value_range(owner, value_range)
        self.data_format = validation.standardize_data_format(
            owner, data_format
        )
        self._range_seen = False

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Checks the images, then computes the reduced loss."""
        owner = type(self).__name__
        # Before the base class casts integers to floats.
        validation.check_image_pair(
            owner,
            y_true,
            y_pred,
            channels=self.channels,
            data_format=self.data_format,
        )
        validation.check_sample_weight(owner, sample_weight)
        self._look_at_range_once(y_true=y_true, y_pred=y_pred)
        return super().__call__(y_true, y_pred, sample_weight)

    def _look_at_range_once(self, **images):
        if self._range_seen:
            return
        if not all(tensors.has_values(x) for x in images.values()):
            return
        self._range_seen = True
        for name, x in images.items():
            mistake = describe_range_mistake(
                keras.ops.convert_to_numpy(x),
                self.value_range,
                TARGET_TOLERANCE if name == "y_true" else PREDICTION_TOLERANCE,
            )
            if mistake:
                warnings.warn(
                    f"{type(self).__name__}: {name} {mistake}", stacklevel=3
                )

    def get_config(self):
        """Returns every argument of the constructor."""
        config = super().get_config()
        config.update(
            value_range=list(self.value_range),
            data_format=self.data_format,
            dtype=self._dtype_name,
        )
        return config
