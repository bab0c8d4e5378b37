"""What `doctor` says of an installation, a broken one as well."""

import pytest

import keras_perceptual as kp
from keras_perceptual.command import doctor
from keras_perceptual.command.main import main


@pytest.mark.slow
@pytest.mark.once
def test_everything_works_here(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = {line[:18].strip(): line[18:] for line in lines}
    assert facts["keras_perceptual"] == kp.__version__
    assert [facts[name] for name in doctor.CHECKS] == ["works"] * 3


def test_what_fails_is_said_and_the_rest_is_tried(monkeypatch, capsys):
    def fail():
        raise OSError("weights.npz\nis missing")

    monkeypatch.setattr(doctor, "CHECKS", {"a": fail, "b": lambda: None})
    monkeypatch.setitem(doctor.OPTIONAL, "no-such-package", "nothing")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAILS: OSError: weights.npz is missing" in out
    assert out.endswith(f"{'b':18}works\n")
    assert "pip install no-such-package" in out
