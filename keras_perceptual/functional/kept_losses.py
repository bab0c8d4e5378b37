"""Losses that are built once and kept for later calls."""

import collections
import threading
from typing import Any

import keras

from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.typing import ArrayLike, Tensor

# How many losses are kept, each with its network.
MOST_KEPT = 16

_kept: collections.OrderedDict[Any, ImageLoss] = collections.OrderedDict()
_lock = threading.Lock()


def measure(
    cls: type[Any],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    **settings: Any,
) -> Tensor:
    """Returns one value an image, by a loss that is kept for the next call."""
    # Each argument is handed on by its name: TensorFlow's AutoGraph, which
    # rewrites the callers in a traced function, adds its own to `locals()`.
    return _loss(cls, settings).compare(y_true, y_pred, mask=mask)


def _loss(cls: type[ImageLoss], settings: dict[str, Any]) -> ImageLoss:
    """Returns the loss of some settings, the same one for equal settings."""
    # Where an argument is left out, these decide.
    defaults = keras.config.floatx(), keras.config.image_data_format()
    key = cls, defaults, _frozen(settings)
    try:
        hash(key)
    except TypeError:
        return _build(cls, settings)  # A picture, for example.
    with _lock:
        if key not in _kept:
            _kept[key] = _build(cls, settings)
        _kept.move_to_end(key)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
        return _kept[key]


def _build(cls: type[ImageLoss], settings: dict[str, Any]) -> ImageLoss:
    """Returns a new loss, built outside of any trace.

    A network that is built while a function is traced would never get its
    weights. Backends trace by thread.
    """
    found: list[ImageLoss | Exception] = []

    def build() -> None:
        try:
            found.append(cls(**settings))
        except Exception as error:  # Raised where it is waited for.
            found.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    (result,) = found
    if isinstance(result, Exception):
        raise result
    return result


def _frozen(value: Any) -> Any:
    """Returns settings as something that can be hashed, if they can be."""
    if isinstance(value, dict):
        return tuple((name, _frozen(x)) for name, x in value.items())
    if isinstance(value, list | tuple):
        return tuple(_frozen(x) for x in value)
    return type(value), value
