"""Where in the code of the user something happens."""

import contextlib
import dataclasses
import functools
import importlib.util
import linecache
import os
import pathlib
import re
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import keras

from keras_perceptual.gradients.mends import normalize
from keras_perceptual.gradients.model_parts import (
    find_neighbors,
    plain_operations,
)
from keras_perceptual.gradients.replay import Operation, Replay

# Their code is not the user's, even where it is installed for editing.
LIBRARIES = ("keras", "tensorflow", "jax", "jaxlib", "torch", "numpy", "flax")
_INSTALLED = re.compile(
    r"[/\\](site-packages|dist-packages|[^/\\]+\.egg|python\d+\.zip)[/\\]"
)
# Files that never were.
_GENERATED = ("<frozen", "<__array_function__", "<eval_with_key", "<attrs")
_PACKAGE = pathlib.Path(__file__).parents[1]
# What is run in their place is no frame of theirs.
_RUN_INSTEAD = {"PyFunc": "tf.numpy_function", "EagerPyFunc": "tf.py_function"}
_OUR_LOSSES = f"{_PACKAGE / 'losses'}{os.sep}"
# How Keras calls a training step: what is above it is not a part of the step.
_FITS = ("fit", "train_on_batch")
_TRAINERS = (*_FITS, "one_step_on_data")
# How Keras calls the operations of a Functional model.
_GRAPH_RUNNER = os.path.join("ops", "function.py")
# They call other functions, which tell more.
_CALLING = frozenset(
    "call cond switch case while_loop fori_loop scan associative_scan map "
    "map_fn vectorized_map vmap pmap jit grad value_and_grad function "
    "recompute_grad checkpoint remat custom_gradient custom_vjp custom_jvp "
    "py_function numpy_function name_scope".split()
)
_MODULES = {
    "image": ("keras.ops.image", keras.ops.image),
    "linalg": ("keras.ops.linalg", keras.ops.linalg),
    "random": ("keras.random", keras.random),
}


@dataclasses.dataclass(frozen=True)
class Place:
    """An operation, and where it was called.

    Attributes:
        operation: What the backend calls it, such as `"ArgMax"`.
        function: The public function it belongs to, such as
            `"keras.ops.argmax"`, or `""`.
        layer: The name of the layer it runs in, or `""`.
        layer_class: The name of the class of that layer.
        file: The file that the user wrote, or `""` where none is involved.
        line: The line of that file.
        within: The name of the function on that line.
        code: The source text of that line.
        keras_operation: The name of the operation of a Functional model, such
            as `"cast"` of `keras.ops.cast(x, "int32")`, where the model was
            built with one; such a model has no lines.
        above: The name of the layer whose output it takes, or `""`.
        below: The name of the layer that takes its output, or `""`.
        in_our_loss: Whether it belongs to a loss of this package.
        created: Whether the line is that which creates the layer.

    Example:

    >>> from keras_perceptual.gradients.places import Place
    >>> print(Place("ArgMax", "keras.ops.argmax", "pick", "Pick", "net.py", 7))
    keras.ops.argmax (ArgMax) in layer 'pick' (Pick), net.py:7
    >>> print(
    ...     Place(
    ...         "Cast",
    ...         "keras.ops.cast",
    ...         keras_operation="cast",
    ...         above="dense",
    ...         below="dense_1",
    ...     )
    ... )
    keras.ops.cast (Cast) in operation 'cast', between 'dense' and 'dense_1'
    """

    operation: str
    function: str = ""
    layer: str = ""
    layer_class: str = ""
    file: str = ""
    line: int = 0
    within: str = ""
    code: str = ""
    keras_operation: str = ""
    above: str = ""
    below: str = ""
    in_our_loss: bool = False
    created: bool = False

    @property
    def source(self) -> str:
        """The file and the line, such as `"train.py:41"`, or `""`.

        In a notebook, the cell and the line: `"Cell In[3], line 41"`.
        """
        if cell := cell_of(self.file):
            return f"{cell}, line {self.line}"
        return f"{self.file}:{self.line}" if self.file else ""

    @property
    def name(self) -> str:
        """The public function if it is known, and the operation."""
        if not self.function:
            return self.operation
        if not self.operation:
            return self.function
        return f"{self.function} ({self.operation})"

    def __str__(self) -> str:
        parts = [self.name] if self.name else []
        if self.keras_operation:
            parts.append(f"in operation {self.keras_operation!r}")
        elif self.layer:
            parts.append(f"in layer {self.layer!r} ({self.layer_class})")
        text = " ".join(parts)
        source = self.source
        if self.created and text:
            source = f"created at {source}"
        return ", ".join(filter(None, (text, self._neighbors, source)))

    @property
    def _neighbors(self) -> str:
        if self.above and self.below:
            return f"between {self.above!r} and {self.below!r}"
        if self.above:
            return f"after {self.above!r}"
        return f"before {self.below!r}" if self.below else ""


