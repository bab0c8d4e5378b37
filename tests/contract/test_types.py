"""What type checkers see of the package, from the outside."""

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
import venv

import pytest
from public_objects import NOT_SOURCE, PACKAGE, REPOSITORY, load_tool

CHECKERS = ("mypy", "pyright")
# What a user writes. Each mistake is marked, and nothing else is one.
PROGRAM = """
import keras
import numpy as np

import keras_perceptual as kp

images = np.zeros((2, 64, 64, 3), "float32")
model = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Conv2D(3, 1)])
loss = kp.LPIPS("vgg16", value_range=(-1, 1), check_range="raise")
model.compile("adam", loss)
checking = kp.GradientSanityCallback(on_zero="auto", ignore=["*/bias"])
checking = kp.GradientSanityCallback(on_missing="explode")  # mistake
model.fit(images, images, callbacks=[checking, kp.ImageLogger("logs", images)])

value = float(loss(images, images))
loss((images, images[..., 0]), images, sample_weight=[1.0, 0.5])
loss("photo.png", images)  # mistake
far = kp.functional.ssim(images, [[[[0.0]]]], filter_size=3)
far = kp.functional.sobel_gradient_loss(images, images, 1.5, scales=2)
kp.SSIMLoss(value_range="wrong")  # mistake
kp.SobelGradientLoss("charbonnier", operator="sobl")  # mistake
kp.SobelGradientLoss.preset("midas", value_range=(0, 255))

layer = kp.LookupColorLayer((9, 17, 9), interpolation="tetrahedral")
layer = kp.LookupColorLayer.from_cube("warm.cube", trainable=False)
table = kp.io.read_table("warm.cube")
graded = kp.io.apply_table(table, images, interpolation="linear")
kp.io.resize_table(graded, cube=17)  # mistake
title: str = table.title

scale = keras.Variable(1.0)
report = kp.check_gradients(model, images, images)
report = kp.check_gradients(lambda: scale * 2.0, [scale])
paths = [record.path for record in report.missing if record.norm is None]
print(report.zero[0].reasons)  # mistake
"""


def missing(*names):
    return not all(map(importlib.util.find_spec, names))


def run_checker(checker, file, *, paths=(), python=sys.executable):
    """Returns what a type checker prints about a file."""
    command = {
        "mypy": ["--ignore-missing-imports", f"--python-executable={python}"],
        "pyright": [f"--pythonpath={python}"],
    }[checker]
    environment = dict(os.environ, MYPYPATH=os.pathsep.join(map(str, paths)))
    if checker == "pyright":
        environment["PYTHONPATH"] = os.pathsep.join(
            [*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
    finished = subprocess.run(
        [sys.executable, "-m", checker, *command, file.name],
        cwd=file.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    return finished.stdout + finished.stderr


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("checker", CHECKERS)
def test_mistakes_of_a_user_are_seen_and_nothing_else(checker, tmp_path):
    if missing(checker):
        pytest.skip(f"{checker} is not installed")
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    printed = run_checker(checker, file, paths=[REPOSITORY])
    found = re.findall(r"program\.py:(\d+)(?::\d+)?(?: -|:) error", printed)
    marked = [
        str(number)
        for number, line in enumerate(PROGRAM.splitlines(), start=1)
        if line.endswith("# mistake")
    ]
    assert len(marked) == 6
    assert sorted(set(found), key=int) == marked, printed


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(missing("setuptools"), reason="builds by itself")
def test_an_editable_install_is_a_path_that_checkers_follow(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((REPOSITORY / name).read_bytes())
    for path in PACKAGE.rglob("*.py"):
        if not NOT_SOURCE & set(path.parts):
            copy = source / path.relative_to(REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (source / PACKAGE.name / "py.typed").touch()
    build = (
        "import setuptools.build_meta, zipfile\n"
        "name = setuptools.build_meta.build_editable('.')\n"
        "zipfile.ZipFile(name).extractall('installed')\n"
    )
    subprocess.run(
        [sys.executable, "-c", build],
        cwd=source,
        check=True,
        capture_output=True,
    )
    installed = source / "installed"
    (link,) = installed.glob("*.pth")
    assert link.read_text().split() == [str(source)]
    assert list(installed.glob("*.py")) == []
    if missing("mypy"):
        return
    venv.create(tmp_path / "venv")
    (site,) = (tmp_path / "venv").rglob("site-packages")
    (site / link.name).write_bytes(link.read_bytes())
    file = tmp_path / "program.py"
    file.write_text(
        textwrap.dedent(
            """
            from keras_perceptual.losses.presets import PRESETS
            reveal_type(PRESETS)
            """
        )
    )
    python = next((tmp_path / "venv").glob("[bS]*/python*"))
    printed = run_checker("mypy", file, python=python)
    assert "johnson2016_style" in printed


@pytest.mark.parametrize(
    "module",
    ["", ".io", ".losses", ".gradients", ".functional"],
)
def test_a_module_shows_its_public_names_alone(module):
    found = importlib.import_module(f"keras_perceptual{module}")
    assert dir(found) == sorted(found.__all__)
    assert all(hasattr(found, name) for name in found.__all__)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(missing("pyright"), reason="needs pyright")
def test_an_unknown_type_is_found():
    tool = load_tool("check_types")
    known = {"name": "a", "isTypeKnown": True, "isTypeAmbiguous": False}
    other = {**known, "name": "keras_perceptual.f", "isTypeKnown": False}
    other["diagnostics"] = [{"message": 'Type of parameter "x" is missing'}]
    assert tool.unknown([known, other]) == {
        "keras_perceptual.f": ['Type of parameter "x" is missing']
    }
