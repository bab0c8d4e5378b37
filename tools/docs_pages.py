"""Makes pages for the site out of files that are something else as well.

Pure functions from text to text; `tools/docs_hook.py` hands them to MkDocs.
The package is read and not imported, so that no backend is needed.
"""

import ast
import pathlib
import posixpath
import re
from typing import NamedTuple

PACKAGE = "keras_perceptual"
# Files of the project that are a page, and which.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    ".github/CODE_OF_CONDUCT.md": "code_of_conduct.md",
    ".github/SECURITY.md": "security.md",
    "keras_perceptual/features/weights/NOTICE.md": "weights.md",
}
# Folders of the project whose pictures are on the site, under the same path.
PICTURES = ("benchmarks", "examples")
# The examples by what they do; others follow below.
TASKS = {
    "Super-resolution and GANs": ["super_resolution", "gan_super_resolution"],
    "Style transfer": ["style_transfer"],
    "Color grading": ["learn_color_grade", "vae_with_color_table"],
    "Depth": ["depth_edges"],
    "Debugging": ["gradient_mistakes", "flight_recorder"],
    "Several devices": ["two_workers"],
}


class PublicObject(NamedTuple):
    """A public class or function.

    Args:
        name: Its name.
        path: Where users find it, such as `"keras_perceptual.LPIPS"`.
        summary: The first paragraph of its docstring.
        source: The file and the line that define it, `"<path>#L<line>"`.
    """

    name: str
    path: str
    summary: str
    source: str


def read(path):
    """Returns the text of a file."""
    return path.read_text(encoding="utf-8")


