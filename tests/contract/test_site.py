"""The site: its pages, where their links lead, and how it is built."""

import ast
import contextlib
import doctest
import importlib.metadata
import inspect
import io
import json
import linecache
import pathlib
import re
import sys
import urllib.parse

import pytest
from public_objects import REPOSITORY, load_tool
from searches import SEARCHES

import keras_perceptual

docs_pages = load_tool("docs_pages")
TEXTS = [
    REPOSITORY / name
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
] + sorted((REPOSITORY / "docs").rglob("*.md"))
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))
# Pages whose blocks of Python are run, one after the other. Fragments, which
# need a cluster or data of the reader's, are fenced as `py`.
GUIDES = [
    path
    for path in TEXTS
    if "\n```python\n" in path.read_text(encoding="utf-8")
    # It has a test of its own, which looks at what is drawn.
    and path.name not in ("looking_at_training.md", "CONTRIBUTING.md")
]


def public_objects():
    """Returns every public object that has a home, `{id: (home, name)}`."""
    return {
        id(value): (module_name, name)
        for module_name, module in vars(keras_perceptual).items()
        if inspect.ismodule(module)
        and not module_name.startswith("_")
        and hasattr(module, "__path__")
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }


def test_every_public_object_has_one_page():
    pages = docs_pages.object_pages(REPOSITORY)
    expected = {
        f"objects/{module}/{name}.md"
        for module, name in public_objects().values()
    }
    assert set(pages) == expected | {"objects/index.md"}
    shown = [
        re.search(r"^::: (.+)$", page, re.M)[1]
        for name, page in pages.items()
        if name != "objects/index.md"
    ]
    assert len(set(shown)) == len(shown)
    for path in shown:
        value = keras_perceptual
        for name in path.split(".")[1:]:
            value = getattr(value, name)
        assert id(value) in public_objects()


def test_objects_are_listed_with_what_they_are_for():
    listing = docs_pages.object_pages(REPOSITORY)["objects/index.md"]
    assert (
        "- [`LPIPS`](losses/LPIPS.md): Compares images by features that were "
        "weighted by what people said." in listing
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_page_of_an_example_holds_all_of_it(path):
    page = docs_pages.example_pages(REPOSITORY)[f"examples/{path.stem}.md"]
    assert page.startswith("# ")
    assert (f"]({path.stem}.png)" in page) == path.with_suffix(".png").exists()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S))
    source = path.read_text(encoding="utf-8")
    for line in source.splitlines():
        # Text is shown as it is; the header and the quotes around it are not.
        header = re.match(r"(Title|Author|Date|Last|Description|Accel)", line)
        if not line.startswith('"""') and not header:
            assert line in page or line.startswith("    ")
    for name in re.findall(r"^(?:def|class) (\w+)", source, re.M):
        assert re.search(rf"^(?:def|class) {name}\b", code, re.M)


def test_example_page():
    source = (
        '"""\nTitle: Two lines\nDescription: A picture of\n    two lines.\n\n'
        '## Introduction\n\nText.\n"""\n\nimport keras\n\n"""\n## Lines\n"""\n'
        '\ndef draw():\n    """Draws."""\n'
    )
    assert docs_pages.example_page("examples/two.py", source, "two.png") == (
        "# Two lines\n\nA picture of two lines.\n\n![Two lines](two.png)\n\n"
        "This page is the file `examples/two.py`, which runs as it is.\n\n"
        "## Introduction\n\nText.\n\n```python\nimport keras\n```\n\n"
        '## Lines\n\n```python\ndef draw():\n    """Draws."""\n```\n'
    )


def test_links_between_files_become_links_between_pages():
    paths = {
        "README.md": "index.md",
        "docs/guide.md": "guide.md",
        "examples/two.py": "examples/two.md",
    }

    def relink(text, source):
        return docs_pages.relink(text, source, paths[source], paths)

    text = "[a](../README.md#top) [b](../examples/two.py) [c](no.md)"
    assert relink(text, "docs/guide.md") == (
        "[a](index.md#top) [b](examples/two.md) [c](no.md)"
    )
    assert relink("[a](docs/guide.md)", "README.md") == "[a](guide.md)"
    assert relink("[a](../docs/guide.md)", "examples/two.py") == (
        "[a](../guide.md)"
    )
    assert relink("[a](https://keras.io)", "README.md") == (
        "[a](https://keras.io)"
    )