def cell_of(file: str) -> str:
    """Returns what IPython calls a cell that it keeps as a file, or `""`."""
    ipython = sys.modules.get("IPython")
    # It is asked for a name alone: whatever it answers, there is the file.
    with contextlib.suppress(Exception):
        shell = ipython and ipython.get_ipython()
        name = shell and shell.compile.format_code_name(file)
        if name:
            return " ".join(name)
    return ""


def locate(
    operation: Operation,
    layers: Mapping[str, Any],
    functions: Sequence[tuple[str, ModuleType]] = (),
) -> Place:
    """Returns the `Place` of an `Operation`.

    Args:
        operation: The `Operation`.
        layers: The layers of the model, and the operations of Functional
            models that are no layers, by name.
        functions: Pairs of a prefix and a module of the backend, in which
            public functions are looked up.
    """
    frames = _within_step(operation.frames)
    function = _public_function(frames, functions) or _RUN_INSTEAD.get(
        operation.kind, ""
    )
    layer, step = innermost(operation, layers)
    steps = (step,) if step else _likely_steps(layer, function, operation.kind)
    if steps:
        # Lines above those of the graph tell where the model is called.
        frames = _behind(frames, lambda f: f.filename.endswith(_GRAPH_RUNNER))
        above, below = find_neighbors(steps[0], layers.values())
    else:
        above = below = ""
    return Place(
        operation=operation.kind,
        function=function,
        layer=getattr(layer, "name", ""),
        layer_class="" if layer is None else type(layer).__name__,
        keras_operation=" or ".join(step.name for step in steps),
        above=above,
        below=below,
        in_our_loss=any(
            frame.filename.startswith(_OUR_LOSSES)
            for frame in _below_user(frames)
        ),
        **_source(frames),
    )


def locate_frames(function: str, frames: Sequence[Any]) -> Place:
    """Returns the `Place` that frames lead to.

    Args:
        function: What is called there, such as `"optimizer.apply"`, or `""`.
        frames: The Python frames, the innermost last.
    """
    return Place("", function, **_source(_within_step(frames)))


def locate_meeting(
    frames: Sequence[Any], others: Sequence[Any]
) -> tuple[Place, ...]:
    """Returns where the innermost function of two calls stands in one of them.

    Args:
        frames: The Python frames of that one, the innermost last.
        others: The Python frames of the other one.

    Returns:
        A tuple of the `Place`, empty where no function of the user's holds
        both.
    """
    shared = {
        (f.filename, f.name) for f in others if not is_library(f.filename)
    }
    for index in reversed(range(len(frames))):
        if (frames[index].filename, frames[index].name) in shared:
            return (locate_frames("", frames[: index + 1]),)
    return ()


@functools.lru_cache(maxsize=4096)
def is_library(filename: str) -> bool:
    """Whether a file belongs to Python, to a backend, to Keras or to us.

    So does all that is installed. A package that the user works on, installed
    for editing, lies elsewhere.
    """
    return bool(
        filename.startswith((*_GENERATED, *_library_folders()))
        or _INSTALLED.search(filename)
    )


@functools.cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [_PACKAGE, paths["stdlib"], paths["platstdlib"]]
    for name in LIBRARIES:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            continue
        folders += (spec.submodule_search_locations or ()) if spec else ()
    return tuple(f"{folder}{os.sep}" for folder in folders)


def runs_in_graph(frames: Sequence[Any]) -> bool:
    """Whether the innermost line of the user's calls a Functional model."""
    return any(f.filename.endswith(_GRAPH_RUNNER) for f in _below_user(frames))


