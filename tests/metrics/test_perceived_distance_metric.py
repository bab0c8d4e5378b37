import checks
import keras
import numpy as np
import pytest
import torture

import keras_perceptual as kp


def test_averages_the_distance():
    images = torture.picture(40, 40)
    metric = kp.PerceivedDistanceMetric()
    assert metric.name == "perceived_distance"
    metric.update_state(images, 0.5 * images)
    expected = kp.PerceivedDistance()(images, 0.5 * images)
    assert float(metric.result()) == pytest.approx(float(expected), rel=1e-5)


def test_shares_the_loss_that_it_is_given():
    loss = kp.PerceivedDistance(size="small")
    assert kp.PerceivedDistanceMetric(loss).loss is loss


def test_windows():
    images = torture.picture(290, 40)
    metric = kp.PerceivedDistanceMetric(tile=256, size="small")
    metric.update_state(images, 0.5 * images)
    values = keras.ops.convert_to_numpy(
        metric.loss.per_image(images, 0.5 * images)
    )
    assert float(metric.result()) == pytest.approx(np.mean(values), rel=1e-5)


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match="`ImageLossMetric` for other losses"):
        kp.PerceivedDistanceMetric(kp.LPIPS(weights="random"))


def test_the_obvious_call_works():
    metric = kp.PerceivedDistanceMetric(size="small", value_range=(0, 255))
    assert metric.loss.size == "small"
    assert metric.loss.value_range == (0, 255)
    checks.check_config(metric)
    with pytest.raises(ValueError, match="Put them into the loss: `Perceived"):
        kp.PerceivedDistanceMetric(metric.loss, size="full")


def test_a_network_may_be_named():
    metric = kp.PerceivedDistanceMetric("vgg16", size="small")
    assert metric.loss.backbone == "vgg16" and metric.loss.size == "small"
