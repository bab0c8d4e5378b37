"""Reads the docstrings of Keras as Google's, which the site can show."""

import re
import textwrap

import griffe

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
            obj.docstring.value = to_google_style(obj.docstring.value)
