import doctest
import importlib
import inspect
import re

import keras
import pytest
from public_objects import (
    REPOSITORY,
    package_modules,
    public_classes,
    saved_classes,
)

import keras_perceptual

SECTIONS = ("Args", "Raises", "Example", "Reference")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
README_COMMANDS = re.findall(
    r"^```(?:bash|sh|shell)\n(.*?)^```", README, re.M | re.S
)


def sections(docstring):
    """Returns the names of the sections; "References" counts as one."""
    headings = re.findall(
        r"^(\w+)(?: \w+)?:$", inspect.cleandoc(docstring), re.M
    )
    return {
        {"Examples": "Example", "References": "Reference"}.get(name, name)
        for name in headings
    }


def documented_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for name in ["keras_perceptual", *package_modules()]:
        for test in finder.find(importlib.import_module(name), name=name):
            if test.examples:
                found[test.name] = test
    return found


EXAMPLES = documented_examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_documented_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = EXAMPLES[name]
    # What a reader has imported already, and nothing else of the module.
    test.globs = {"keras": keras, "keras_perceptual": keras_perceptual}
    printed = []
    outcome = doctest.DocTestRunner(optionflags=FLAGS).run(
        test, out=printed.append, clear_globs=False
    )
    assert outcome.failed == 0, "".join(printed)


def test_code_of_a_docstring_is_run():
    """Fenced code is not: what a reader is to type has prompts."""
    fenced = [
        path
        for path in (REPOSITORY / "keras_perceptual").rglob("*.py")
        if "```python" in path.read_text(encoding="utf-8")
    ]
    assert not fenced


def test_nothing_teaches_a_list_of_losses():
    """Of a list, Keras takes the first for a model of one output."""
    pages = [
        path
        for folder in ("keras_perceptual", "docs", "examples")
        for path in (REPOSITORY / folder).rglob("*.*")
        if path.suffix in (".py", ".md")
    ]
    assert pages
    taught = [
        path
        for path in [*pages, REPOSITORY / "README.md"]
        if re.search(r"loss=\[|loss_weights=", path.read_text("utf-8"))
    ]
    assert not taught


@pytest.mark.parametrize("name", saved_classes())
def test_docstring_has_the_sections(name):
    assert set(SECTIONS) - sections(saved_classes()[name].__doc__) == set()


@pytest.mark.parametrize("name", saved_classes())
def test_docstring_has_an_example_that_is_run(name):
    cls = saved_classes()[name]
    assert f"{cls.__module__}.{cls.__qualname__}" in EXAMPLES


@pytest.mark.parametrize("name", saved_classes())
def test_docstring_names_every_argument(name):
    cls = saved_classes()[name]
    documented = re.findall(r"^ +(\w+):", cls.__doc__, re.M)
    arguments = {
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert arguments - set(documented) == set()


@pytest.mark.parametrize("name", public_classes())
def test_every_public_class_says_what_it_is(name):
    assert inspect.cleandoc(public_classes()[name].__doc__)


def test_sections_are_told_apart():
    """A docstring without a section is noticed."""
    docstring = "Does a thing.\n\n    Args:\n        x: A number.\n"
    assert sections(docstring) == {"Args"}
    docstring += "\n    References:\n        A paper.\n"
    assert sections(docstring) == {"Args", "Reference"}


def test_readme_commands_are_those_of_ci():
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    commands = [
        line
        for block in README_COMMANDS
        for line in block.splitlines()
        if line.startswith("python3 -m venv")
    ]
    assert len(commands) == 2
    for command in commands:
        assert command in script
