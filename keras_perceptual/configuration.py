"""What Keras writes down of an object: the arguments of its constructor."""

import functools
import inspect
import os
from typing import Any, Self

import keras

from keras_perceptual.validation import nearest_names, show

# Keras keeps arguments of these itself, such as the name.
KEPT_BY_KERAS = (
    keras.layers.Layer,
    keras.losses.Loss,
    keras.metrics.Metric,
)


# What other packages call arguments of ours, and some of their values.
SYNONYMS = {
    "content_layers": "layers",
    "criterion": "distance",
    "data_range": "value_range",
    "dynamic_range": "value_range",
    "eps": "epsilon",
    "feature_layers": "layers",
    "kernel_size": "filter_size",
    "layer_weights": "layers",
    "loss_type": "distance",
    "max_val": "value_range",
    "max_value": "value_range",
    "model": "backbone",
    "net": "backbone",
    "net_type": "backbone",
    "network": "backbone",
    "sigma": "filter_sigma",
    "val_range": "value_range",
    "win_size": "filter_size",
    "window_size": "filter_size",
}
VALUES = {"alex": "alexnet", "vgg": "vgg16"}


class Configured:
    """Derives `get_config` from the signature of the constructor.

    Every argument is kept as an attribute of its name; or, where the attribute
    is something else, what the configuration says of it as `_<name>_config`.
    Objects of Keras are serialized, tuples become lists and paths texts, so
    that the configuration goes through JSON.

    It comes before the class of Keras among the bases.

    Example:

    >>> import keras
    >>> from keras_perceptual.configuration import Configured
    >>> class Bounded(Configured, keras.constraints.Constraint):
    ...     def __init__(self, bounds=(0.0, 1.0)):
    ...         self.bounds = bounds
    >>> Bounded().get_config()
    {'bounds': [0.0, 1.0]}
    >>> Bounded(), Bounded((0.25, 0.75))
    (Bounded(), Bounded(bounds=(0.25, 0.75)))
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuses arguments that there are not, naming what was meant."""
        _check_names(cls, kwargs)
        new: Any = super().__new__
        return new(cls) if new is object.__new__ else new(cls, *args, **kwargs)

    def __repr__(self) -> str:
        """Shows the arguments that are not as they are by default."""
        cls: Any = type(self)
        shown = []
        for name, default in _arguments(cls)[0].items():
            value = getattr(self, f"_{name}_config", None)
            if value is None:
                value = getattr(self, name, default)
            if not _is_default(name, value, default):
                shown.append(f"{name}={show(value)}")
        return f"{cls.__name__}({', '.join(shown)})"

    def get_config(self) -> dict[str, Any]:
        """Returns every argument of the constructor."""
        cls: Any = type(self)
        names, takes_any = _arguments(cls)
        config = {}
        if isinstance(self, KEPT_BY_KERAS):
            config = super().get_config()  # type: ignore[misc]
        if not takes_any:
            config = {name: x for name, x in config.items() if name in names}
        for name in names:
            if hasattr(self, f"_{name}_config"):
                config[name] = getattr(self, f"_{name}_config")
            elif name not in config and hasattr(self, name):
                config[name] = _to_json(getattr(self, name))
        return config


def _check_names(cls: Any, kwargs: dict[str, Any]) -> None:
    """Refuses arguments that a constructor does not have."""
    parameters = inspect.signature(cls.__init__).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name, value in kwargs.items():
        if name in parameters:
            continue
        known = list(parameters)[1:]
        meant = SYNONYMS.get(name)
        hint = nearest_names(name, known)
        if meant in known:
            text = VALUES.get(value) if isinstance(value, str) else None
            hint = f"Did you mean `{meant}`? "
            if meant == "backbone" and text:
                hint = f'Did you mean `{meant}="{text}"`? '
        raise TypeError(
            f"{cls.__name__} has no argument `{name}`. {hint}"
            f"Its arguments are {known}. Received: {name}={show(value)}"
        )


def _is_default(name: str, value: Any, default: Any) -> bool:
    """Whether an attribute says no more than the default does."""
    if default is None:
        # What the constructor filled in.
        if name in ("dtype", "name"):
            return True
        if name == "data_format":
            default = keras.config.image_data_format()
    if value is default:
        return True
    try:
        return bool(value == default)
    except Exception:  # Such as that arrays are equal in some places.
        return False


@functools.cache
def _arguments(cls: Any) -> tuple[dict[str, Any], bool]:
    """Returns the arguments of a constructor, and whether Keras takes more.

    A subclass of a user may hand on what it does not name: those of the
    classes that it extends are arguments, too. The arguments are a dictionary
    from names to defaults.
    """
    constructors = [
        list(inspect.signature(base.__init__).parameters.values())[1:]
        for base in cls.__mro__
        if issubclass(base, Configured) and "__init__" in vars(base)
    ]
    named: dict[str, Any] = {}
    for parameters in constructors:
        for parameter in parameters:
            if parameter.kind not in (
                parameter.VAR_KEYWORD,
                parameter.VAR_POSITIONAL,
            ):
                named.setdefault(parameter.name, parameter.default)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in constructors[-1])
    return named, takes_any


def _to_json(value: Any) -> Any:
    """Returns a value of which JSON knows the type."""
    if isinstance(value, dict):
        return {key: _to_json(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(x) for x in value]
    if isinstance(value, os.PathLike):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return keras.saving.serialize_keras_object(value)
