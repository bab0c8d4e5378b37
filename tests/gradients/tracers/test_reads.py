import threading

import keras
import pytest

from keras_perceptual.gradients import tracers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def reads_noted():
    return tracers.load("reads").reads_noted


def test_variables_that_are_read(reads_noted):
    read, unread = keras.Variable(1.0), keras.Variable(2.0)
    former = vars(keras.Variable).get("value")
    noted = []
    with reads_noted(noted.append):
        keras.ops.add(read, 1.0)
        thread = threading.Thread(target=lambda: unread.value)
        thread.start()
        thread.join()
    assert set(map(id, noted)) == {id(read)}
    assert vars(keras.Variable).get("value") is former


def test_variables_that_are_no_longer_read_by_a_property(
    reads_noted, monkeypatch
):
    monkeypatch.setattr(keras.Variable, "value", lambda self: None)
    noted = []
    with reads_noted(noted.append):
        keras.Variable(1.0).value()
    assert noted == []
