"""What is agreed between the check and the three backends.

The sources are read, since each backend can be imported beside its own Keras
alone.
"""

import ast
import inspect
import pathlib

import pytest

from keras_perceptual.gradients import tracers

FOLDER = pathlib.Path(tracers.__file__).parent
BACKENDS = ["tensorflow", "jax", "torch"]


def parse(backend, topic):
    return ast.parse((FOLDER / backend / f"{topic}.py").read_text("utf-8"))


def public_functions(node):
    """Returns the arguments of public functions, in words, by name."""
    return {
        inner.name: [
            *(argument.arg for argument in inner.args.posonlyargs),
            *(argument.arg for argument in inner.args.args),
            *(f"*{argument.arg}" for argument in inner.args.kwonlyargs),
            *map(ast.unparse, inner.args.defaults),
        ]
        for inner in node.body
        if isinstance(inner, ast.FunctionDef) and inner.name[0] != "_"
    }


def find_class(tree, name):
    (found,) = (
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    return found


@pytest.fixture
def protocol():
    return find_class(ast.parse(inspect.getsource(tracers)), "Tracer")


@pytest.mark.parametrize("backend", BACKENDS)
def test_tracers_are_as_agreed(backend, protocol):
    found = find_class(parse(backend, "tracer"), "Tracer")
    agreed = public_functions(protocol)
    assert len(agreed) >= 9
    assert public_functions(found) == agreed


@pytest.mark.parametrize("backend", BACKENDS)
def test_tracers_have_the_attributes_that_are_agreed(backend, protocol):
    agreed = {
        node.target.id for node in protocol.body if hasattr(node, "target")
    }
    assert len(agreed) >= 3
    found = find_class(parse(backend, "tracer"), "Tracer")
    assigned = {
        getattr(target, "id", getattr(target, "attr", None))
        for node in ast.walk(found)
        # A type alone gives no value.
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for target in getattr(node, "targets", [getattr(node, "target", None)])
    }
    assert agreed <= assigned


@pytest.mark.parametrize("topic", ["tracer", "replay"])
def test_modules_of_all_backends_have_the_same_functions(topic):
    """And at least those that are asked for somewhere."""
    found = [public_functions(parse(b, topic)) for b in BACKENDS]
    shared = found[0].keys() & found[1].keys() & found[2].keys()
    for functions in found:
        assert {n: functions[n] for n in shared} == {
            n: found[0][n] for n in shared
        }
    asked = {
        node.attr
        for path in FOLDER.parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and f'tracers.load("{topic}")'
        in ast.unparse(node.value).replace("'", '"')
    } - {"Tracer", "apply_methods"}
    assert asked
    for backend, functions in zip(BACKENDS, found, strict=True):
        # One may be handed on from a file of its own.
        handed_on = {
            alias.name
            for node in parse(backend, topic).body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert asked <= functions.keys() | handed_on