def test_names_lead_to_their_pages():
    objects = {
        "losses": [
            docs_pages.PublicObject("LPIPS", "keras_perceptual.LPIPS", "", "")
        ]
    }
    page = "objects/losses/LPIPS.md"

    def link(text):
        return docs_pages.link_objects(text, "examples/two.md", objects)

    target = "../objects/losses/LPIPS.md"
    assert link("`LPIPS`") == f"[`LPIPS`]({target})"
    assert link("`LPIPS.call`") == f"[`LPIPS.call`]({target})"
    assert link('`losses.LPIPS("vgg16")`') == (
        f'[`losses.LPIPS("vgg16")`]({target})'
    )
    for text in (
        "```python\n`LPIPS`\n```",
        "# `LPIPS`",
        "[`LPIPS`](other.md)",
        "`SSIM`",
        "``LPIPS``",
    ):
        assert link(text) == text
    assert docs_pages.link_objects("`LPIPS`", page, objects) == "`LPIPS`"


def test_docstrings_are_shown_by_their_sections():
    pytest.importorskip("griffe")
    docs_docstrings = load_tool("docs_docstrings")
    docstring = (
        "Does.\n\nCall arguments:\n    x: A number.\n\nReturns:\n"
        "    A number\n    of two lines.\n\nExample:\n\n>>> f(1)\n2\n\n"
        "Raises:\n    ValueError: Never.\n"
    )

    def heading(name):
        return f'<p><span class="doc-section-title">{name}:</span></p>'

    assert docs_docstrings.to_google_style(docstring) == (
        "Does.\n\nArgs: Call arguments:\n    x: A number.\n\n"
        f"{heading('Returns')}\n\nA number\nof two lines.\n\n"
        f"{heading('Example')}\n\n\n```pycon\n>>> f(1)\n2\n```\n\n"
        "Raises:\n    ValueError: Never.\n"
    )


def test_docstrings_are_those_of_help():
    """What stands once in the code is on every page."""
    pytest.importorskip("griffe")
    docs_docstrings = load_tool("docs_docstrings")
    lpips = keras_perceptual.functional.lpips
    source = inspect.getsource(lpips)
    docstring = source.split('"""')[1]
    assert "value_range:" not in docstring
    assert docs_docstrings.fill(
        docstring,
        [source.partition("\n")[0].removeprefix("@")],
        list(inspect.signature(lpips).parameters),
    ) == (lpips.__doc__)
    with pytest.raises(ValueError, match="Received: 'LPIP'"):
        docs_docstrings.class_docstring("LPIP")


