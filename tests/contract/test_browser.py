"""The site as a browser shows it, where there is a Chromium."""

import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import threading
import urllib.parse

import pytest
from searches import SEARCHES

PROBE = pathlib.Path(__file__).with_name("browser_probe.html")
# A telephone, and a small computer.
WIDTHS = (390, 1280)
# Of text to its background, as the Web Content Accessibility Guidelines ask.
LEAST_CONTRAST = 4.5
SECONDS = 300


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site, and takes what the probe has found."""

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.found = json.loads(self.rfile.read(length))
        self.send_response(204)
        self.end_headers()
        self.server.has_found.set()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def found(site, tmp_path_factory):
    """What a browser finds on all pages, and for all searches."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    folder = tmp_path_factory.mktemp("browser")
    served = shutil.copytree(site, folder / "site")
    pages = sorted(str(p.relative_to(served)) for p in served.rglob("*.html"))
    shutil.copy(PROBE, served)
    asked = {
        # Its links are those of a server of its own.
        "pages": [page for page in pages if page != "404.html"],
        "widths": WIDTHS,
        "words": list(SEARCHES),
    }
    handler = functools.partial(Handler, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.has_found = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = (
            f"http://127.0.0.1:{server.server_port}/{PROBE.name}#"
            + urllib.parse.quote(json.dumps(asked))
        )
        process = subprocess.Popen(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={folder / 'profile'}",
                address,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert server.has_found.wait(SECONDS), "the browser is not done"
        finally:
            process.kill()
            process.wait()
            server.shutdown()
    assert len(server.found["pages"]) == len(asked["pages"]) * len(WIDTHS) > 100
    return server.found


def test_no_page_is_wider_than_the_window(found):
    assert [
        (page["page"], page["width"], page["overflow"])
        for page in found["pages"]
        if page["overflow"] > 0
    ] == []


@pytest.mark.parametrize("scheme", ["default", "slate"])
def test_text_can_be_read_by_day_and_by_night(found, scheme):
    assert [
        (page["page"], page["contrasts"][scheme])
        for page in found["pages"]
        if page["contrasts"][scheme] < LEAST_CONTRAST
    ] == []


@pytest.mark.parametrize(("words", "page"), SEARCHES.items())
def test_search_finds_the_page_among_the_first_two(found, words, page):
    (links,) = (x["links"] for x in found["searches"] if x["words"] == words)
    pages = list(dict.fromkeys(link.split("#")[0] for link in links))
    assert page in pages[:2], pages[:5]
