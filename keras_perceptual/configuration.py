"""What Keras writes down of an object: the arguments of its constructor."""

import functools
import inspect
import os
from typing import Any

import keras

# Keras keeps arguments of these itself, such as the name.
KEPT_BY_KERAS = (
    keras.layers.Layer,
    keras.losses.Loss,
    keras.metrics.Metric,
)


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
    """

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


@functools.cache
def _arguments(cls: Any) -> tuple[tuple[str, ...], bool]:
    """Returns the arguments of a constructor, and whether Keras takes more.

    A subclass of a user may hand on what it does not name: those of the
    classes that it extends are arguments, too.
    """
    constructors = [
        inspect.signature(base.__init__).parameters.values()
        for base in cls.__mro__
        if issubclass(base, Configured) and "__init__" in vars(base)
    ]
    named = [
        parameter.name
        for parameters in constructors
        for parameter in list(parameters)[1:]
        if parameter.kind
        not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in constructors[-1])
    return tuple(dict.fromkeys(named)), takes_any


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
