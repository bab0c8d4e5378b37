import checks
import keras
import numpy as np
import pytest
import torture

import keras_perceptual as kp


def test_is_the_published_distance_by_default():
    images = torture.picture(32, 32)
    metric = kp.DISTSMetric()
    assert metric.name == "dists"
    assert metric.loss.resize is None
    metric.update_state(images, 0.5 * images)
    expected = kp.DISTS()(images, 0.5 * images)
    assert float(metric.result()) == pytest.approx(float(expected), rel=1e-5)


def test_shares_the_loss_that_it_is_given():
    loss = kp.DISTS(weights="random", resize=20)
    assert kp.DISTSMetric(loss).loss is loss


@pytest.mark.slow
@pytest.mark.once
def test_windows():
    images = torture.picture(270, 40)
    metric = kp.DISTSMetric(tile=256)
    metric.update_state(images, 0.5 * images)
    values = keras.ops.convert_to_numpy(
        metric.loss.per_image(images, 0.5 * images)
    )
    assert float(metric.result()) == pytest.approx(np.mean(values), rel=1e-5)


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match="`ImageLossMetric` for other losses"):
        kp.DISTSMetric(kp.SobelGradientLoss())


def test_the_obvious_call_works():
    metric = kp.DISTSMetric(resize=256, value_range=(0, 255))
    assert metric.loss.resize == 256
    assert metric.loss.value_range == (0, 255)
    checks.check_config(metric)
    with pytest.raises(ValueError, match=r"Put them into the loss: `DISTS"):
        kp.DISTSMetric(metric.loss, resize=128)
