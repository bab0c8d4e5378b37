"""Lines of the user's code that no recorded operation leads to."""

import ast
import collections
import dataclasses
import inspect
import itertools
import linecache
import re
import textwrap
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import keras

from keras_perceptual.gradients.places import Place, is_library, locate_frames
from keras_perceptual.model_walk import walk_parts


def locate_building(layer: Any, key: int) -> Place | None:
    """Returns where a layer computes with a variable before it is called.

    Args:
        layer: The layer.
        key: The `id` of the variable.

    Returns:
        The `Place` of the line in `build` or `__init__` that reads it, or
        `None` where none is found.
    """
    names = [name for name, part in vars(layer).items() if id(part) == key]
    for name, method in itertools.product(names, ("build", "__init__")):
        function = vars(type(layer)).get(method)
        reads = rf"\bself\.{name}\b(?!\s*=[^=])"
        for _, place in _search_lines(function, reads):
            return dataclasses.replace(place, operation=f"self.{name}")
    return None


def locate_freezing(model: keras.Model, key: int) -> Place | None:
    """Returns where the training step of a model freezes a variable.

    Args:
        model: The model.
        key: The `id` of the variable.

    Returns:
        The `Place` of the line, of several one that names a part of the model
        that has the variable, or `None` where none is found.
    """

    def has_variable(found: tuple[re.Match[str], Place]) -> bool:
        part = getattr(model, found[0][1] or "", None)
        return any(id(v) == key for v in getattr(part, "variables", ()))

    freezes = r"(?:\bself\.(\w+)\b.*)?\.trainable\s*=\s*False\b"
    lines = list(_search_lines(type(model).train_step, freezes))
    lines.sort(key=has_variable, reverse=True)
    return lines[0][1] if lines else None


def locate_condition(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Place | None:
    """Returns what decides whether an optimizer runs.

    Args:
        model: The model, whose `train_step` calls its optimizers.
        optimizer: One that is an attribute of the model.

    Returns:
        The `Place` of the `if` around that call, or `None` where none is
        found.
    """

    def is_it(name: str) -> bool:
        return getattr(model, name, None) is optimizer

    places = _conditions(type(model), "train_step", is_it, frozenset())
    return next(filter(None, places), None)


def locate_skipping(
    model: keras.Model, layer: Any, learning: Collection[int] = ()
) -> Place | None:
    """Returns what may keep the code of a model from calling a layer.

    Args:
        model: The model.
        layer: A layer in it.
        learning: The `id` of variables with a gradient: what holds one of
            them and the layer has been called.

    Returns:
        The `Place` of an `if` that a method has around what it names by an
        attribute that holds the layer, before it, or in a loop over it; `None`
        where none is found. Whether it trains is no such condition.
    """
    for holder in list(walk_parts(model, (keras.Layer,))):
        held = vars(holder)
        names = {
            name
            # PyTorch keeps modules apart.
            for name, part in {**held, **held.get("_modules", {})}.items()
            for item in _layers_in(part)
            if item is not holder
            and any(inner is layer for inner in walk_parts(item))
            and not any(id(v) in learning for v in item.variables)
        }
        if not names:
            continue
        fixed = _fixed_attributes(type(holder))
        for method in _methods_of(type(holder)):
            lines, first, path = _read_lines(method)
            node = _find_skipping(_parse(lines), names, fixed)
            if node is not None:
                return dataclasses.replace(
                    _place(path, first + node.lineno - 1, method),
                    operation="the condition",
                )
    return None


def _layers_in(part: Any) -> Iterator[Any]:
    """Yields the layers that an attribute is, or holds in containers."""
    if isinstance(part, keras.Layer):
        yield part
    elif isinstance(part, dict):
        for item in part.values():
            yield from _layers_in(item)
    elif isinstance(part, (list, tuple)):
        for item in part:
            yield from _layers_in(item)


def _methods_of(owner: type) -> Iterator[Any]:
    """Yields the methods of a class, but for those that create layers."""
    for name in dir(owner):
        method = inspect.getattr_static(owner, name)
        if inspect.isfunction(method) and name not in ("__init__", "build"):
            yield method


def _fixed_attributes(owner: type) -> set[str]:
    """Returns what `build` sets, from shapes, and nothing else in the file."""

    def set_in(tree: ast.AST) -> list[str]:
        return [
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
        ]

    lines, _, path = _read_lines(getattr(owner, "build", None))
    found = collections.Counter(set_in(_parse(lines)))
    everywhere = collections.Counter(
        set_in(_parse(linecache.getlines(path))) if found else ()
    )
    return {name for name in found if everywhere[name] == found[name]}


def _find_skipping(
    tree: ast.AST, names: Collection[str], fixed: Collection[str]
) -> Any:
    """Returns a condition that some attributes of `self` lie behind."""
    loops = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.For | ast.comprehension)
    ]
    conditions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If | ast.IfExp) and _is_open(node, fixed)
    ]
    for loop in loops:
        if _names_one(loop.iter, names):
            filters = getattr(loop, "ifs", [])
            for inner in [*filters, *ast.walk(loop)]:
                if inner in [*filters, *conditions]:
                    return inner
    # The innermost one comes last.
    for node in reversed(conditions):
        if _names_one([node.body, node.orelse], names):
            return node
    for node in conditions:
        later = (n for n in ast.walk(tree) if _is_behind(n, node))
        if any(isinstance(inner, ast.Return) for inner in ast.walk(node)):
            if any(_names_one(inner, names) for inner in later):
                return node
    return None


