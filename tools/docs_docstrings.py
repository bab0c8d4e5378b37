"""Reads the docstrings of Keras as Google's, which the site can show."""

import ast
import importlib.util
import pathlib
import re
import textwrap

import griffe

ROOT = pathlib.Path(__file__).parents[1] / "keras_perceptual"

# What Google's style has no name for.
CALL_ARGUMENTS = re.compile(r"^Call arguments:$", re.M)
# Sections that are text, not a list of names, and stand with or without an
# indent.
TEXT_SECTION = re.compile(
    r"^(Examples?|Input shape|Notes?|Output shape|References?|Returns|Yields):"
    r"\n((?:\n* +.*)*)",
    re.M,
)
DOCTEST = re.compile(r"^( *)>>> .*(?:\n *\S.*)*", re.M)
FLAGS = re.compile(r"  # doctest: .*")


def _load_shared():
    """Returns what docstrings share, without importing the package."""
    spec = importlib.util.spec_from_file_location(
        "docstrings", ROOT / "docstrings.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = _load_shared()


def class_docstring(name):
    """Returns the docstring of a loss."""
    for path in sorted((ROOT / "losses").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return shared.fill_text(ast.get_docstring(node, clean=False))
    raise ValueError(
        "Arguments are described in the docstring of a loss, and there is "
        f"none of this name. Name one of `losses`. Received: {name!r}"
    )


def fill(docstring, decorators=(), names=()):
    """Returns a docstring as `help` shows it.

    Args:
        docstring: Text.
        decorators: The decorators of the object, as they are written.
        names: The names of its arguments.
    """
    for decorator in decorators:
        source = re.fullmatch(r"fill_from\(losses\.(\w+)\)", decorator)
        if source:
            told = class_docstring(source[1])
            docstring = shared.insert_settings(docstring, told, names)
    return shared.fill_text(docstring)


def show_section(match):
    """Returns a section as a heading and text."""
    heading = f'<p><span class="doc-section-title">{match[1]}:</span></p>'
    return f"{heading}\n\n{textwrap.dedent(match[2])}"


def to_google_style(docstring):
    """Returns a docstring whose sections and examples Griffe knows."""
    docstring = CALL_ARGUMENTS.sub("Args: Call arguments:", docstring)
    docstring = TEXT_SECTION.sub(show_section, docstring)
    docstring = DOCTEST.sub(r"\1```pycon\n\g<0>\n\1```", docstring)
    return FLAGS.sub("", docstring)


class KerasDocstrings(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_object(self, *, obj, **kwargs):
        """Changes the docstring of one object."""
        if obj.docstring:
            decorators = [str(x.value) for x in getattr(obj, "decorators", ())]
            names = [x.name for x in getattr(obj, "parameters", ())]
            filled = fill(obj.docstring.value, decorators, names)
            obj.docstring.value = to_google_style(filled)
