"""Where in the code of the user something happens."""

import dataclasses
import functools
import importlib.util
import linecache
import os
import pathlib
import re
import sysconfig

import keras

# Their code is not the user's.
LIBRARIES = ("keras", "tensorflow", "jax", "jaxlib", "torch", "numpy", "flax")


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

    Example:

    >>> from keras_perceptual.gradients.places import Place
    >>> print(Place("ArgMax", "keras.ops.argmax", "pick", "Pick", "net.py", 7))
    keras.ops.argmax (ArgMax) in layer 'pick' (Pick), net.py:7
    """

    operation: str
    function: str = ""
    layer: str = ""
    layer_class: str = ""
    file: str = ""
    line: int = 0
    within: str = ""
    code: str = ""

    @property
    def source(self):
        """The file and the line, such as `"train.py:41"`, or `""`."""
        return f"{self.file}:{self.line}" if self.file else ""

    @property
    def name(self):
        """The public function if it is known, and the operation."""
        if not self.function:
            return self.operation
        if not self.operation:
            return self.function
        return f"{self.function} ({self.operation})"

    def __str__(self):
        parts = [self.name]
        if self.layer:
            parts[0] += f" in layer {self.layer!r} ({self.layer_class})"
        if self.source:
            parts.append(self.source)
        return ", ".join(parts)


def locate(operation, layers, functions=()):
    """Returns the `Place` of an `Operation`.

    Args:
        operation: The `Operation`.
        layers: The layers of the model by name.
        functions: Pairs of a prefix and a module of the backend, in which
            public functions are looked up.
    """
    layer = _innermost_layer(operation.scope, layers)
    return Place(
        operation=operation.kind,
        function=_public_function(operation.frames, functions),
        layer=getattr(layer, "name", ""),
        layer_class="" if layer is None else type(layer).__name__,
        **_source(operation.frames),
    )


def locate_frames(function, frames):
    """Returns the `Place` that the frames of a traceback lead to."""
    return Place("", function, **_source(frames))


def is_library(filename):
    """Whether a file belongs to Python, to a backend, to Keras or to us."""
    return filename.startswith(("<frozen", *_library_folders()))


@functools.cache
def _library_folders():
    folders = [pathlib.Path(__file__).parents[1]]
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        folders += (spec.submodule_search_locations or ()) if spec else ()
    paths = sysconfig.get_paths()
    standard = [
        entry
        for entry in pathlib.Path(paths["stdlib"]).iterdir()
        if entry.name not in ("site-packages", "dist-packages")
    ]
    folders = [f"{folder}{os.sep}" for folder in folders]
    return (
        *folders,
        *(f"{e}{os.sep}" if e.is_dir() else str(e) for e in standard),
    )


def _source(frames):
    """Returns where the innermost frame of the user's code is."""
    for frame in reversed(frames):
        if not is_library(frame.filename):
            path = frame.filename
            relative = os.path.relpath(path)
            return {
                "file": path if relative.startswith("..") else relative,
                "line": frame.lineno,
                "within": frame.name,
                "code": linecache.getline(path, frame.lineno).strip(),
            }
    return {}


def _innermost_layer(scope, layers):
    for name in reversed(scope):
        for candidate in (name, re.sub(r"_\d+$", "", name)):
            if candidate in layers:
                return layers[candidate]
    return None


def _public_function(frames, functions):
    """Returns the first public function below the user's code."""
    own = [i for i, f in enumerate(frames) if not is_library(f.filename)]
    for frame in frames[own[-1] + 1 if own else 0 :]:
        name = re.sub(r"_v\d$", "", frame.name)
        folders = pathlib.PurePath(frame.filename).parts
        if "keras" in folders and {"ops", "backend"} & set(folders):
            if hasattr(keras.ops, name) and name != "call":
                return f"keras.ops.{name}"
        for prefix, module in functions:
            package, _, _ = module.__name__.partition(".")
            if prefix in folders or package in folders:
                if callable(getattr(module, name, None)):
                    return f"{prefix}.{name}"
    return ""
