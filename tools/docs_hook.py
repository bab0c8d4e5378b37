"""Adds the pages of `tools/docs_pages.py` to the site, as MkDocs builds it."""

import pathlib

import docs_pages
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]


def on_files(files, config):
    """Adds pages and pictures that are not in the folder of the site."""
    pages = docs_pages.all_pages(ROOT, (config.repo_url or "").rstrip("/"))
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    for source, page in docs_pages.site_paths(ROOT).items():
        if source.endswith(".png") and not source.startswith("docs/"):
            path = str(ROOT / source)
            files.append(File.generated(config, page, abs_src_path=path))
    return files


def on_page_markdown(markdown, page, **kwargs):
    """Links names to their pages, and files of the project to theirs."""
    paths = docs_pages.site_paths(ROOT)
    sources = {page: source for source, page in paths.items()}
    uri = page.file.src_uri
    # Pages about objects stand in no file, and their links are right.
    markdown = docs_pages.relink(markdown, sources.get(uri, uri), uri, paths)
    return docs_pages.link_objects(
        markdown, uri, docs_pages.public_objects(ROOT)
    )
