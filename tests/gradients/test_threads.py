"""Several trainings at the same time, some of them checked."""

import gc
import threading
import warnings

import keras
import numpy as np
import pytest
from gradient_models import cut_model, healthy_model, regression_data
from sampling import sample

from keras_perceptual.callbacks import GradientSanityCallback

IS_TENSORFLOW = keras.backend.backend() == "tensorflow"
# In a training alone; the last one is looked into, operation by operation.
STATUSES = [{"ok"}, {"ok"}, None, {"ok", "missing"}]


def make(kind):
    if kind == 3:
        return cut_model(), [GradientSanityCallback(on_missing="ignore")]
    callbacks = [] if kind == 2 else [GradientSanityCallback()]
    return healthy_model(), callbacks


def train(model, callbacks, barrier=None):
    """Returns what is wrong with a training, `None` for nothing."""
    before = model.get_weights()
    try:
        if barrier is not None:
            barrier.wait()
        model.fit(
            *regression_data(24), batch_size=8, verbose=0, callbacks=callbacks
        )
    except Exception as error:
        return repr(error)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(before, model.get_weights(), strict=True)
    ]
    # The last layer in any case.
    return None if all(moved[2:]) else f"not trained: {moved}"


@pytest.mark.parametrize("number", sample([4, 2, 8] if IS_TENSORFLOW else [8]))
def test_trainings_side_by_side(number):
    originals = originals_of_backend()
    made = [
        make(index % 4 if number > 2 else 2 + index) for index in range(number)
    ]
    barrier = threading.Barrier(number)
    troubles = {}

    def run(index):
        troubles[index] = train(*made[index], barrier)

    threads = [
        threading.Thread(target=run, args=(index,)) for index in range(number)
    ]
    with warnings.catch_warnings():
        # They are kept in one place for all threads.
        warnings.simplefilter("ignore")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert troubles == dict.fromkeys(range(number))
        for index, (_, callbacks) in enumerate(made):
            expected = STATUSES[index % 4 if number > 2 else 2 + index]
            for callback in callbacks:
                found = {record.status for record in callback.report}
                assert found == expected
        assert originals_of_backend() == originals
        # Whoever trains later finds everything as it was.
        assert train(healthy_model(), []) is None
        callback = GradientSanityCallback()
        assert train(healthy_model(), [callback]) is None
    assert len(callback.report.ok) == 4


@pytest.mark.parametrize("kind", sample([0, 3]))
def test_objects_of_other_threads_are_left_alone(kind, monkeypatch):
    """Whoever holds them all breaks those that are being made.

    `tuple(x for x in y)` raises a `SystemError` in its thread while somebody
    in another one has a list of all objects there are.
    """

    def get_objects(*args, **kwargs):
        raise AssertionError("all objects were asked for")

    monkeypatch.setattr(gc, "get_objects", get_objects)
    model, (callback,) = make(kind)
    assert train(model, [callback]) is None
    assert {record.status for record in callback.report} == STATUSES[kind]


def originals_of_backend():
    """Returns what the check listens to."""
    if not IS_TENSORFLOW:
        return [vars(keras.Variable).get("value")]
    import tensorflow as tf

    return [
        tf.GradientTape.gradient,
        tf.GradientTape.jacobian,
        tf.RegisterGradient.__call__,
        vars(keras.Variable).get("value"),
        *(
            getattr(type(tf.Variable(0.0)), name)
            for name in ("assign", "assign_add", "assign_sub")
        ),
    ]
