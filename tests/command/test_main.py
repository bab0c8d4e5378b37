"""How the command ends, whatever it is given."""

import subprocess
import sys

import pytest

from keras_perceptual.command.main import main


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "COMMAND"),
        (["compare", "a.png"], "image"),
        (["compare", "a.png", "b.png", "--metric", "beauty"], "beauty"),
        (["lut"], "ACTION"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(
    arguments, complaint, capsys
):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1 and complaint in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "nothing.png", "nothing.png"],
        ["compare", ".", "nothing.png"],
        ["lut", "show", "nothing.cube"],
        ["lut", "show", "nothing.exe"],
        ["lut", "apply", "nothing.cube", "nothing.png", "nothing.exe"],
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, capsys):
    assert main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1 and "nothing" in error


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0
    assert "keras-perceptual" in capsys.readouterr().out


@pytest.mark.once
@pytest.mark.slow
def test_module_runs_and_a_closed_pipe_is_no_error(tmp_path):
    path = tmp_path / "look.cube"
    path.write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n")
    command = [sys.executable, "-m", "keras_perceptual", "lut", "show", path]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        process.stdout.close()
        assert process.wait() == 0
        assert "Traceback" not in process.stderr.read()
