"""The recorder stands in the place of the train function, and leaves it."""

import keras
import pytest
from gradient_models import healthy_model, regression_data

from keras_perceptual.gradients.recorder.flight import Flight, Plan
from keras_perceptual.gradients.recorder.readings import Readings

PLAN = Plan(every=3, on_nonfinite="warn", log_dir=None, max_bytes=2**20)


class Record(keras.callbacks.Callback):
    """Has a training recorded, as the public callback does."""

    def on_train_begin(self, logs=None):
        self.readings = Readings(50)
        self.flight = Flight(
            "Test", self.model, PLAN, self.readings, fresh=True
        )

    def on_epoch_begin(self, epoch, logs=None):
        self.flight.begin_epoch(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        self.flight.begin_step(batch, self.params["steps"])


class Another(keras.callbacks.Callback):
    """Has its own function take the third step, as a check does."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2:
            # On JAX, `self.model` puts variables back, also in a step.
            model = self.model
            former = model.train_function.__self__._reader.function

            def take(*arguments):
                model.train_function = former
                return former(*arguments)

            model.train_function = take


def fit(model, *callbacks, batch_size=4, epochs=1):
    """Trains, by default with eight batches an epoch."""
    model.fit(
        *regression_data(),
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[*callbacks],
    )


def test_steps_that_are_read():
    """The first, and each third."""
    model, record = healthy_model(), Record()
    fit(model, record, epochs=2)
    assert record.readings.steps.tolist() == [1, 3, 6, 9, 12, 15]
    assert [reading.epoch for reading in record.readings][2:4] == [0, 1]
    function = record.flight._reader.function
    assert model.train_function == record.flight._take
    record.flight.close()
    assert model.train_function is function
    assert not record.flight.active
    record.flight.close()


def test_an_epoch_has_a_reading_at_least():
    model, record = healthy_model(), Record()
    fit(model, record, batch_size=32, epochs=5)
    assert record.readings.steps.tolist() == [1, 2, 3, 4, 5]


def test_a_step_that_somebody_else_takes_is_counted():
    model, record = healthy_model(), Record()
    fit(model, record, Another())
    assert record.readings.steps.tolist() == [1, 6]


def test_a_later_fit_is_not_recorded():
    """Where the first one was interrupted, and left it there."""
    model, record = healthy_model(), Record()
    fit(model, record)
    assert len(record.readings) == 3
    fit(model)
    assert len(record.readings) == 3
    assert not record.flight.active


def test_a_step_that_fails_is_not_counted():
    model, record = healthy_model(), Record()

    class Failing(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                flight = record.flight
                flight._reader.function = fail
                flight._reader.taking = fail

    def fail(*arguments):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fit(model, record, Failing())
    assert record.flight.step == 2
