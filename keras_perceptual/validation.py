"""Checks of what users pass in, and the wording of what they are told.

Every message says what happened, what was expected and how to mend it, and
ends with what was received. The checks read configuration and static shapes,
never the values of a tensor.
"""

import difflib
import inspect
import math
import numbers
import os
import reprlib
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import keras

from keras_perceptual.typing import (
    ArrayLike,
    DataFormat,
    DType,
    PathLike,
    Shape,
    Targets,
    ValueRange,
)

Value = TypeVar("Value")

# Whose calls are not the user's.
LIBRARIES = ("keras_perceptual", "keras", "tensorflow", "jax", "torch")

# More would take images of a million pixels a side and is a mistake, or a file
# that somebody tampered with.
MOST_SCALES = 20

# How much of a value is shown: of a list the first entries, of a nest the
# outer ones, of a text the beginning and the end.
_representation = reprlib.Repr()
_representation.maxstring = _representation.maxother = 200
_representation.maxlong = 40
_representation.maxlist = _representation.maxtuple = 12
_representation.maxdict = 12


def show(value: object) -> str:
    """Returns a value as it is shown in a message, however large it is."""
    return _representation.repr(value)


def nearest_names(value: object, names: Iterable[object]) -> str:
    """Returns "Did you mean ...? " for a misspelled name, else nothing."""
    near = difflib.get_close_matches(str(value)[:80], [str(n) for n in names])
    return f"Did you mean {' or '.join(map(repr, near))}? " if near else ""


def _as_float(value: Any) -> float:
    """Returns a number as a float, infinity if it is larger than any."""
    if isinstance(value, str | bytes | bool):
        raise TypeError("Received: what is no number")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def shape_and_dtype(x: ArrayLike) -> tuple[Shape, str]:
    """Returns the static shape and the dtype name of anything array-like."""
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        x = keras.ops.convert_to_tensor(x)
    return tuple(x.shape), keras.backend.standardize_dtype(x.dtype)


def calls_to_user() -> int:
    """Returns how many calls up the line of the user's is, for a warning.

    The function that asks counts as 1. How many lie in between differs by
    backend, and by who calls the object.
    """
    frame, count = inspect.currentframe(), 0
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in LIBRARIES:
            return count
        frame, count = frame.f_back, count + 1
    return 1


def looks_like(shape: Sequence[int | None]) -> str | None:
    """Returns the layout that a batch of images seems to have.

    Args:
        shape: Static shape of four axes.

    Returns:
        `"channels_last"`, `"channels_first"`, or `None` where it is open.
    """
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    if len(sizes) != 3:
        return None
    first, middle, last = sizes
    # A single row or column of many channels is no rare thing.
    few = (1, 3) if middle in (first, last) and first != last else (3,)
    if first in few and min(middle, last) > 8:
        return "channels_first"
    if last in few and min(first, middle) > 8:
        return "channels_last"
    return None


def check_object(kind: type, candidate: object, call: str) -> None:
    """Refuses a class where an object of it was asked for.

    Keras calls the methods of what it is given: those of a class lack `self`,
    and the error that Python raises then tells nobody what to do.

    Args:
        kind: The class.
        candidate: What came in as `self`.
        call: String, how to make an object.
    """
    if not isinstance(candidate, kind):
        raise TypeError(
            f"{kind.__name__} was passed as a class, and an object of it is "
            f"needed. Create one: `{call}`. Received: {kind.__name__}"
        )


class Comparing(Protocol):
    """What a check of two batches asks of a distance between images."""

    @property
    def channels(self) -> Collection[int] | None:
        """Numbers of channels that images may have; `None` for any."""

    @property
    def data_format(self) -> DataFormat:
        """Where the channels of images are."""

    @property
    def takes_mask(self) -> bool:
        """Whether pixels may have weights."""

    @property
    def no_mask(self) -> str | None:
        """Why a mask has no meaning, where people would expect one."""

    @property
    def encodes(self) -> bool:
        """Whether targets may come encoded."""