def _behind(
    frames: Sequence[Any], is_last: Callable[[Any], bool]
) -> Sequence[Any]:
    """Returns the frames that the last one of some kind called."""
    last = [i for i, frame in enumerate(frames) if is_last(frame)]
    return frames[last[-1] + 1 :] if last else frames


def _within_step(frames: Sequence[Any]) -> Sequence[Any]:
    """Leaves out what is around a training step.

    In a step, the user's code may call `predict`, which holds none of it.
    """
    inside = _behind(frames, lambda f: _is_trainer(f, _TRAINERS))
    if any(not is_library(frame.filename) for frame in inside):
        return inside
    fits = [i for i, f in enumerate(frames) if _is_trainer(f, _FITS)]
    return frames[fits[0] + 1 :] if fits else frames


def _is_trainer(frame: Any, names: Sequence[str]) -> bool:
    return frame.name in names and is_library(frame.filename)


def _below_user(frames: Sequence[Any]) -> Sequence[Any]:
    """Returns the frames that the innermost line of the user called."""
    return _behind(frames, lambda f: not is_library(f.filename))


def _source(frames: Sequence[Any]) -> dict[str, Any]:
    """Returns where the innermost frame of the user's code is."""
    for frame in reversed(frames):
        if not is_library(frame.filename):
            path = frame.filename
            code = linecache.getline(path, frame.lineno) or frame.line or ""
            return {
                "file": _relative(path),
                "line": frame.lineno,
                "within": frame.name,
                "code": code.strip(),
            }
    return {}


def _relative(path: str) -> str:
    """Returns a path as seen from the working directory, if it is below."""
    if cell_of(path):
        return path
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # No such directory, or another drive.
        return path
    return path if relative.startswith("..") else relative


def innermost(
    operation: Operation, layers: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Returns the innermost layer around and the operation in it, if any.

    An operation of a Functional model is no layer. Backends have scopes of
    their own that may be called as it is: it counts in its own model only.
    """
    step = None
    for names in reversed(operation.around):
        for candidate in names:
            found = layers.get(candidate)
            if isinstance(found, keras.Layer):
                own = any(step is other for other in plain_operations(found))
                return found, step if own else None
            if found is not None:
                step = step or found
                break
    return None, step


def _likely_steps(layer: Any, function: str, kind: str) -> list[Any]:
    """Returns the operations of a Functional model that may be meant."""
    names = {normalize(function), normalize(kind)}
    return [
        step
        for step in plain_operations(layer)
        if normalize(type(step).__name__) in names
    ]


def _public_function(
    frames: Sequence[Any], functions: Sequence[tuple[str, ModuleType]]
) -> str:
    """Returns the first public function below the user's code."""
    calling = ""
    for frame in _below_user(frames):
        found = _public_name(frame, functions)
        if found and found.rpartition(".")[2] not in _CALLING:
            return found
        calling = calling or found
    return calling


def _public_name(
    frame: Any, functions: Sequence[tuple[str, ModuleType]]
) -> str:
    """Returns the name under which a frame's function is public, or `""`."""
    name = re.sub(r"_v\d$", "", frame.name)
    path = pathlib.PurePath(frame.filename)
    if "keras" in path.parts and {"ops", "backend", "random"} & set(path.parts):
        prefix, module = _MODULES.get(path.stem, ("keras.ops", keras.ops))
        if name != "call" and callable(getattr(module, name, None)):
            return f"{prefix}.{name}"
    for prefix, module in functions:
        package, _, _ = module.__name__.partition(".")
        if {prefix, package} & set(path.parts):
            if callable(getattr(module, name, None)):
                return f"{prefix}.{name}"
    return ""


def locate_step(replay: Replay) -> Place | None:
    """Returns where a `train_step` of the user calls the model, or `None`."""
    for operation in replay.operations:
        frames = tuple(operation.frames)
        for index, frame in enumerate(frames):
            if frame.name == "train_step" and not is_library(frame.filename):
                if operation.scope:
                    return dataclasses.replace(
                        locate_frames("", frames[: index + 1]),
                        operation="the model is called",
                    )
    return None
