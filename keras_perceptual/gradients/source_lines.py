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
from typing import Any, TypeGuard

import keras

from keras_perceptual.gradients.places import Place, is_library, locate_frames
from keras_perceptual.model_walk import walk_parts

# Methods that make what a layer has.
_MAKING = ("__init__", "build")
# Attributes that list weights, or tell about them.
_LISTING = re.compile(r"weights$|variables$|^trainable$|^built$|^losses$")


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


def has_weights_in(learning: Collection[int]) -> Callable[[Any], bool]:
    """Returns a function that tells whether a layer has weights that learn.

    Args:
        learning: The `id` of variables with a gradient.
    """
    return lambda layer: any(id(v) in learning for v in layer.variables)


def locate_skipping(
    model: keras.Model,
    layer: Any,
    is_called: Callable[[Any], bool] = lambda layer: False,
) -> Place | None:
    """Returns what may keep the code of a model from calling a layer.

    Args:
        model: The model.
        layer: A layer in it.
        is_called: Function that tells whether a layer that holds this one is
            known to have been called, such as that of `has_weights_in`.

    Returns:
        The `Place` of an `if` that a method has around what it names by an
        attribute that holds the layer, before it, or in a loop over it; `None`
        where none is found. Whether it trains is no such condition.
    """
    for holder, names in _find_holders(model, layer, is_called):
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


def locate_mention(
    model: keras.Model,
    part: Any,
    is_called: Callable[[Any], bool] = lambda layer: False,
    run: Collection[tuple[str, str]] | None = None,
) -> Place | None:
    """Returns where the code of a model names a part that it does not use.

    Args:
        model: The model.
        part: A layer or a variable in it.
        is_called: As for `locate_skipping`.
        run: The file and the name of each function that a step runs, or
            `None` where that is not known.

    Returns:
        The `Place` of the first line in such a method that names the attribute
        that holds the part, or else, of a layer, of the line that sets it;
        `None` where none is found.
    """
    found = []
    holders = _find_holders(model, part, is_called)
    for rank, (holder, names) in enumerate(holders):
        making = (getattr(type(holder), name, None) for name in _MAKING)
        for method in (*_methods_of(type(holder)), *making):
            lines, first, path = _read_lines(method)
            is_making = getattr(method, "__name__", "") in _MAKING
            if is_making:
                wanted = isinstance(part, keras.Layer)
            else:
                wanted = run is None or (path, method.__name__) in run
            if not wanted:
                continue
            for node in _mentions_in(_parse(lines), names):
                if is_making is isinstance(node.ctx, ast.Store):
                    line = first + node.lineno - 1
                    found.append((is_making, rank, line, node.attr, method))
    if not found:
        return None
    *_, line, name, method = min(found, key=lambda f: f[:3])
    path = inspect.getsourcefile(method) or ""
    return dataclasses.replace(
        _place(path, line, method), operation=f"self.{name}"
    )


def locate_inside(layer: Any, frames: Sequence[Any]) -> Place | None:
    """Returns the innermost of some frames that is code of a layer itself.

    Args:
        layer: The layer.
        frames: The Python frames, the innermost last.

    Returns:
        The `Place` of the line, `None` if none is in a method of the user's.
    """
    ranges = [
        (_read_lines(method), method) for method in _methods_of(type(layer))
    ]
    for frame in reversed(frames):
        for (lines, first, path), method in ranges:
            if frame.filename == path and 0 <= frame.lineno - first < len(
                lines
            ):
                return _place(path, frame.lineno, method)
    return None


def is_conditional(model: keras.Model, part: Any) -> bool:
    """Whether code names a part of a model behind a condition of any kind.

    Args:
        model: The model.
        part: A layer or a variable in it.
    """
    for holder, names in _find_holders(model, part, lambda layer: True):
        for method in _methods_of(type(holder)):
            for node in ast.walk(_parse(_read_lines(method)[0])):
                if isinstance(node, ast.If | ast.IfExp | ast.BoolOp):
                    if _names_one(node, names):
                        return True
    return False


def _mentions_in(
    tree: ast.AST, names: Collection[str]
) -> Iterator[ast.Attribute]:
    """Yields the attributes of `self`, but where only weights are listed."""
    listed = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _LISTING.search(node.attr)
    }
    for node in ast.walk(tree):
        if _is_own(node, names) and node not in listed:
            yield node


def _find_holders(
    model: keras.Model, part: Any, is_called: Callable[[Any], bool]
) -> Iterator[tuple[keras.Layer, set[str]]]:
    """Yields layers with the attributes by which they hold a part.

    What is known to have been called is not what is left out.
    """
    for holder in list(walk_parts(model, (keras.Layer,))):
        held = vars(holder)
        names = {
            name
            # PyTorch keeps modules apart.
            for name, value in {**held, **held.get("_modules", {})}.items()
            for item in _items_in(value)
            if item is part
            or (
                isinstance(item, keras.Layer)
                and item is not holder
                and any(inner is part for inner in walk_parts(item))
                and not is_called(item)
            )
        }
        if names:
            yield holder, names


def _items_in(part: Any) -> Iterator[Any]:
    """Yields what an attribute is, or what is in it if it is a container."""
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for item in part:
            yield from _items_in(item)
    else:
        yield part


def _methods_of(owner: type) -> Iterator[Any]:
    """Yields the methods of a class, but for those that create layers."""
    for name in dir(owner):
        method = inspect.getattr_static(owner, name)
        if inspect.isfunction(method) and name not in _MAKING:
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
    return any(_is_own(inner, names) for inner in ast.walk(part))


def _is_own(node: ast.AST, names: Collection[str]) -> TypeGuard[ast.Attribute]:
    """Whether code is one of some attributes of `self`."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
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
