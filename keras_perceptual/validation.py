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
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import keras

from keras_perceptual.typing import (
    DataFormat,
    DType,
    PathLike,
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
# Lists of lists add up.
MOST_SHOWN = 1000


def show(value: object) -> str:
    """Returns a value as it is shown in a message, however large it is."""
    text = _representation.repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


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
        maximum: float | None = None,
    ) -> float:
        """Returns `value` as a float, refusing what is not a finite number."""
        expected = "a finite number"
        if minimum is not None:
            expected += f" of at least {minimum}"
        if above is not None:
            expected += f" above {above}"
        if maximum is not None:
            expected += f" and at most {maximum}"
        is_number = isinstance(value, numbers.Real) and not isinstance(
            value, bool
        )
        number = _as_float(value) if is_number else math.nan
        if (
            not math.isfinite(number)
            or (minimum is not None and number < minimum)
            or (above is not None and not number > above)
            or (maximum is not None and number > maximum)
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
