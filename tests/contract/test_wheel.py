"""What a user installs: built from the checkout, used far away from it."""

import email
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from public_objects import NOT_SOURCE, REPOSITORY, run_python

import keras_perceptual

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not importlib.util.find_spec("twine"),
        reason="needs what a release is built with: the extra `release`",
    ),
]

USE = """
import json, sys
import numpy as np
import keras
import keras_perceptual

images = np.random.default_rng(0).random((1, 32, 32, 3), dtype="float32")
print(json.dumps({
    "file": keras_perceptual.__file__,
    "losses": [
        float(keras_perceptual.PerceptualLoss(name)(images, 1 - images))
        for name in ("vgg16", "alexnet")
    ],
}))
"""


def copy_checkout(folder):
    """Copies the checkout, as a build writes into what it builds from."""
    shutil.copytree(
        REPOSITORY,
        folder,
        ignore=shutil.ignore_patterns(*NOT_SOURCE, "*.egg-info"),
    )


def git(folder, *arguments):
    """Runs git on a copy, and returns what it prints."""
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    finished = subprocess.run(
        ["git", "-C", folder, *identity, *arguments],
        env=dict(os.environ, GIT_COMMITTER_DATE="2026-11-26T12:00:00Z"),
        check=True,
        capture_output=True,
        text=True,
    )
    return finished.stdout


def release(folder, umask):
    """Runs the script that builds a release, on a commit of a copy."""
    return subprocess.run(
        [
            sys.executable,
            "tools/build_release.py",
            "--draft",
            "--repository=https://example.org/kp",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        umask=umask,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    copy_checkout(folder / "source")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder],
        cwd=folder / "source",
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A commit of what is in the checkout."""
    folder = tmp_path_factory.mktemp("committed") / "first"
    copy_checkout(folder)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=All")
    return folder


@pytest.fixture(scope="module")
def released(committed):
    """The folder with the files of a release of that commit."""
    built = release(committed, umask=0o022)
    assert built.returncode == 0, built.stdout + built.stderr
    return committed / "dist"


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_is_named_after_the_version(wheel):
    version = keras_perceptual.__version__
    assert wheel.name == f"keras_perceptual-{version}-py3-none-any.whl"


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "features/weights/NOTICE.md",
        "features/weights/vgg16.npz",
        "features/weights/alexnet.npz",
        "features/weights/lpips_v0.1.npz",
        "features/weights/dists.npz",
    ],
)
def test_wheel_holds_the_data(name, names):
    assert f"keras_perceptual/{name}" in names


def test_wheel_holds_every_source_file(names):
    package = REPOSITORY / "keras_perceptual"
    for path in package.rglob("*.py"):
        assert path.relative_to(REPOSITORY).as_posix() in names


def test_wheel_holds_the_licenses(names):
    licenses = [name for name in names if ".dist-info/licenses/" in name]
    assert any(name.endswith("/LICENSE") for name in licenses)
    assert any(name.endswith("/NOTICE.md") for name in licenses)


def test_wheel_holds_nothing_else(names):
    version = keras_perceptual.__version__
    folders = {name.split("/")[0] for name in names}
    assert folders == {
        "keras_perceptual",
        f"keras_perceptual-{version}.dist-info",
    }
    assert not [name for name in names if "test" in name]


def test_wheel_works_far_from_the_checkout(wheel, tmp_path):
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", installed, wheel],
        check=True,
    )
    far_away = tmp_path / "far_away"
    far_away.mkdir()
    printed = run_python(USE, cwd=far_away, PYTHONPATH=os.fspath(installed))
    found = json.loads(printed.splitlines()[-1])
    assert found["file"].startswith(os.fspath(installed))
    assert all(loss > 0 for loss in found["losses"])


def test_release_is_the_same_wherever_and_whenever_it_is_built(
    committed, released
):
    again = committed.parent / "second"
    git(committed, "clone", "--quiet", committed, again)
    for path in again.rglob("*"):
        if ".git" not in path.parts:
            os.utime(path, (1e9, 1e9))
    built = release(again, umask=0o077)
    assert built.returncode == 0, built.stdout + built.stderr
    version = keras_perceptual.__version__
    files = {
        f"keras_perceptual-{version}-py3-none-any.whl",
        f"keras_perceptual-{version}.tar.gz",
        f"keras_perceptual-{version}.cdx.json",
        "SHA256SUMS",
    }
    for folder in (released, again / "dist"):
        assert {path.name for path in folder.iterdir()} == files
    for name in files:
        first, second = released / name, again / "dist" / name
        assert first.read_bytes() == second.read_bytes(), name


def test_release_has_its_sums(released):
    lines = (released / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    for line in lines:
        digest, name = line.split("  ")
        data = (released / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest


def test_wheel_of_a_release_is_that_of_the_checkout(wheel, released):
    """It was built from the source distribution, and lacks nothing."""

    def contents(path):
        with zipfile.ZipFile(path) as archive:
            return {
                name: archive.read(name)
                for name in archive.namelist()
                # These say what it was built with, and where it is read.
                if not re.search(r"dist-info/(RECORD|WHEEL|METADATA)$", name)
            }

    (path,) = released.glob("*.whl")
    assert contents(path) == contents(wheel)


def test_package_index_shows_where_the_release_is_read(released):
    (path,) = released.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        (name,) = (x for x in archive.namelist() if x.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    urls = metadata.get_all("Project-URL")
    assert "Source, https://example.org/kp" in urls
    tag = f"v{keras_perceptual.__version__}"
    assert f"(https://example.org/kp/blob/{tag}/docs/faq.md)" in str(
        metadata.get_payload()
    )


def test_source_distribution_holds_every_file(committed, released):
    (path,) = released.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = [member for member in archive if member.isfile()]
    names = {member.name.partition("/")[2] for member in members}
    expected = set(git(committed, "ls-files").splitlines())
    assert expected <= names
    assert all(
        name == "PKG-INFO" or name.startswith("keras_perceptual.egg-info/")
        for name in names - expected
    )
    assert {member.uname for member in members} == {""}
    assert len({member.mtime for member in members}) == 1


def test_bill_of_materials_lists_the_weights(released):
    (path,) = released.glob("*.cdx.json")
    bill = json.loads(path.read_text(encoding="utf-8"))
    (wheel,) = released.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    whole = bill["metadata"]["component"]
    assert whole["version"] == keras_perceptual.__version__
    assert whole["hashes"] == [{"alg": "SHA-256", "content": digest}]
    models = {
        part["name"]: part
        for part in bill["components"]
        if part["type"] == "machine-learning-model"
    }
    paths = (REPOSITORY / "keras_perceptual").rglob("*.npz")
    assert set(models) == {
        path.relative_to(REPOSITORY).as_posix() for path in paths
    }
    assert all(part["licenses"] for part in models.values())
    needed = {part["name"] for part in bill["components"]} - set(models)
    assert needed == {"h5py", "keras", "numpy", "tensorflow"}


def test_release_of_changed_files_is_refused(committed, released):
    changed = committed / "README.md"
    text = changed.read_bytes()
    changed.write_bytes(text + b"More.")
    refused = release(committed, umask=0o022)
    changed.write_bytes(text)
    assert refused.returncode == 1
    assert "M README.md" in refused.stderr


def test_release_beside_other_files_is_refused(committed, released):
    refused = release(committed, umask=0o022)
    assert refused.returncode == 1
    assert "has to be empty" in refused.stderr
