import sys

import pytest

from keras_perceptual.plotting import import_pillow, import_pyplot


def test_pyplot_is_returned():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    assert import_pyplot("A picture", "look away") is pyplot


def test_without_matplotlib_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = (
        r"^A picture needs matplotlib\..*`pip install matplotlib`, or look "
        r"away\. Received: .*matplotlib"
    )
    with pytest.raises(ImportError, match=message):
        import_pyplot("A picture", "look away")


def test_pillow_is_returned():
    image = pytest.importorskip("PIL.Image")
    assert import_pillow("A picture", "look away").Image is image


def test_without_pillow_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    message = (
        r"^A picture needs Pillow\..*`pip install pillow`, or look away\. "
        r"Received: .*PIL"
    )
    with pytest.raises(ImportError, match=message):
        import_pillow("A picture", "look away")
