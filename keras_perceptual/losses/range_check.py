"""Noticing images that are not in the range that a loss was told."""

import functools
import warnings

from keras import ops

from keras_perceptual import _backend, validation
from keras_perceptual.ops.value_range import (
    describe_range_mistake,
    is_narrow,
    is_outside,
    show_range,
)

POLICIES = ("warn", "raise", "off", "clip")

# How far outside the range values may lie before somebody is told. Targets are
# pictures; predictions of an untrained model stray.
TOLERANCES = {"y_true": 0.1, "y_pred": 10.0}

# Out of so many rows and columns, enough pixels of an image are looked at.
LINES = 32


class RangeCheck:
    """Compares the values of images with the range that was promised.

    It looks at every image of every batch, at one pixel of many, also in
    traced and compiled code; only what is wrong costs more than that.

    Args:
        owner: Name of the object that asks, for the message.
        policy: `"warn"` (once for each argument), `"raise"`, `"clip"` (as
            `"warn"`) or `"off"`.
        value_range: Pair of floats, the range that was promised.
        data_format: Where the channels are.
    """

    def __init__(self, owner, policy, value_range, data_format):
        self.policy = validation.check_choice(
            owner, "check_range", policy, POLICIES
        )
        self._owner = owner
        self._value_range = value_range
        self._data_format = data_format
        self._told = set()
        # What a backend has to remember from one trace to the next.
        self._states = {name: {} for name in TOLERANCES}

    def __call__(self, name, images):
        """Looks at a batch of images.

        Args:
            name: `"y_true"` or `"y_pred"`.
            images: Tensor or array shaped `(batch, height, width, channels)`.

        Raises:
            ValueError: With the policy `"raise"`, if the values cannot be in
                the range. In a traced function, the backend may wrap it into
                an error of its own.
        """
        told = self.policy != "raise" and name in self._told
        if self.policy == "off" or told or 0 in tuple(images.shape):
            return
        sample = ops.cast(self._sample(images), "float32")
        low, high = ops.min(sample), ops.max(sample)
        wrong = is_outside(low, high, self._value_range, TOLERANCES[name])
        if name == "y_true":
            wrong = wrong | is_narrow(low, high, self._value_range)
        _backend.call_when(
            wrong,
            functools.partial(self._report, name),
            ops.stack([low, high]),
            self._states[name],
        )

    def _sample(self, images):
        """Returns some pixels of each image."""
        images = ops.convert_to_tensor(images)
        first = 1 if self._data_format == "channels_last" else 2
        index = [slice(None)] * 4
        for axis in (first, first + 1):
            side = images.shape[axis]
            index[axis] = slice(None, None, max(1, (side or LINES) // LINES))
        return images[tuple(index)]

    def _report(self, name, values):
        """Tells the user, once or every time."""
        low, high = (float(value) for value in values)
        sentence = (
            f"{self._owner}: {name} "
            f"{describe_range_mistake(low, high, self._value_range)}"
        )
        outside = is_outside(low, high, self._value_range, TOLERANCES[name])
        if self.policy == "raise" and outside:
            raise ValueError(
                f"{sentence} Received: value_range="
                f"{show_range(self._value_range)}, check_range='raise'"
            )
        if name not in self._told:
            self._told.add(name)
            warnings.warn(sentence, stacklevel=7)