class Checker:
    """Checks what a user passes to one object, and says what is wrong.

    A method returns the argument in its standard form, or raises.

    Args:
        owner: The object, or its name as it stands in messages.

    Example:

    >>> from keras_perceptual.validation import Checker
    >>> Checker("SSIMLoss").number("k1", 1, above=0)
    1.0
    """

    def __init__(self, owner: object) -> None:
        self.owner: str = (
            owner if isinstance(owner, str) else type(owner).__name__
        )
        # Of images whose channels seem to be elsewhere.
        self._has_warned = False

    def choice(
        self, argument: str, value: Value, choices: Iterable[object]
    ) -> Value:
        """Refuses a `value` that is not among `choices`, naming near ones."""
        choices = tuple(choices)
        is_plain = isinstance(value, str | numbers.Number)
        if is_plain and not isinstance(value, bool) and value in choices:
            return value
        raise ValueError(
            f"{self.owner} does not know this `{argument}`. "
            f"{nearest_names(value, choices)}Use one of {list(choices)}. "
            f"Received: {argument}={show(value)}"
        )

    def value_range(
        self, value_range: ValueRange, argument: str = "value_range"
    ) -> tuple[float, float]:
        """Returns `value_range` as two floats in increasing order."""
        try:
            low, high = (_as_float(bound) for bound in value_range)
        except (TypeError, ValueError):
            low, high = 0.0, 0.0
        if not low < high or high - low == float("inf"):
            raise ValueError(
                f"{self.owner} needs `{argument}` to be two finite numbers, "
                "the lowest and the highest value a pixel can have, for "
                "example (0, 1), (-1, 1) or (0, 255). Received: "
                f"{argument}={show(value_range)}"
            )
        return low, high

    def number(
        self,
        argument: str,
        value: float,
        *,
        minimum: float | None = None,
        above: float | None = None,
    ) -> float:
        """Returns `value` as a float, refusing what is not a finite number."""
        expected = "a finite number"
        if minimum is not None:
            expected += f" of at least {minimum}"
        if above is not None:
            expected += f" above {above}"
        is_number = isinstance(value, numbers.Real) and not isinstance(
            value, bool
        )
        number = _as_float(value) if is_number else math.nan
        if (
            not math.isfinite(number)
            or (minimum is not None and number < minimum)
            or (above is not None and not number > above)
        ):
            raise ValueError(
                f"{self.owner} needs `{argument}` to be {expected}. "
                f"Received: {argument}={show(value)}"
            )
        return number

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Returns two finite floats in increasing order."""
        low = self.number("low", low)
        high = self.number("high", high)
        if not low < high:
            raise ValueError(
                f"{self.owner} needs `low` to be below `high`. Swap the two, "
                f"or leave them out for (0, 1). Received: low={low!r}, "
                f"high={high!r}"
            )
        return low, high

    def integer(
        self,
        argument: str,
        value: int,
        *,
        minimum: int,
        maximum: int | None = None,
    ) -> int:
        """Returns `value` as an int from `minimum` to `maximum`."""
        is_integer = isinstance(value, numbers.Integral)
        if (
            not is_integer
            or isinstance(value, bool)
            or value < minimum
            or (maximum is not None and value > maximum)
        ):
            most = "" if maximum is None else f" and at most {maximum}"
            raise ValueError(
                f"{self.owner} needs `{argument}` to be a whole number of at "
                f"least {minimum}{most}. Received: {argument}={show(value)}"
            )
        return int(value)

    def folder(self, log_dir: PathLike) -> str:
        """Returns the path of a folder, existing or not, as a string."""
        if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(
            log_dir
        ):
            raise ValueError(
                f"{self.owner} needs `log_dir` to be the path of a folder, "
                f"such as 'logs'. Received: log_dir={show(log_dir)}"
            )
        return os.fspath(log_dir)

    def boolean(self, argument: str, value: bool) -> bool:
        """Returns `value` as a bool, refusing what is none; 0 and 1 are."""
        if isinstance(value, numbers.Integral) and value in (0, 1):
            return bool(value)
        # Of NumPy, whose type is not among the numbers.
        if type(value).__name__ in ("bool", "bool_"):
            return bool(value)
        raise ValueError(
            f"{self.owner} needs `{argument}` to be True or False. "
            f"Received: {argument}={show(value)}"
        )

    def name(self, name: str | None) -> str | None:
        """Returns the name of a Keras object, `None` for that of its class."""
        if name is None or (isinstance(name, str) and name):
            return name
        raise ValueError(
            f"{self.owner} needs `name` to be a text, or `None` for the usual "
            f"one. Received: name={show(name)}"
        )

    def policy(self, dtype: DType | None) -> Any:
        """Returns a dtype policy, by default that of Keras."""
        dtype = keras.config.floatx() if dtype is None else dtype
        policy = dtype
        # Of a dictionary, Keras makes whatever it says.
        if isinstance(dtype, str | dict):
            try:
                policy = keras.dtype_policies.get(dtype)
            except (AttributeError, KeyError, TypeError, ValueError):
                policy = None
        if not isinstance(policy, keras.dtype_policies.DTypePolicy):
            raise ValueError(
                f"{self.owner} needs `dtype` to be the name of a "
                'floating-point type, such as "float32", or a dtype policy, '
                f'such as "mixed_float16". Received: dtype={show(dtype)}'
            )
        return policy

    def path(self, argument: str, path: PathLike | None) -> str | None:
        """Returns a word or the path of a file as a string, or `None`."""
        if path is None or isinstance(path, str):
            return path
        if isinstance(path, os.PathLike):
            return os.fsdecode(path)
        raise ValueError(
            f"{self.owner} needs `{argument}` to be a text: one of the words "
            "that it knows, or the path of a file. Received: "
            f"{argument}={show(path)}"
        )

    def revive(self, config: Mapping[str, Any], argument: str) -> Any:
        """Returns an object that is an argument of another, out of its config.

        Args:
            config: Dictionary, what `get_config` of that object returned.
            argument: String, the key of the object in it.

        Raises:
            ValueError: If there is no such thing; Keras raises what it does
                if it cannot revive it.
        """
        serialized = config.get(argument)
        if not isinstance(serialized, dict):
            raise ValueError(
                f"A configuration of {self.owner} needs a `{argument}` that "
                "Keras can revive, as `keras.saving.serialize_keras_object` "
                "makes it. Save the object again. Received: "
                f"{argument}={show(serialized)}"
            )
        return keras.saving.deserialize_keras_object(serialized)

    def data_format(self, data_format: DataFormat | None) -> DataFormat:
        """Returns `data_format`, by default that of the Keras configuration."""
        return self.choice(
            "data_format",
            keras.config.image_data_format()
            if data_format is None
            else data_format,
            ("channels_last", "channels_first"),
        )

    def predicted_dtype(self, dtype: str) -> None:
        """Refuses predictions of a type that no gradient can pass through."""
        if not keras.backend.is_float_dtype(dtype):
            raise ValueError(
                f"{self.owner} received predictions of an integer or boolean "
                "type, through which no gradient can flow back to the model. "
                "Return floating-point images from the model, and leave "
                "rounding or casting to the code that writes them out. "
                f"Received: y_pred.dtype={dtype}"
            )

    def image_shape(
        self,
        shape: Shape,
        *,
        channels: Collection[int] | None,
        data_format: DataFormat,
        received: str,
    ) -> None:
        """Refuses what is not a batch of images with the right channels.

        Args:
            shape: Static shape of the batch, `None` where unknown.
            channels: Numbers of channels that are accepted, or `None` for any.
            data_format: Where the channels are.
            received: End of the message, "Received: ...".
        """
        layout = {
            "channels_last": "(batch, height, width, channels)",
            "channels_first": "(batch, channels, height, width)",
        }[data_format]
        if len(shape) != 4:
            raise ValueError(
                f"{self.owner} takes batches of images shaped {layout}. Add "
                "the missing axis, for example with `keras.ops.expand_dims`; "
                "of video or volumes, fold the frames into the batch. "
                f"{received}"
            )
        size = shape[-1 if data_format == "channels_last" else 1]
        other = looks_like(shape)
        if (
            other is not None
            and other != data_format
            and (channels is None or size not in channels)
        ):
            advice = (
                f"Images of shape {shape} look as if they were {other!r}: "
                f"pass `data_format={other!r}`"
            )
        else:
            other = None
        if channels is not None and size is not None and size not in channels:
            expected = " or ".join(str(c) for c in channels)
            if other is None:
                advice = (
                    "Drop an alpha channel with `images[..., :3]`"
                    if size == 4
                    else "Choose channels that a network for pictures knows, "
                    "or compare any number of them by a loss on pixels, such "
                    "as `SSIMLoss`"
                )
            raise ValueError(
                f"{self.owner} expects images with {expected} channels, in the "
                f"layout {layout}. {advice}. {received}"
            )
        if other is not None and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"{self.owner} takes images of shape {shape} as {layout}. "
                f"{advice}, if they are.",
                stacklevel=calls_to_user(),
            )

    def image_pair(
        self,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        channels: Collection[int] | None,
        data_format: DataFormat,
        predicted: bool = True,
    ) -> None:
        """Refuses two batches of images that cannot be compared.

        Args:
            y_true: The targets the user passed, a tensor or an array.
            y_pred: The predictions the user passed, a tensor or an array.
            channels: Numbers of channels that are accepted, or `None` for any.
            data_format: Where the channels are.
            predicted: Whether `y_pred` has to let a gradient through.
        """
        true_shape, true_dtype = shape_and_dtype(y_true)
        pred_shape, pred_dtype = shape_and_dtype(y_pred)
        for name, dtype in (("y_true", true_dtype), ("y_pred", pred_dtype)):
            if dtype.startswith("complex"):
                raise ValueError(
                    f"{self.owner} compares images of real numbers. Take the "
                    "absolute value or the real part, or put the two parts "
                    f"into channels. Received: {name}.dtype={dtype}"
                )
        if predicted:
            self.predicted_dtype(pred_dtype)
        received = (
            f"Received: y_true.shape={true_shape}, y_pred.shape={pred_shape}"
        )
        for shape in (true_shape, pred_shape):
            self.image_shape(
                shape,
                channels=channels,
                data_format=data_format,
                received=received,
            )
        for true_size, pred_size in zip(true_shape, pred_shape, strict=True):
            if None not in (true_size, pred_size) and true_size != pred_size:
                raise ValueError(
                    f"{self.owner} compares images of one and the same shape "
                    "and does not stretch a smaller one over a larger one. "
                    "Resize or repeat one of the two before the loss. "
                    f"{received}"
                )

    def comparison(
        self,
        distance: Comparing,
        y_true: Targets,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None,
        *,
        encoding: bool = False,
    ) -> tuple[Any, ArrayLike | None, ArrayLike | None, bool]:
        """Sorts out what is to be compared, refusing what cannot be.

        Args:
            distance: The `Distance` that is to compare it.
            y_true: The targets the user passed, or a pair of them and a mask.
            y_pred: The predictions the user passed.
            sample_weight: Weights of images, or of pixels, or `None`.
            encoding: Whether the targets are all that there is.

        Returns:
            The targets, the mask or `None`, the weights of images or `None`,
            and whether the targets are encoded.
        """
        mask = None
        if distance.takes_mask or distance.no_mask:
            y_true, mask, sample_weight = self.split_mask(y_true, sample_weight)
        shape, _ = shape_and_dtype(y_true)
        # What is to be checked of encoded images shows when they are read.
        is_encoded = distance.encodes and len(shape) == 2 and not encoding
        self.image_pair(
            y_pred if is_encoded else y_true,
            y_pred,
            channels=distance.channels,
            data_format=distance.data_format,
            predicted=not encoding,
        )
        self.sample_weight(sample_weight)
        if mask is not None:
            mask = self.mask(mask, y_pred, distance.data_format)
        if mask is not None and not distance.takes_mask:
            raise ValueError(
                f"{self.owner} {distance.no_mask} "
                f"Received: mask.shape={shape_and_dtype(mask)[0]}"
            )
        return y_true, mask, sample_weight, is_encoded

    def mask(
        self, mask: ArrayLike, images: ArrayLike, data_format: DataFormat
    ) -> ArrayLike:
        """Returns weights of pixels, refusing those that fit no image.

        Args:
            mask: What the user passed, shaped `(batch, height, width)`, or with
                one channel behind.
            images: The batch of images that the mask belongs to.
            data_format: Where the channels of the images are.

        Returns:
            The mask, shaped `(batch, height, width)`.
        """
        shape, _ = shape_and_dtype(mask)
        image_shape, _ = shape_and_dtype(images)
        received = f"Received: mask.shape={shape}, y_pred.shape={image_shape}"
        given = shape[:3] if len(shape) == 4 and shape[3] == 1 else shape
        axes = (0, 1, 2) if data_format == "channels_last" else (0, 2, 3)
        wanted = tuple(image_shape[axis] for axis in axes)
        if len(given) != 3 or any(
            None not in pair and pair[0] != pair[1]
            for pair in zip(given, wanted, strict=True)
        ):
            raise ValueError(
                f"{self.owner} needs a mask with one weight for each pixel, "
                "shaped (batch, height, width) as the images are. Resize the "
                f"mask, or repeat it for each image. {received}"
            )
        return mask if len(shape) == 3 else keras.ops.squeeze(mask, -1)

    def split_mask(
        self, y_true: Targets, sample_weight: ArrayLike | None
    ) -> tuple[ArrayLike, ArrayLike | None, ArrayLike | None]:
        """Finds the mask that came with targets, or as weights of pixels.

        Args:
            y_true: Targets, or a pair of them and a mask.
            sample_weight: Weights of images, or of pixels, or `None`.

        Returns:
            The targets, the mask or `None`, and the weights of images or
            `None`.
        """
        y_true, mask = y_true if isinstance(y_true, tuple) else (y_true, None)
        if sample_weight is None:
            return y_true, mask, None
        shape, _ = shape_and_dtype(sample_weight)
        if len(shape) < 3:
            return y_true, mask, sample_weight
        if mask is not None:
            raise ValueError(
                f"{self.owner} was given two masks, one with `y_true` and one "
                "as `sample_weight`. Give a mask once, and beside it one "
                f"weight for each image. Received: sample_weight.shape={shape}"
            )
        return y_true, sample_weight, None

    def sample_weight(self, sample_weight: ArrayLike | None) -> None:
        """Refuses weights that would be stretched over the wrong axis."""
        if sample_weight is None:
            return
        shape, _ = shape_and_dtype(sample_weight)
        if len(shape) > 1 and shape[1:] != (1,):
            raise ValueError(
                f"{self.owner} returns one value for each image and takes one "
                "weight for each. Pass a `sample_weight` of shape (batch,). "
                f"Received: sample_weight.shape={shape}"
            )