def links(text):
    """Returns where the links and pictures of a page lead."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.findall(r"\]\(([^)]+)\)", re.sub(r"`[^`]*`", "", text))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for link in links(path.read_text(encoding="utf-8")):
        parts = urllib.parse.urlsplit(link)
        if parts.scheme:
            # Nothing is fetched: the form is all that is looked at.
            assert parts.scheme == "https", link
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc)
        elif parts.path:
            assert (path.parent / parts.path).exists(), link


def test_links_are_found():
    assert links("[a](b.md) `[c](d)`\n```\n[e](f)\n```\n![g\nh](i.png)") == [
        "b.md",
        "i.png",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_page_runs_and_prints_what_it_says(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?",
        path.read_text(encoding="utf-8"),
        re.M | re.S,
    )
    compare = doctest.OutputChecker().check_output
    names = {"__name__": "page"}
    for code, expected in blocks:
        # Errors show lines of it.
        program = tmp_path / "train.py"
        program.write_text(code, encoding="utf-8")
        linecache.checkcache(str(program))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(program), "exec"), names)
        if expected:
            found = printed.getvalue()
            assert compare(expected, found, doctest.ELLIPSIS), found


# What comes with the package.
INSTALLED = {"h5py", "keras", "keras_perceptual", "numpy", "tensorflow"}


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_page_says_what_else_its_code_needs(path):
    """Or the first thing that readers see is that a module is missing."""
    text = path.read_text(encoding="utf-8")
    packages = importlib.metadata.packages_distributions()
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        for node in ast.walk(ast.parse(block[1])):
            names = [x.name for x in getattr(node, "names", [])]
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            elif not isinstance(node, ast.Import):
                continue
            modules = {name.partition(".")[0] for name in names}
            for module in modules - sys.stdlib_module_names - INSTALLED:
                (package,) = packages.get(module, [module])
                told = re.search(rf"pip install .*{package}", text, re.I)
                assert told and told.start() < block.start(), module


def test_readme_is_short():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900


def test_site_has_a_page_for_each_object(site):
    for module, name in public_objects().values():
        page = site / "objects" / module / f"{name}.html"
        text = page.read_text(encoding="utf-8")
        paths = {
            f"keras_perceptual.{module}.{name}",
            f"keras_perceptual.{name}",
        }
        headings = re.findall(r'<h1 id="([^"]+)"', text)
        assert len(headings) == 1
        assert headings[0] in paths


def test_pages_say_where_they_are_read_and_where_the_source_is(site):
    text = (site / "objects/losses/LPIPS.html").read_text(encoding="utf-8")
    address = "https://example.org/site/objects/losses/LPIPS.html"
    assert f'<meta property="og:url" content="{address}">' in text
    picture = re.search(
        r'og:image" content="https://example.org/site/([^"]+)"', text
    )[1]
    assert (site / picture).is_file()
    assert address in (site / "sitemap.xml").read_text(encoding="utf-8")
    (path, line), *others = re.findall(
        r'"https://example.org/sources/blob/HEAD/([^"#]+)#L(\d+)"', text
    )
    lines = (REPOSITORY / path).read_text(encoding="utf-8").splitlines()
    assert not others
    assert lines[int(line) - 1].startswith("class LPIPS(")


def test_examples_are_shown_by_what_they_do(site):
    index = docs_pages.example_pages(REPOSITORY)["examples/index.md"]
    for path in EXAMPLES:
        assert index.count(f"]({path.stem}.md)**") == 1
    assert "## More" not in index
    text = (site / "examples/index.html").read_text(encoding="utf-8")
    assert re.search(
        r'<img [^>]*src="super_resolution.png"[^>]*width="240"', text
    )


def test_site_shows_examples_of_docstrings_as_code(site):
    for page in (site / "objects").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<blockquote>" not in text
        assert "Call arguments:</p>" not in text
    text = (site / "objects/losses/LPIPS.html").read_text(encoding="utf-8")
    assert '<span class="gp">&gt;&gt;&gt; </span>' in text
    assert "Call arguments:</span>" in text


def test_site_fetches_nothing(site):
    fetched = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched += re.findall(
            r'<(?:script|img|iframe)[^>]+src="(http[^"]+)', text
        )
        fetched += [
            tag
            for tag in re.findall(r"<link[^>]+>", text)
            if "http" in tag and 'rel="canonical"' not in tag
        ]
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        fetched += re.findall(r"(?:url\(|@import )[\"']?(http[^\"')]+)", text)
    assert fetched == []


def test_home_is_the_readme(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for heading in re.findall(r"^## (.+)$", readme, re.M):
        assert f">{heading}<" in text
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme):
        assert f'src="{picture}"' in text
        assert pathlib.Path(site / picture).is_file()


@pytest.mark.parametrize(("words", "page"), SEARCHES.items())
def test_the_index_leads_to_the_page(search, words, page):
    # All of the words, but for those that are in every text.
    found = search.search(" ".join(f"+{word}" for word in words.split()))
    found = found or search.search(words)
    pages = dict.fromkeys(hit["ref"].split("#")[0] for hit in found)
    assert page in list(pages)[:2], list(pages)[:5]


@pytest.fixture(scope="module")
def search(site):
    """The index that the pages search in, weighed as they do."""
    lunr = pytest.importorskip("lunr")
    path = site / "search" / "search_index.json"
    entries = json.loads(path.read_text(encoding="utf-8"))["docs"]
    for entry in entries:
        for name in ("title", "text"):
            text = re.sub(r"<[^>]+>", " ", entry[name])
            entry[name] = re.sub(r"\W+", " ", text)
    return lunr.lunr(
        ref="location",
        fields=[
            {"field_name": "title", "boost": 1000},
            {"field_name": "text", "boost": 1},
        ],
        documents=entries,
    )
