"""The site, built once for all tests that look at it."""

import os
import subprocess
import sys

import pytest
from public_objects import REPOSITORY

# Where it would be read, and the sources.
SITE_URL = "https://example.org/site/"
SOURCES_URL = "https://example.org/sources"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, where MkDocs is installed."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    built = subprocess.run(
        [*command, "--site-dir", folder],
        cwd=REPOSITORY,
        env=dict(
            os.environ,
            NO_MKDOCS_2_WARNING="1",
            SITE_URL=SITE_URL,
            REPOSITORY=SOURCES_URL,
        ),
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder
