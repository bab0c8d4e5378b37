"""Lines of the user's code that create layers, optimizers, losses, tensors.

These objects keep no line, and a Functional model has none either. So the line
is looked for: a call of their class whose arguments, as far as they are written
out, agree with the configuration. Where two lines would do, none is told.
"""

import ast
import contextlib
import dataclasses
import inspect
import linecache
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_perceptual.gradients.places import (
    Place,
    cell_of,
    is_library,
)
from keras_perceptual.gradients.source_lines import (
    locate_return,
    parse_lines,
    place_of_line,
    read_lines,
)

# What Keras writes into a configuration where `None` was given.
_FOR_NONE = {"activation": "linear"}


def locate_creation(thing: Any) -> Place | None:
    """Returns the line that creates a layer, an optimizer or a loss.

    Args:
        thing: An object with a `name` and a `get_config`.

    Returns:
        The `Place`, or `None` where no line or more than one may do it.
    """
    try:
        config = thing.get_config()
    except Exception:  # Not all of the user's layers can be saved.
        config = {}
    calls: list[tuple[str, ast.Call]] = []
    named: list[tuple[str, ast.Call]] = []
    for call in _calls_of(type(thing).__name__):
        agrees = _agrees(call[1], thing, config)
        if agrees is not False:
            (named if agrees else calls).append(call)
    place = _only_line(named or calls)
    return place and dataclasses.replace(place, created=True)


def locate_optimizer(optimizer: Any) -> Place | None:
    """Returns the line that creates an optimizer, or names its class.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, or `None`.
    """
    if optimizer is None:
        return None
    # What scales the loss holds the one that steps.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    name = type(optimizer).__name__
    place = locate_creation(optimizer) or _locate_compiling(
        "optimizer", (name, name.lower())
    )
    return place and dataclasses.replace(place, operation=name)


def locate_outer_tensor(function: Any) -> Place | None:
    """Returns the line above a function that makes a tensor it takes as given.

    Args:
        function: A Python function.
    """
    # What is compiled is no function of Python, but holds one.
    function = inspect.unwrap(function)
    lines, first, file = read_lines(function)
    try:
        outer = inspect.getclosurevars(function)
    except (TypeError, ValueError):  # No function, or a name not given yet.
        return None
    if not lines:
        return None
    names = {
        name
        for name, value in (*outer.globals.items(), *outer.nonlocals.items())
        # TensorFlow takes variables for tensors, too.
        if keras.ops.is_tensor(value) and not hasattr(value, "assign")
    }
    makers = [
        (node.lineno, node.id)
        for node in ast.walk(parse_lines(linecache.getlines(file)))
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Store)
        and node.id in names
        and node.lineno < first
    ]
    if not makers:
        return None
    line, name = max(makers)
    return dataclasses.replace(place_of_line(file, line), operation=name)


def locate_addition(path: str) -> Place | None:
    """Returns the line that adds a variable to a layer which has others.

    Args:
        path: The path of the variable.
    """
    if not path.rpartition("/")[2].startswith("lora_"):
        return None
    place = _only_line(list(_calls_of("enable_lora")))
    return place and dataclasses.replace(place, operation="enable_lora")


def locate_loss(model: Any) -> Place | None:
    """Returns the line that sets the loss of a model, or that returns it.

    Args:
        model: A `keras.Model`. It may have several losses, of which none is
            told.
    """
    loss = getattr(model, "loss", None)
    if isinstance(loss, str):
        place, name = _locate_compiling("loss", (loss,)), loss
    elif hasattr(loss, "get_config"):
        place, name = locate_creation(loss), type(loss).__name__
    elif inspect.isfunction(loss):
        place, name = locate_return(loss), "the loss"
    else:
        return None
    return place and dataclasses.replace(place, operation=name)


def _locate_compiling(argument: str, names: Sequence[str]) -> Place | None:
    """Returns the line that calls `compile` with one of some strings."""
    return _only_line(
        [
            (file, call)
            for file, call in _calls_of("compile")
            for name, value in _arguments(call, ("optimizer", "loss"))
            if name == argument
            and isinstance(value, ast.Constant)
            and value.value in names
        ]
    )


def _only_line(calls: Sequence[tuple[str, ast.Call]]) -> Place | None:
    """Returns the `Place` of calls that all stand on the same line."""
    lines = {(file, node.lineno) for file, node in calls}
    if len(lines) != 1:
        return None
    return place_of_line(*lines.pop())


