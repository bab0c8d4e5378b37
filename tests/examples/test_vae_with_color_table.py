import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

EXAMPLE = (
    pathlib.Path(__file__).parents[2] / "examples" / "vae_with_color_table.py"
)

pytestmark = pytest.mark.slow

LEFT_BY = {
    "tensorflow": ("tf.numpy_function", "tf.numpy_function(look_up"),
    "torch": ("keras.ops.convert_to_numpy", "ops.convert_to_numpy(images)"),
}


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae_with_color_table")
    finished = subprocess.run(
        [sys.executable, EXAMPLE, "--quick", "--output", "out.png"],
        cwd=folder,
        env=dict(os.environ, MPLBACKEND="agg"),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder, finished.stdout


def line_of(text):
    """Returns the number of the line of the example that has a text."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    (number,) = [n for n, line in enumerate(lines, start=1) if text in line]
    return number


def test_the_table_in_numpy_is_noticed_and_located(quick_run):
    _, printed = quick_run
    said, _, _ = printed.partition("For a table of noise")
    backend = keras.backend.backend()
    if backend == "jax":
        assert "JAX itself refuses" in said
        assert "Pure callbacks do not support JVP" in said
        return
    name, code = LEFT_BY[backend]
    assert "11 of 21 trainable variables cannot learn" in said
    assert f"Cut off from the loss: {name}" in said
    assert f"vae_with_color_table.py:{line_of(code)}" in said
    missing = said.partition("receive no gradient")[2].partition("Every")[0]
    assert "decoder/table/table" in missing
    assert "decoder/unfold/kernel" in missing
    assert "mean/kernel" not in missing
    assert "`keras_perceptual.LookupColorLayer`" in said


def test_both_tables_give_the_same_colors(quick_run):
    _, printed = quick_run
    found = re.search(
        r"as SciPy: the largest difference is (\S+)\.$", printed, re.M
    )
    assert 0 <= float(found[1]) < 1e-6


def test_the_layer_learns(quick_run):
    _, printed = quick_run
    before, after = map(
        float, re.search(r"(\S+) dB before, (\S+) dB after", printed).groups()
    )
    # Before the training everything is gray, whatever the seed.
    assert before == pytest.approx(10.2, abs=0.1)
    assert after > before + 0.1
    mean, largest = map(
        float,
        re.search(r"by (\S+) on average, by (\S+) at most", printed).groups(),
    )
    assert 0.003 < largest < 0.3 and mean < largest


def test_the_model_comes_back_and_the_picture_is_written(quick_run):
    from PIL import Image

    folder, printed = quick_run
    assert "the same pictures" in printed
    assert (folder / "out.keras").stat().st_size > 1e5
    with Image.open(folder / "out.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), "float32")
    height, width, _ = pixels.shape
    assert width > 2 * height
    assert pixels[: height // 4, : width // 2].std() > 40
