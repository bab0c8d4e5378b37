"""Noticing images that are not in the range that a loss was told."""

import functools
import operator
import warnings

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.validation import Checker

CONVENTIONS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))

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
        self.policy = Checker(owner).choice("check_range", policy, POLICIES)
        self._owner = owner
        self._value_range = value_range
        self._data_format = data_format
        self._told = set()
        # What a backend has to remember from one trace to the next.
        self._states = {}

    def __call__(self, images):
        """Looks at batches of images.

        Args:
            images: Dictionary from `"y_true"` and `"y_pred"`, or one of the
                two, to tensors or arrays, `(batch, height, width, channels)`.

        Raises:
            ValueError: With the policy `"raise"`, if the values cannot be in
                the range. In a traced function, the backend may wrap it into
                an error of its own.
        """
        if self.policy == "off":
            return
        names, wrong, ends = [], [], []
        for name, batch in images.items():
            told = self.policy != "raise" and name in self._told
            if told or 0 in tuple(batch.shape):
                continue
            sample = ops.cast(self._sample(batch), "float32")
            low, high = ops.min(sample), ops.max(sample)
            names.append(name)
            wrong.append(self._is_wrong(name, low, high))
            ends += [low, high]
        if names:
            _backend.call_when(
                functools.reduce(operator.or_, wrong),
                functools.partial(self._report, names),
                ops.stack(ends),
                self._states.setdefault(tuple(names), {}),
            )

    def _is_wrong(self, name, low, high):
        """Whether somebody is to be told of images from `low` to `high`."""
        wrong = is_outside(low, high, self._value_range, TOLERANCES[name])
        if name == "y_true":
            wrong = wrong | is_narrow(low, high, self._value_range)
        return wrong

    def _sample(self, images):
        """Returns some pixels of each image."""
        images = ops.convert_to_tensor(images)
        first = 1 if self._data_format == "channels_last" else 2
        index = [slice(None)] * 4
        for axis in (first, first + 1):
            side = images.shape[axis]
            index[axis] = slice(None, None, max(1, (side or LINES) // LINES))
        return images[tuple(index)]

    def _report(self, names, ends):
        """Tells the user, once or every time."""
        for index, name in enumerate(names):
            low, high = (float(x) for x in ends[2 * index : 2 * index + 2])
            if self._is_wrong(name, low, high):
                self._tell(name, low, high)

    def _tell(self, name, low, high):
        """Raises or warns of images that are not in the range."""
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


def likely_range(low, high):
    """Returns the usual range that values from `low` to `high` seem to be in.

    Args:
        low: Float, the lowest value seen.
        high: Float, the highest value seen.

    Returns:
        `(0.0, 1.0)`, `(-1.0, 1.0)` or `(0.0, 255.0)`; `None` where no usual
        range holds the values.
    """
    for bottom, top in CONVENTIONS:
        slack = 0.1 * (top - bottom)
        if low >= bottom - slack and high <= top + slack:
            return bottom, top
    return None


def is_outside(low, high, value_range, tolerance):
    """Whether values from `low` to `high` cannot be in a range.

    Args:
        low: The lowest value, a float or a scalar tensor.
        high: The highest value, a float or a scalar tensor.
        value_range: Pair of floats, the range that was promised.
        tolerance: Float, how far outside values may lie, as a fraction of the
            width of the range.

    Returns:
        A boolean, or a boolean tensor. NaN is not outside.
    """
    slack = tolerance * (value_range[1] - value_range[0])
    return (low < value_range[0] - slack) | (high > value_range[1] + slack)


def is_narrow(low, high, value_range):
    """Whether values fill a range as those of another range would.

    Images in (0, 1) are inside (0, 255) and all but black there; inside
    (-1, 1) they are pale. Images of one value, such as black ones, can be of
    any range.

    Args:
        low: The lowest value, a float or a scalar tensor.
        high: The highest value, a float or a scalar tensor.
        value_range: Pair of floats, the range that was promised.

    Returns:
        A boolean, or a boolean tensor.
    """
    if tuple(value_range) == (0.0, 255.0):
        return (high <= 1.0) & (high > low)
    if tuple(value_range) == (-1.0, 1.0):
        return (low >= 0.0) & (high > low)
    return False


def describe_range_mistake(low, high, value_range):
    """Says what seems to be wrong with values.

    Args:
        low: Float, the lowest value.
        high: Float, the highest value.
        value_range: Pair of floats, the range that was promised.

    Returns:
        The rest of a sentence that begins with the name of the images.
    """
    likely = likely_range(low, high)
    guess = (
        f" They look like images in {show_range(likely)}: pass "
        f"value_range={show_range(likely)}, or rescale them."
        if likely is not None and likely != tuple(value_range)
        else " Rescale or clip them, or pass the `value_range` they are in."
    )
    return (
        f"holds values from {low:.4g} to {high:.4g} where "
        f"{show_range(value_range)} was expected.{guess}"
    )


def show_range(value_range):
    """Returns a range as people write it, `(0, 1)` and not `(0.0, 1.0)`."""
    return "({:g}, {:g})".format(*value_range)
