"""XML from a file that may be hostile, as a tree of a bounded size.

A document type is refused, and with it all entities: nothing else is fetched,
and nothing becomes longer than it is in the file.
"""

import dataclasses
import os
from collections.abc import Callable
from xml.parsers import expat

from keras_perceptual.files import check_file
from keras_perceptual.io.text_lines import BLOCK_SIZE, MAX_FILE_SIZE
from keras_perceptual.io.text_source import Source
from keras_perceptual.typing import PathLike

MOST_NODES = 10_000
DEEPEST = 20
# What is decoded without Python's codecs, some of which fail in their own way.
ENCODINGS = ("UTF-8", "UTF-16", "ISO-8859-1", "US-ASCII")


@dataclasses.dataclass
class Node:
    """An element.

    Attributes:
        name: String, without the namespace.
        line: Integer, the line of the file that it starts in.
        attributes: Dictionary of strings.
        children: List of nodes.
        text: String, the text inside it but not inside its children.
    """

    name: str
    line: int
    attributes: dict[str, str]
    children: list["Node"] = dataclasses.field(default_factory=list)
    text: str = ""


def read_nodes(
    path: PathLike | bytes,
    format: str,
    limit_text: Callable[[Node], int],
) -> tuple[Source, Node]:
    """Returns the root of an XML file.

    Args:
        path: String or path-like object, the file.
        format: String, how the names of such files end, such as `"clf"`.
        limit_text: Function of a node that has begun. It returns how many
            characters of text it may have; zero for one whose text does not
            matter and is not kept.

    Returns:
        A pair of what to call the file in errors, and the root.
    """
    source = Source(os.fsdecode(path), format)
    check_file(source.reader, path, MAX_FILE_SIZE)
    reading = _Reading(source, limit_text)
    with open(path, "rb") as file:
        try:
            while block := file.read(BLOCK_SIZE):
                reading.parser.Parse(block, False)
            reading.parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise source.mistake(
                error.lineno,
                "This is no whole XML file. Check whether it was cut off, and "
                f"that it is a {source.suffix} file.",
                str(error).encode(),
            ) from error
    return source, reading.root


class _Reading:
    """The nodes that are open, while a file is read."""

    def __init__(
        self, source: Source, limit_text: Callable[[Node], int]
    ) -> None:
        self.source = source
        self.limit_text = limit_text
        self.root: Node
        self.open: list[Node] = []
        self.limits: list[int] = []
        self.texts: list[list[str]] = []
        self.count = 0
        parser = self.parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.buffer_size = BLOCK_SIZE
        parser.XmlDeclHandler = self._check_encoding
        parser.StartDoctypeDeclHandler = self._refuse_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add_text

    def _check_encoding(
        self, version: str, encoding: str | None, standalone: int
    ) -> None:
        if encoding is not None and encoding.upper() not in ENCODINGS:
            raise self._mistake(
                f"Text is encoded as {', '.join(ENCODINGS)}. Save it as UTF-8.",
                encoding,
            )

    def _refuse_type(self, name: str, *identifiers: object) -> None:
        raise self._mistake(
            "A document type can define entities, and tables need none. Take "
            "it out.",
            f"<!DOCTYPE {name}",
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        name = name.rpartition(":")[2]
        if self.count > MOST_NODES or len(self.open) == DEEPEST:
            raise self._mistake(
                f"A file can have {MOST_NODES} elements, {DEEPEST} inside each "
                "other. Check that this is the file you mean.",
                f"<{name}>",
            )
        line = self.parser.CurrentLineNumber
        node = Node(name, line, attributes)
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)
        self.limits.append(self.limit_text(node))
        self.texts.append([])

    def _add_text(self, text: str) -> None:
        if not self.limits or not self.limits[-1]:
            return
        self.limits[-1] -= len(text)
        if self.limits[-1] <= 0:
            raise self._mistake(
                f"There is more text in {self.open[-1].name} than belongs "
                "there. Check the numbers and their count.",
                text.strip(),
            )
        self.texts[-1].append(text)

    def _end(self, name: str) -> None:
        self.limits.pop()
        self.open.pop().text = "".join(self.texts.pop())

    def _mistake(self, problem: str, received: str) -> ValueError:
        line = self.parser.CurrentLineNumber
        return self.source.mistake(line, problem, received.encode())
