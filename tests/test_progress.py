import sys

import keras
import pytest

from keras_perceptual import progress


def wait(monkeypatch):
    """Somebody at a terminal has waited long enough."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    # In the test itself: between fixtures and tests pytest changes the output.
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


@pytest.fixture
def quiet():
    keras.config.disable_interactive_logging()
    yield
    keras.config.enable_interactive_logging()


def test_a_bar_is_shown_of_what_takes_long(capsys, monkeypatch):
    wait(monkeypatch)
    assert list(progress.track(range(4))) == [0, 1, 2, 3]
    printed = capsys.readouterr().out
    assert "4/4" in printed and "/part" in printed


def test_a_bar_is_shown_of_what_is_told_how_much_it_is(capsys, monkeypatch):
    wait(monkeypatch)
    assert list(progress.track(iter("abc"), 3)) == ["a", "b", "c"]
    assert "3/3" in capsys.readouterr().out


def test_nothing_is_shown_of_what_is_short(capsys):
    assert list(progress.track("ab")) == ["a", "b"]
    assert list(progress.track([])) == []
    assert capsys.readouterr().out == ""


def test_nothing_is_shown_of_a_single_part(capsys, monkeypatch):
    wait(monkeypatch)
    assert list(progress.track([1])) == [1]
    assert capsys.readouterr().out == ""


def test_nothing_is_shown_where_keras_is_quiet(capsys, monkeypatch, quiet):
    wait(monkeypatch)
    assert list(progress.track(range(4))) == [0, 1, 2, 3]
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_file_is_not_filled_with_bars(capsys, monkeypatch):
    wait(monkeypatch)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert list(progress.track(range(4))) == [0, 1, 2, 3]
    assert capsys.readouterr().out == ""
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert list(progress.track(range(4))) == [0, 1, 2, 3]
    assert "4/4" in capsys.readouterr().out


def test_keras_is_not_imported_for_a_bar(capsys, monkeypatch):
    wait(monkeypatch)
    monkeypatch.delitem(sys.modules, "keras")
    assert list(progress.track(range(4))) == [0, 1, 2, 3]
    assert capsys.readouterr().out == ""
    assert "keras" not in sys.modules
