import checks
import keras
import numpy as np
import pytest
import torture

import keras_perceptual as kp

SETTINGS = {"weights": (0.4, 0.6), "filter_size": 5}


def test_averages_the_similarity_of_images():
    """Of batches of uneven size, and more is better."""
    images = torture.picture(40, 40)
    noise = np.random.default_rng(0).normal(0, 0.1, images.shape)
    pred = np.clip(images + noise, 0, 1).astype("float32")
    metric = kp.MSSSIMMetric(**SETTINGS)
    assert metric.name == "ms_ssim"
    assert float(metric.result()) == 0
    metric.update_state(images, pred)
    metric.update_state(images[:1], images[:1])
    values = kp.functional.ms_ssim(images, pred, **SETTINGS)
    expected = (np.sum(keras.ops.convert_to_numpy(values)) + 1) / 3
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    assert metric._direction == "up"


def test_takes_a_loss_or_its_settings():
    loss = kp.MSSSIMLoss(**SETTINGS)
    assert kp.MSSSIMMetric(loss).loss is loss
    checks.check_config(kp.MSSSIMMetric(loss))
    metric = kp.MSSSIMMetric(value_range=(0, 255))
    assert metric.loss.value_range == (0, 255)
    with pytest.raises(ValueError, match="Put them into the loss"):
        kp.MSSSIMMetric(loss, filter_size=3)
    with pytest.raises(ValueError, match="`ImageLossMetric` for other losses"):
        kp.MSSSIMMetric(kp.CharbonnierLoss())
