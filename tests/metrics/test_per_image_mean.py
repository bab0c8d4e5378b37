import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual.metrics.per_image_mean import PerImageMean


class Doubled(PerImageMean):
    """Averages twice the loss."""

    def __init__(self, loss, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.loss = loss

    def _score(self, values):
        return 2 * values


@pytest.mark.parametrize("masked", [False, True])
def test_averages_what_a_subclass_makes_of_a_loss(rng, masked):
    """With a weight for each image, or one for each pixel."""
    images = rng.uniform(size=(2, 3, 16, 16, 3)).astype("float32")
    weights = rng.uniform(size=(3, 16, 16)[: 3 if masked else 1])
    weights = weights.astype("float32")
    loss = kp.CharbonnierLoss()
    metric = Doubled(loss)
    metric.update_state(*images, weights)
    true = (images[0], weights) if masked else images[0]
    values = np.asarray(2 * loss.per_image(true, images[1]))
    expected = np.average(values, weights=None if masked else weights)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