def exports(init):
    """Returns what an `__init__.py` hands on, `{name: module it is from}`."""
    return {
        alias.name: node.module
        # Also what is imported only where Keras is.
        for node in ast.walk(ast.parse(read(init)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if not alias.name.startswith("_")
    }


def definition(root, module, name):
    """Returns the first paragraph of a docstring, as one line, and its place.

    The place is that of `PublicObject.source`.
    """
    path = f"{module.replace('.', '/')}.py"
    for node in ast.parse(read(root / path)).body:
        # Those of overloads have none.
        text = getattr(node, "name", None) == name and ast.get_docstring(node)
        if text:
            paragraph = text.partition("\n\n")[0]
            return " ".join(paragraph.split()), f"{path}#L{node.lineno}"
    raise ValueError(
        f"{module} was expected to define {name}, which is imported from "
        f"there. Received: {root / path}"
    )


def public_objects(root):
    """Returns all public classes and functions, by the module they are in.

    Args:
        root: The folder of the project.

    Returns:
        A dictionary from names of modules, such as `"losses"`, to lists of
        `PublicObject` in alphabetical order. Each object is in it once.
    """
    package = root / PACKAGE
    top_level = exports(package / "__init__.py")
    modules = [name for name, origin in top_level.items() if origin == PACKAGE]
    found = {}
    for module in sorted(modules):
        names = exports(package / module / "__init__.py")
        found[module] = [
            PublicObject(
                name,
                f"{PACKAGE}.{name}"
                if name in top_level
                else f"{PACKAGE}.{module}.{name}",
                *definition(root, origin, name),
            )
            for name, origin in sorted(
                names.items(), key=lambda x: x[0].lower()
            )
        ]
    return found


def object_pages(root, repository=None):
    """Returns a page for each public object, and one that lists them all.

    Args:
        root: The folder of the project.
        repository: The address where the sources are read. Defaults to `None`,
            with which pages name the line and do not lead there.
    """
    pages = {}
    listing = [
        "# API reference\n\nAll that is public, by the module it is in.\n"
    ]
    for module, objects in public_objects(root).items():
        about = ast.get_docstring(
            ast.parse(read(root / PACKAGE / module / "__init__.py"))
        ).partition("\n")[0]
        listing.append(f"## {module}\n\n{about}\n")
        for name, path, text, source in objects:
            page = f"{module}/{name}.md"
            listing.append(f"- [`{name}`]({page}): {text}")
            place = "`{}`, line {}".format(*source.split("#L"))
            if repository:
                place = f"[{place}]({repository}/blob/HEAD/{source})"
            pages[f"objects/{page}"] = (
                f"---\ntitle: {name}\n---\n\n::: {path}\n\nSource: {place}\n"
            )
        listing.append("")
    return {"objects/index.md": "\n".join(listing), **pages}


def example_cells(source):
    """Returns the parts of an example, as pairs of a kind and what is in it.

    Args:
        source: Its text. Strings on lines of their own are `"markdown"`, and
            what is between them `"code"`.
    """
    lines = source.splitlines()
    cells, code_from = [], 0

    def end_code(end):
        code = "\n".join(lines[code_from:end]).strip("\n")
        if code:
            cells.append(("code", code))

    for node in ast.parse(source).body:
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                end_code(node.lineno - 1)
                cells.append(("markdown", text.strip("\n")))
                code_from = node.end_lineno
    end_code(len(lines))
    return cells


def example_header(text):
    """Returns title, description and the rest of the first text of an example.

    It begins with a header (`Title:`, `Description:` and others), or with a
    line with the title.
    """
    header, _, rest = text.partition("\n\n")
    fields = dict(re.findall(r"^(\w[\w ]*): (.+(?:\n .+)*)", header, re.M))
    title = fields.get("Title", header.rstrip("."))
    return title, " ".join(fields.get("Description", "").split()), rest


def example_page(name, source, picture=None):
    """Returns the page of an example: its text as text, its code as code.

    Args:
        name: The path of the example, such as `"examples/depth_edges.py"`.
        source: What is in it, see `example_cells` and `example_header`.
        picture: The name of the picture that it makes, beside it.
    """
    (_, first), *cells = example_cells(source)
    title, description, text = example_header(first)
    top = [f"# {title}"]
    if description:
        top.append(description)
    if picture:
        top.append(f"![{title}]({picture})")
    top.append(f"This page is the file `{name}`, which runs as it is.")
    blocks = [
        f"```python\n{text}\n```" if kind == "code" else text
        for kind, text in cells
    ]
    return "\n\n".join([*top, text, *blocks]) + "\n"


def example_pages(root):
    """Returns the pages of all examples, and one that shows them by task."""
    pages, shown = {}, {}
    for path in sorted((root / "examples").glob("*.py")):
        picture = path.with_suffix(".png")
        page = example_page(
            f"examples/{path.name}",
            read(path),
            picture.name if picture.exists() else None,
        )
        pages[f"examples/{path.stem}.md"] = page
        title, _, below = page.removeprefix("# ").partition("\n\n")
        about = below.partition("\n\n")[0]
        link = f"({path.stem}.md)"
        text = f"**[{title}]{link}**"
        if not about.startswith(("!", "This page")):
            text += f"<br>{about}"
        if picture.exists():
            image = f"![{title}]({picture.name}){{ width=240 }}"
            text = f"[{image}]{link}\n\n{text}"
        shown[path.stem] = f"{text}\n"
    listing = ["# Examples\n"]
    named = {stem for stems in TASKS.values() for stem in stems}
    more = {"More": [stem for stem in shown if stem not in named]}
    for task, stems in (TASKS | more).items():
        if stems:
            listing += [f"## {task}\n", *(shown[stem] for stem in stems)]
    return {"examples/index.md": "\n".join(listing), **pages}


def site_paths(root):
    """Returns where files of the project are on the site."""
    paths = {**PAGES, "examples": "examples/index.md"}
    for path in sorted((root / "examples").glob("*.py")):
        paths[f"examples/{path.name}"] = f"examples/{path.stem}.md"
    for folder in PICTURES:
        for path in sorted((root / folder).glob("*.png")):
            paths[f"{folder}/{path.name}"] = f"{folder}/{path.name}"
    for path in (root / "docs").rglob("*"):
        if path.is_file():
            name = path.relative_to(root / "docs").as_posix()
            paths[f"docs/{name}"] = name
    return paths


def relink(text, source, page, paths):
    """Returns a page whose links lead to the same files on the site.

    Args:
        text: The page, with links as they are in the project.
        source: The file of the project that it stands in.
        page: The page of the site that it becomes.
        paths: Where files of the project are on the site.
    """

    def link(match):
        target = posixpath.normpath(
            posixpath.join(posixpath.dirname(source), match[1])
        )
        if target not in paths:
            return match[0]
        start = posixpath.dirname(page) or "."
        return f"]({posixpath.relpath(paths[target], start)}"

    return re.sub(r"\]\(([^)#\s]+)", link, text)


def link_objects(text, page, objects):
    """Returns a page on which the names of public objects lead to theirs.

    Args:
        text: The page. What is changed are names in backquotes, also with a
            method or arguments, outside of code, headings and links.
        page: Where it is on the site.
        objects: What `public_objects` returns.
    """
    pages = {}
    for module, found in objects.items():
        for name, path, *_ in found:
            for spelling in (name, f"{module}.{name}", path):
                pages[spelling] = f"objects/{module}/{name}.md"
    start = posixpath.dirname(page) or "."

    def link(match):
        name = match[1]
        target = pages.get(name) or pages.get(name.rpartition(".")[0])
        # A page does not lead to itself.
        if target in (None, page):
            return match[0]
        return f"[{match[0]}]({posixpath.relpath(target, start)})"

    blocks = re.split(r"(^```.*?^```|^#.*?$)", text, flags=re.M | re.S)
    blocks[::2] = [
        re.sub(r"(?<![\[`])`([\w.]+)(\([^`]*\))?`(?![\]`])", link, block)
        for block in blocks[::2]
    ]
    return "".join(blocks)


def all_pages(root, repository=None):
    """Returns all pages that are made, `{path on the site: Markdown}`."""
    root = pathlib.Path(root)
    copies = {page: read(root / source) for source, page in PAGES.items()}
    objects = object_pages(root, repository)
    return {**copies, **objects, **example_pages(root)}
