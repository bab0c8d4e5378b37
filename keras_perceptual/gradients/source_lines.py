"""Lines of the user's code that no recorded operation leads to."""

import ast
import dataclasses
import functools
import inspect
import itertools
import linecache
import re
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_perceptual.gradients.places import Place, is_library, locate_frames

# Methods that make what a layer has.
MAKING = ("__init__", "build")
# Methods that take what is differentiated, and what it is differentiated by.
_ASKING = ("gradient", "jacobian", "grad")


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


def locate_inside(layer: Any, frames: Sequence[Any]) -> Place | None:
    """Returns the innermost of some frames that is code of a layer itself.

    Args:
        layer: The layer.
        frames: The Python frames, the innermost last.

    Returns:
        The `Place` of the line, `None` if none is in a method of the user's.
    """
    ranges = [
        (read_lines(method), method) for method in methods_of(type(layer))
    ]
    for frame in reversed(frames):
        for (lines, first, path), method in ranges:
            if frame.filename == path and 0 <= frame.lineno - first < len(
                lines
            ):
                return place_of_line(path, frame.lineno, method)
    return None


def locate_return(function: Any) -> Place | None:
    """Returns the line of the user's with which a function ends.

    Args:
        function: The function, or a method.

    Returns:
        The `Place` of the first `return` that no condition is around, `None`
        where there is none.
    """
    lines, first, path = read_lines(function)
    if lines:
        node: Any = parse_lines(lines)
        for statement in getattr(node.body[0], "body", ()):
            if isinstance(statement, ast.Return):
                return place_of_line(
                    path, first + statement.lineno - 1, function
                )
    return None


def locate_block(frames: Sequence[Any], words: str) -> Place | None:
    """Returns which of some frames is in a `with` block of a kind.

    Args:
        frames: The Python frames, the innermost last.
        words: A regular expression for what such a block is opened with.

    Returns:
        The `Place` of the line of the innermost such frame, `None` for none.
    """
    for index in reversed(range(len(frames))):
        frame = frames[index]
        if is_library(frame.filename):
            continue
        tree = parse_lines(linecache.getlines(frame.filename))
        if any(
            isinstance(node, ast.With)
            and _stands_on(node, frame.lineno)
            and any(re.search(words, ast.dump(item)) for item in node.items)
            for node in ast.walk(tree)
        ):
            return locate_frames("", frames[: index + 1])
    return None


def locate_choice(place: Place) -> Place | None:
    """Returns where the variables are chosen that a line asks about.

    Args:
        place: The `Place` of a call such as `tape.gradient(loss, variables)`.

    Returns:
        The `Place` of the line above it that gives that name to something, or
        `None` where the call itself chooses.
    """
    lines = linecache.getlines(place.file)
    functions = [
        node
        for node in ast.walk(parse_lines(lines))
        if isinstance(node, ast.FunctionDef | ast.Module)
        and _stands_on(node, place.line)
    ]
    nodes = list(ast.walk(functions[-1]))
    names = {
        call.args[1].id
        for call in nodes
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in _ASKING
        and _stands_on(call, place.line)
        and len(call.args) > 1
        and isinstance(call.args[1], ast.Name)
    }
    found = [
        (node.lineno, node.id)
        for node in nodes
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Store)
        and node.id in names
        and node.lineno < place.line
    ]
    if not found:
        return None
    line, name = max(found)
    code = lines[line - 1].strip()
    return dataclasses.replace(place, operation=name, line=line, code=code)


def runs_in_training_only(place: Place) -> bool:
    """Whether a line stands behind `if training:`.

    Args:
        place: The `Place` of the line.
    """
    tree = parse_lines(linecache.getlines(place.file))
    return any(
        isinstance(node, ast.If | ast.IfExp)
        and isinstance(node.test, ast.Name)
        and node.test.id == "training"
        and any(
            _stands_on(part, place.line)
            for part in (node.body if isinstance(node, ast.If) else [node.body])
        )
        for node in ast.walk(tree)
    )


def _stands_on(node: Any, line: int) -> bool:
    """Whether code has a line in it, as a whole file does."""
    first = getattr(node, "lineno", line)
    return bool(first <= line <= getattr(node, "end_lineno", line))


def methods_of(owner: type) -> Iterator[Any]:
    """Yields the methods of a class, but for those that create layers."""
    for name in dir(owner):
        method = inspect.getattr_static(owner, name)
        if inspect.isfunction(method) and name not in MAKING:
            yield method


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
    lines, first, path = read_lines(function)

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
            place_of_line(path, line, function), operation="the condition"
        )

    yield from search(parse_lines(lines), None)


def parse_lines(lines: Sequence[str]) -> ast.AST:
    """Returns the syntax tree of lines, which may be those of a method."""
    return _parse(textwrap.dedent("".join(lines)))


@functools.lru_cache(maxsize=256)
def _parse(text: str) -> ast.AST:
    return ast.parse(text)


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
    lines, first, path = read_lines(function)
    for number, line in enumerate(lines, first):
        if found := re.search(pattern, line):
            yield found, place_of_line(path, number, function)


def read_lines(function: Any) -> tuple[list[str], int, str]:
    """Returns the lines of a function, the number of the first, the path.

    There are no lines where it is not the user's.
    """
    try:
        lines, first = inspect.getsourcelines(function)
        path = inspect.getsourcefile(function) or ""
    except (OSError, TypeError):
        return [], 0, ""
    return ([] if is_library(path) else lines), first, path


def place_of_line(path: str, line: int, function: Any = None) -> Place:
    """Returns the `Place` of a line, in a function if there is one."""
    name = getattr(function, "__name__", "")
    frame = traceback.FrameSummary(path, line, name, lookup_line=False)
    return locate_frames("", [frame])