def _is_behind(node: ast.AST, other: Any) -> bool:
    return getattr(node, "lineno", 0) > (other.end_lineno or other.lineno)


def _is_open(node: ast.If | ast.IfExp, fixed: Collection[str]) -> bool:
    """Whether another batch may decide otherwise.

    It will not if only the training or the shapes that a layer was built for
    are asked for.
    """
    asked = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
    attributes = {
        n.attr for n in ast.walk(node.test) if isinstance(n, ast.Attribute)
    }
    if asked == {"self"} and attributes:
        return not attributes.issubset(fixed)
    return asked != {"training"}


def _names_one(part: Any, names: Collection[str]) -> bool:
    """Whether code, or a list of it, names one of some attributes."""
    if isinstance(part, list):
        return any(_names_one(inner, names) for inner in part)
    return any(
        isinstance(inner, ast.Attribute)
        and inner.attr in names
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
        for inner in ast.walk(part)
    )


def _conditions(
    owner: type,
    method: str,
    is_wanted: Callable[[str], bool],
    around: frozenset[str],
) -> Iterator[Place | None]:
    """Yields the innermost `if` around each call of a wanted attribute.

    Args:
        owner: The class that has the methods.
        method: The name of the method to look in, and in those it calls.
        is_wanted: Function of the name of an attribute.
        around: The names of the methods that the call is in.

    Yields:
        A `Place`, or `None` for a call that depends on no `if`.
    """
    function = getattr(owner, method, None)
    lines, first, path = _read_lines(function)

    def search(
        node: ast.AST, condition: ast.If | None
    ) -> Iterator[Place | None]:
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.If) and child is not node.test:
                condition = node
            yield from search(child, condition)
        name, of_self = _called_of_self(node)
        if name and of_self and is_wanted(name):
            yield place_of(condition) if condition else None
        elif name and not of_self and name not in around:
            inner = _conditions(owner, name, is_wanted, around | {method})
            for place in inner:
                yield place or (place_of(condition) if condition else None)

    def place_of(condition: ast.If) -> Place:
        line = first + condition.lineno - 1
        return dataclasses.replace(
            _place(path, line, function), operation="the condition"
        )

    yield from search(_parse(lines), None)


def _parse(lines: Sequence[str]) -> ast.AST:
    return ast.parse(textwrap.dedent("".join(lines)))


def _called_of_self(node: ast.AST) -> tuple[str, bool]:
    """Reads a call of `self.name.any()` or of `self.name()`.

    Returns:
        The name, and whether it is an attribute that a method is called of;
        `("", False)` for any other node.
    """
    match node:
        case ast.Call(
            func=ast.Attribute(
                value=ast.Attribute(value=ast.Name(id="self"), attr=name)
            )
        ):
            return name, True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)):
            return name, False
    return "", False


def _search_lines(
    function: Any, pattern: str
) -> Iterator[tuple[re.Match[str], Place]]:
    """Yields what is found in a function of the user's, and its `Place`."""
    lines, first, path = _read_lines(function)
    for number, line in enumerate(lines, first):
        if found := re.search(pattern, line):
            yield found, _place(path, number, function)


def _read_lines(function: Any) -> tuple[list[str], int, str]:
    """Returns the lines of a function, the number of the first, the path.

    There are no lines where it is not the user's.
    """
    try:
        lines, first = inspect.getsourcelines(function)
        path = inspect.getsourcefile(function) or ""
    except (OSError, TypeError):
        return [], 0, ""
    return ([] if is_library(path) else lines), first, path


def _place(path: str, line: int, function: Any) -> Place:
    """Returns the `Place` of a line in a function."""
    name = function.__name__
    frame = traceback.FrameSummary(path, line, name, lookup_line=False)
    return locate_frames("", [frame])
