"""What a user installs: built from the checkout, used far away from it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from public_objects import NOT_SOURCE, REPOSITORY, run_python

import keras_perceptual

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # Of a copy, as a build writes into the folder that it builds from.
    shutil.copytree(
        REPOSITORY,
        folder / "source",
        ignore=shutil.ignore_patterns(*NOT_SOURCE, "*.egg-info"),
    )
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


def test_wheel_holds_the_licences(names):
    licences = [name for name in names if ".dist-info/licenses/" in name]
    assert any(name.endswith("/LICENSE") for name in licences)
    assert any(name.endswith("/NOTICE.md") for name in licences)


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
