"""Noticing images that are not in the range that was promised."""

import functools
import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.typing import (
    Array,
    ArrayLike,
    DataFormat,
    RangePolicy,
    Tensor,
)
from keras_perceptual.validation import Checker, calls_to_user

CONVENTIONS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))

# What pictures look like after the usual preparations for a network, by the
# lowest and highest values that they may have: what that is, and the way back.
PREPARED = (
    (
        (-6.0, 6.0),
        "standardized images, less a mean and divided by a deviation",
        "undo it with `images * deviation + mean`",
    ),
    (
        (-131.0, 156.0),
        "images in (0, 255) less a mean, as `preprocess_input` of "
        "keras.applications returns, often with blue first",
        "add the mean, reverse the channels where blue is first, and pass "
        "value_range=(0, 255)",
    ),
)

POLICIES = ("warn", "raise", "off", "clip")

# How far outside the range values may lie before somebody is told. Targets are
# pictures; predictions of an untrained model stray. What comes into a layer
# may be either, and stands for pictures.
TOLERANCES = {
    "y_true": 0.1,
    "a target": 0.1,
    "style_image": 0.1,
    "input": 0.25,
    "y_pred": 10.0,
}

# Of what is not cut off.
LOOSE = 10.0

# No images, but the weights of their pixels: looked at beside them.
MASK = "mask"
NEGATIVE_WEIGHTS = (
    "holds values down to {:.4g} where weights of at least 0 were expected. "
    "A negative weight rewards errors in its pixels. If negative values mark "
    "padding or pixels to ignore, pass `mask >= 0`."
)

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
        channels: How many channels are looked at, the first ones. Defaults to
            all.
        clamped: Whether what is outside the range is lost. Defaults to `True`.
    """

    def __init__(
        self,
        owner: str,
        policy: RangePolicy,
        value_range: tuple[float, float],
        data_format: DataFormat,
        channels: int | None = None,
        clamped: bool = True,
    ) -> None:
        self.policy: RangePolicy = Checker(owner).choice(
            "check_range", policy, POLICIES
        )
        self._owner = owner
        self._value_range = value_range
        self._data_format = data_format
        self._channels = channels
        self._clamped = clamped
        self._told: set[str] = set()
        # What a backend has to remember from one trace to the next.
        self._states: dict[tuple[str, ...], dict[str, Any]] = {}

    def __call__(self, images: Mapping[str, Array]) -> None:
        """Looks at batches of images.

        Args:
            images: Dictionary from some keys of `TOLERANCES` to tensors or
                arrays, `(batch, height, width, channels)`; more axes or fewer
                in place of batch, height and width will do. `MASK` may be
                among the keys, with the weights of the pixels.

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

    def _is_outside(self, name: str, low: Tensor, high: Tensor) -> Tensor:
        """Whether images from `low` to `high` cannot be in the range."""
        if name == MASK:
            return low < 0
        tolerance = TOLERANCES[name] if self._clamped else LOOSE
        return is_outside(low, high, self._value_range, tolerance)

    def _is_wrong(self, name: str, low: Tensor, high: Tensor) -> Tensor:
        """Whether somebody is to be told of images from `low` to `high`."""
        wrong = self._is_outside(name, low, high)
        # A model of its own makes of pictures what is narrow at first.
        if name not in ("y_pred", MASK):
            wrong = wrong | is_narrow(low, high, self._value_range)
        return wrong

    def _sample(self, images: ArrayLike) -> Tensor:
        """Returns some pixels of each image."""
        images = ops.convert_to_tensor(images)
        rank = len(images.shape)
        channels = rank - (1 if self._data_format == "channels_last" else 3)
        index = [slice(None)] * rank
        index[channels] = slice(self._channels)
        # Of a batch, every image is looked at.
        for axis in range(0 if rank < 4 else 1, rank):
            if axis != channels:
                side = images.shape[axis]
                step = side // LINES if isinstance(side, int) else 1
                index[axis] = slice(None, None, max(1, step))
        return images[tuple(index)]

    def _report(self, names: Sequence[str], ends: np.ndarray) -> None:
        """Tells the user, once or every time."""
        for index, name in enumerate(names):
            low, high = (float(x) for x in ends[2 * index : 2 * index + 2])
            if self._is_wrong(name, low, high):
                self._tell(name, low, high)

    def _tell(self, name: str, low: float, high: float) -> None:
        """Raises or warns of images that are not in the range."""
        mistake = describe_range_mistake(low, high, self._value_range)
        received = f"value_range={show_range(self._value_range)}"
        if name == MASK:
            mistake = NEGATIVE_WEIGHTS.format(low)
            received = f"mask from {low:.4g} to {high:.4g}"
        sentence = f"{self._owner}: {name} {mistake}"
        outside = self._is_outside(name, low, high)
        if self.policy == "raise" and outside:
            raise ValueError(
                f"{sentence} Received: {received}, check_range='raise'"
            )
        if name not in self._told:
            self._told.add(name)
            warnings.warn(sentence, stacklevel=calls_to_user())


def likely_range(low: float, high: float) -> tuple[float, float] | None:
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
        # What is below zero by as much as it is above is no picture of bytes.
        signed = top == 255.0 and low < -0.1 * high
        if low >= bottom - slack and high <= top + slack and not signed:
            return bottom, top
    return None


def likely_preparation(low: float, high: float) -> tuple[str, str] | None:
    """Returns what was probably done to pictures, and how to undo it.

    Args:
        low: Float, the lowest value seen.
        high: Float, the highest value seen.

    Returns:
        A pair of texts, or `None` where no usual preparation gives that.
    """
    for (bottom, top), what, remedy in PREPARED:
        if bottom <= low < 0 < high <= top:
            return what, remedy
    return None


def is_outside(
    low: Tensor,
    high: Tensor,
    value_range: tuple[float, float],
    tolerance: float,
) -> Tensor:
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


def is_narrow(
    low: Tensor, high: Tensor, value_range: tuple[float, float]
) -> Tensor:
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


def describe_range_mistake(
    low: float, high: float, value_range: tuple[float, float]
) -> str:
    """Says what seems to be wrong with values.

    Args:
        low: Float, the lowest value.
        high: Float, the highest value.
        value_range: Pair of floats, the range that was promised.

    Returns:
        The rest of a sentence that begins with the name of the images.
    """
    likely = likely_range(low, high)
    prepared = likely_preparation(low, high) if likely is None else None
    if likely not in (None, tuple(value_range)):
        guess = (
            f"images in {show_range(likely)}: pass "
            f"value_range={show_range(likely)}, or rescale them."
        )
    elif prepared is not None:
        guess = "{}: {}.".format(*prepared)
    else:
        guess = None
    guess = (
        f" They look like {guess}"
        if guess
        else " Rescale or clip them, or pass the `value_range` they are in."
    )
    return (
        f"holds values from {low:.4g} to {high:.4g} where "
        f"{show_range(value_range)} was expected.{guess}"
    )


def show_range(value_range: tuple[float, float]) -> str:
    """Returns a range as people write it, `(0, 1)` and not `(0.0, 1.0)`."""
    return "({:g}, {:g})".format(*value_range)
