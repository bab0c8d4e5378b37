"""What holds at every commit so that it could be released."""

import argparse
import re

import pytest
import yaml
from public_objects import REPOSITORY, load_tool

import keras_perceptual

build_release = load_tool("build_release")
CHANGES = "### Added\n\n- A thing.\n"


def test_version_is_read_without_importing():
    version = build_release.version_of(REPOSITORY)
    assert version == keras_perceptual.__version__


def test_changelog_fits_the_version():
    build_release.check_changelog(
        build_release.read(REPOSITORY / "CHANGELOG.md"),
        keras_perceptual.__version__,
        release=False,
    )


@pytest.mark.parametrize(
    "text, release",
    [
        (f"# Changelog\n\n## [Unreleased]\n\n{CHANGES}", False),
        (f"## [Unreleased]\n\n{CHANGES}\n## [1.2.0] - 2026-11-26\n", False),
        (f"## [Unreleased]\n\n## [1.2.0] - 2026-11-26\n\n{CHANGES}", True),
        (f"## [1.2.0] - 2026-11-26\n\n{CHANGES}\n## [1.1.0]\n", True),
    ],
)
def test_changelog_is_accepted(text, release):
    build_release.check_changelog(text, "1.2.0", release)


@pytest.mark.parametrize(
    "text, release, message",
    [
        ("# Changelog\n", False, r"expected to begin .*headings=\[\]"),
        ("## [1.1.0] - 2026-01-01\n", False, "expected to begin"),
        ("## [Unreleased]\n\n## [1.1.0]\n", False, "not that of the package"),
        (f"## [Unreleased]\n\n{CHANGES}", True, "not that of the package"),
        ("## [Unreleased]\n\n## [1.1.0]\n", True, "not that of the package"),
        (
            f"## [Unreleased]\n\n{CHANGES}\n## [1.2.0]\n",
            True,
            "changes above .*Received: - A thing.",
        ),
    ],
)
def test_changelog_is_refused(text, release, message):
    with pytest.raises(SystemExit, match=message):
        build_release.check_changelog(text, "1.2.0", release)


def test_weights_are_those_of_the_notice():
    build_release.check_weights(REPOSITORY / build_release.WEIGHTS)


def test_other_weights_are_refused(tmp_path):
    for name in build_release.LICENCES:
        (tmp_path / name).write_bytes(b"")
    notice = REPOSITORY / build_release.WEIGHTS / "NOTICE.md"
    (tmp_path / "NOTICE.md").write_bytes(notice.read_bytes())
    with pytest.raises(SystemExit, match=r"not those of its NOTICE.md"):
        build_release.check_weights(tmp_path)


def test_readme_leads_to_files_wherever_it_is_shown():
    readme = build_release.read(REPOSITORY / "README.md")
    shown = build_release.with_addresses(readme, "https://a.org/b", "1.2.0")
    code = re.findall(r"^```.*?^```", readme, re.M | re.S)
    assert code == re.findall(r"^```.*?^```", shown, re.M | re.S)
    links = re.findall(r"\]\(([^)\s]+)", re.sub(r"(?ms)^```.*?^```", "", shown))
    assert links
    for link in links:
        assert re.match(r"https?://", link)
        where, _, path = link.partition("#")[0].partition("/v1.2.0/")
        if path:
            assert (REPOSITORY / path).exists()
            kind = "raw" if path.endswith(".png") else "blob"
            assert where == f"https://a.org/b/{kind}"


@pytest.mark.parametrize("address", ["http://a.org/b", "a.org/b", "https://a"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(argparse.ArgumentTypeError, match="Received: '"):
        build_release.repository_address(address)


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_issue_forms_are_complete(form):
    """A form that lacks one of these is not offered."""
    path = REPOSITORY / f".github/ISSUE_TEMPLATE/{form}.yml"
    given = yaml.safe_load(build_release.read(path))
    assert given["name"] and given["description"]
    for field in given["body"]:
        assert field["type"] == "textarea"
        assert field["attributes"]["label"]


def test_workflow_runs_all_stages():
    script = build_release.read(REPOSITORY / ".ci/run")
    stages = re.search(r"^STAGES=\((.+)\)$", script, re.M)[1].split()
    workflow = check_workflow("ci", ".ci/run ${{ matrix.stage }}")
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"] == {"stage": stages}


def test_newest_versions_run_on_a_schedule():
    workflow = check_workflow("newest", ".ci/run newest")
    # YAML takes the key `on` for a truth value.
    assert workflow[True]["schedule"]


def check_workflow(name, command):
    """Returns a workflow, whose one job runs one command."""
    path = REPOSITORY / f".github/workflows/{name}.yml"
    workflow = yaml.safe_load(build_release.read(path))
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {"contents": "read"}
    assert job["timeout-minutes"] <= 60
    assert [x["run"] for x in job["steps"] if "run" in x] == [command]
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert actions
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", x) for x in actions)
    return workflow
