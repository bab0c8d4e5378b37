"""Lines of the user's code that name parts of a model, or leave them out."""

import ast
import collections
import dataclasses
import inspect
import linecache
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeGuard

import keras

from keras_perceptual.gradients.places import Place
from keras_perceptual.gradients.source_lines import (
    MAKING,
    methods_of,
    parse_lines,
    place_of_line,
    read_lines,
)
from keras_perceptual.model_walk import walk_parts

# Attributes that list weights, or tell about them.
_LISTING = re.compile(r"weights$|variables$|^trainable$|^built$|^losses$")


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
        for method in methods_of(type(holder)):
            lines, first, path = read_lines(method)
            node = _find_skipping(parse_lines(lines), names, fixed)
            if node is not None:
                return dataclasses.replace(
                    place_of_line(path, first + node.lineno - 1, method),
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
        that holds the part, of a loop over it the line inside that goes on
        without, or else, of a layer, of the line that sets it; `None` where
        none is found.
    """
    found = []
    holders = _find_holders(model, part, is_called)
    for rank, (holder, names) in enumerate(holders):
        making = (getattr(type(holder), name, None) for name in MAKING)
        for method in (*methods_of(type(holder)), *making):
            lines, first, path = read_lines(method)
            is_making = getattr(method, "__name__", "") in MAKING
            if is_making:
                wanted = isinstance(part, keras.Layer)
            else:
                wanted = run is None or (path, method.__name__) in run
            if not wanted:
                continue
            tree = parse_lines(lines)
            for node in _mentions_in(tree, names):
                if is_making is isinstance(node.ctx, ast.Store):
                    line = first + _line_of_use(tree, node) - 1
                    found.append((is_making, rank, line, node.attr, method))
    if not found:
        return None
    *_, line, name, method = min(found, key=lambda f: f[:3])
    path = inspect.getsourcefile(method) or ""
    return dataclasses.replace(
        place_of_line(path, line, method), operation=f"self.{name}"
    )


def is_conditional(model: keras.Model, part: Any) -> bool:
    """Whether code names a part of a model behind a condition of any kind.

    Args:
        model: The model.
        part: A layer or a variable in it.
    """
    for holder, names in _find_holders(model, part, lambda layer: True):
        for method in methods_of(type(holder)):
            for node in ast.walk(parse_lines(read_lines(method)[0])):
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


def _line_of_use(tree: ast.AST, mention: ast.Attribute) -> int:
    """Returns the line of a mention, or that in a loop over all of it."""
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For) and mention in _iterated(loop.iter):
            given = {n.id for n in ast.walk(loop.target) if _is_name(n)}
            uses = [
                line
                for line in loop.body
                if any(_is_name(n) and n.id in given for n in ast.walk(line))
            ]
            return (uses or loop.body)[0].lineno
    return mention.lineno


def _is_name(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)


def _iterated(node: ast.expr) -> list[ast.expr]:
    """Returns what a loop goes over as a whole, such as the parts of a zip."""
    if isinstance(node, ast.Call):
        of = node.func
        inner = of.value if isinstance(of, ast.Attribute) else None
        # `self.heads.items()`, `zip(self.blocks, self.teachers)`.
        parts = [*node.args, *([inner] if inner else [])]
        return [whole for part in parts for whole in _iterated(part)]
    return [node]


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


def _fixed_attributes(owner: type) -> set[str]:
    """Returns what `build` sets, from shapes, and nothing else in the file."""

    def set_in(tree: ast.AST) -> list[str]:
        return [
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
        ]

    lines, _, path = read_lines(getattr(owner, "build", None))
    found = collections.Counter(set_in(parse_lines(lines)))
    everywhere = collections.Counter(
        set_in(parse_lines(linecache.getlines(path))) if found else ()
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
