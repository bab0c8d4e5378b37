"""How the modules of the package depend on each other, and its classes."""

import ast
import graphlib
import importlib
import inspect

import pytest
from public_objects import PACKAGE, load_tool, package_modules

import keras_perceptual as kp
from keras_perceptual.losses.distance import Distance
from keras_perceptual.losses.image_loss import ImageLoss

ROOT = PACKAGE.name


def modules():
    """Returns the files of all modules, by name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join((ROOT, *parts))] = path
    return found


def named_modules(node, known):
    """Yields the modules of the package that a piece of code asks for."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in known else node.module
    elif isinstance(node, ast.Call):
        # By `importlib`, whose argument may only be known when it runs.
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("load", "import_module"):
            for x in ast.walk(node):
                if isinstance(x, ast.Constant) and isinstance(x.value, str):
                    yield from (
                        m for m in known if m.endswith(f".{x.value.strip('.')}")
                    )


class RunCode(ast.NodeTransformer):
    """Takes out what is there for type checkers alone."""

    def visit_If(self, node):
        test = node.test
        if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


def imports(files):
    """Returns what each module imports, wherever in its code."""
    return {
        name: {
            other
            for node in ast.walk(
                RunCode().visit(ast.parse(path.read_text(encoding="utf-8")))
            )
            for other in named_modules(node, files)
            if other in files and other != name
        }
        for name, path in files.items()
    }


def test_no_module_imports_itself_round_about():
    graph = imports(modules())
    assert len(graph) > 100
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "code",
    [
        "from {root} import b",
        "def f():\n    import {root}.b",
        "import importlib\nimportlib.import_module('.b')",
    ],
)
def test_a_cycle_is_noticed(tmp_path, code):
    files = {}
    for name, other in (("a", code), ("b", f"from {ROOT} import a")):
        files[f"{ROOT}.{name}"] = tmp_path / f"{name}.py"
        files[f"{ROOT}.{name}"].write_text(other.format(root=ROOT))
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports(files)).prepare()


def overridden(cls, root):
    """Yields the methods with a body that a class replaces."""
    for name, method in vars(cls).items():
        if not inspect.isfunction(method) or name.startswith("__"):
            continue
        for base in cls.__mro__[1:]:
            inherited = vars(base).get(name)
            if not issubclass(base, root) or inherited is None:
                continue
            if not getattr(inherited, "__isabstractmethod__", False):
                yield name


def subclasses(cls):
    """Returns the classes of the package that extend one."""
    for name in package_modules():
        importlib.import_module(name)
    found, waiting = [], [cls]
    while waiting:
        new = waiting.pop().__subclasses__()
        found += [c for c in new if c.__module__.startswith(ROOT)]
        waiting += new
    return found


@pytest.mark.parametrize("root", [ImageLoss, Distance])
def test_no_loss_replaces_a_method_that_has_a_body(root):
    found = subclasses(root)
    assert len(found) >= 10
    assert [(c.__name__, m) for c in found for m in overridden(c, root)] == []


def test_a_method_that_is_replaced_is_noticed():
    class Own(kp.SSIMLoss):
        def call(self, y_true, y_pred):
            return y_pred

    assert list(overridden(Own, ImageLoss)) == ["call"]


@pytest.mark.parametrize(
    "cls", [c for c in subclasses(Distance) if not inspect.isabstract(c)]
)
def test_a_distance_has_a_map_or_says_why_not(cls):
    assert (cls.no_map is None) == hasattr(cls, "map")
    assert cls.no_map is None or cls.no_map.endswith(".")


def test_losses_inherit_in_three_steps_at_most():
    for cls in subclasses(ImageLoss):
        own = [c for c in cls.__mro__ if issubclass(c, ImageLoss)]
        assert len(own) <= 3


@pytest.mark.tensorflow_only
def test_a_loss_leads_through_few_files(tmp_path):
    tool = load_tool("count_file_changes")
    for make, most in tool.LOSSES.values():
        called, run = tool.count_changes(make(check_range="raise"))
        assert 0 < len(called) - 1 <= most
        assert len(run) >= len(called)
    assert tool.files_of(len, [])[0] == []