def _calls_of(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Yields the calls of a name in the user's code, each with its file."""
    for file in _own_files():
        lines = linecache.getlines(file)
        if not any(name in line for line in lines):
            continue
        # Cells of a notebook may hold what is no Python.
        with contextlib.suppress(SyntaxError):
            for node in ast.walk(parse_lines(lines)):
                if isinstance(node, ast.Call) and _called(node) == name:
                    yield file, node


def _own_files() -> list[str]:
    """Returns the files of modules of the user's, and cells of a notebook."""
    modules = map(_file_of, list(sys.modules.values()))
    cells = [name for name in list(linecache.cache) if cell_of(name)]
    return [
        file
        for file in dict.fromkeys([*modules, *cells])
        if isinstance(file, str) and not is_library(file)
    ]


def _file_of(module: Any) -> Any:
    """Returns the file of a module, if any; a lazy one stays as it is.

    To ask one for an attribute would load it, which takes time and may fail.
    """
    try:
        return object.__getattribute__(module, "__dict__").get("__file__")
    except AttributeError:
        return None


def _called(call: ast.Call) -> str:
    """Returns the last part of the name that is called."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _arguments(
    call: ast.Call, names: Sequence[str]
) -> list[tuple[str, ast.expr]]:
    """Returns the arguments of a call with their names."""
    given = list(zip(names, call.args, strict=False))
    return given + [(k.arg, k.value) for k in call.keywords if k.arg]


def _agrees(
    call: ast.Call, thing: Any, config: Mapping[str, Any]
) -> bool | None:
    """Whether a call may have created an object of some configuration.

    Returns:
        `True` where it gives the very name, `False` where it cannot be, `None`
        in all other cases.
    """
    signature = inspect.signature(type(thing).__init__)
    names = list(signature.parameters)[1:]
    given = dict(_arguments(call, names))
    open_ended = any(isinstance(node, ast.Starred) for node in call.args) or (
        any(keyword.arg is None for keyword in call.keywords)
    )
    if "name" in given:
        if isinstance(given["name"], ast.Constant):
            return given["name"].value == thing.name
    elif not open_ended and not _is_automatic(thing):
        return False
    for name, value in given.items():
        if _differs(value, name, config):
            return False
    if not open_ended:
        for name, parameter in signature.parameters.items():
            default = parameter.default
            left = name not in given and default is not parameter.empty
            if left and name in config and name != "name":
                if is_other(_or_usual(name, default), config[name]):
                    return False
    return None


def _is_automatic(thing: Any) -> bool:
    """Whether a name is one that Keras gives."""
    base = re.sub(r"_\d+$", "", thing.name)
    return base.replace("_", "").lower() == type(thing).__name__.lower()


def _differs(value: ast.expr, name: str, config: Mapping[str, Any]) -> bool:
    """Whether an argument that is written out is not that of an object."""
    try:
        written = ast.literal_eval(value)
    except (ValueError, TypeError):
        return False
    return name in config and is_other(_or_usual(name, written), config[name])


def _or_usual(name: str, value: Any) -> Any:
    return _FOR_NONE.get(name) if value is None else value


def is_other(written: Any, kept: Any) -> bool:
    """Whether an argument surely is not what a configuration keeps.

    Keras keeps some arguments in another form, such as `(3, 3)` for 3, or a
    dictionary for the name of an initializer.

    Args:
        written: The argument, made of numbers, strings and sequences.
        kept: What the configuration has under its name.

    Example:

    >>> from keras_perceptual.gradients.creations import is_other
    >>> is_other(3, (3, 3)), is_other("relu", "tanh"), is_other("zeros", {})
    (False, True, False)
    """
    if isinstance(written, list | tuple) and isinstance(kept, list | tuple):
        return len(written) != len(kept) or any(map(is_other, written, kept))
    if isinstance(kept, list | tuple):
        return any(is_other(written, part) for part in kept)
    if isinstance(written, bool) or isinstance(kept, bool):
        return isinstance(written, int) and written is not kept
    if isinstance(written, int | float) and isinstance(kept, int | float):
        return not math.isclose(written, kept, rel_tol=1e-6)
    return (
        isinstance(written, str) and isinstance(kept, str) and written != kept
    )
