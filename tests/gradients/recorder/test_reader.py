"""A step is taken, and read while it is."""

import numpy as np
import pytest
from gradient_models import healthy_model, regression_data

from keras_perceptual.gradients.recorder.reader import Reader


def test_a_model_that_was_frozen_since_is_refused():
    model = healthy_model()
    model.fit(*regression_data(), verbose=0)
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match=r"model.compile.*frozen=\['net/hid"):
        Reader(model, fresh=False)


@pytest.mark.parametrize(
    "logs, loss",
    [({"loss": np.float32(2)}, 2.0), ({}, np.nan), ({"loss": "x"}, np.nan)],
)
def test_the_loss_of_a_step(logs, loss):
    reader = Reader(healthy_model(), fresh=True)
    reader.steps.logs = lambda outputs: outputs
    np.testing.assert_equal(reader.loss_of(logs), loss)


def test_what_is_broken():
    """A weight, or the loss, if there is one."""
    model = healthy_model()
    reader = Reader(model, fresh=True)
    reader.steps.logs = lambda outputs: outputs
    assert not reader.is_broken({"loss": np.float32(1)}, ())
    assert not reader.is_broken({"accuracy": np.float32(1)}, ())
    assert not reader.is_broken(None, ())
    assert reader.is_broken({"loss": np.float32("inf")}, ())
    weights = model.get_weights()
    weights[0][0, 0] = np.nan
    model.set_weights(weights)
    assert reader.is_broken({"loss": np.float32(1)}, ())
