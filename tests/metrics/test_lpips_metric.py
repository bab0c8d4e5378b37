import checks
import keras
import numpy as np
import pytest
import torture

import keras_perceptual as kp


def test_is_the_published_distance_by_default():
    images = torture.picture(32, 32)
    metric = kp.LPIPSMetric()
    assert metric.name == "lpips"
    assert metric.loss.backbone == "alexnet"
    metric.update_state(images, 0.5 * images)
    expected = kp.LPIPS()(images, 0.5 * images)
    assert float(metric.result()) == pytest.approx(float(expected), rel=1e-5)


def test_shares_the_loss_that_it_is_given():
    loss = kp.LPIPS("vgg16", weights="random")
    assert kp.LPIPSMetric(loss).loss is loss


@pytest.mark.once
def test_windows():
    images = torture.picture(270, 40)
    metric = kp.LPIPSMetric(tile=256)
    metric.update_state(images, 0.5 * images)
    values = keras.ops.convert_to_numpy(
        metric.loss.per_image(images, 0.5 * images)
    )
    assert float(metric.result()) == pytest.approx(np.mean(values), rel=1e-5)


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match="`ImageLossMetric` for other losses"):
        kp.LPIPSMetric(kp.SobelGradientLoss())


def test_the_obvious_calls_work(rng):
    images = rng.uniform(size=(2, 1, 32, 32, 3)).astype("float32")
    for metric, loss in (
        (kp.LPIPSMetric("alexnet"), kp.LPIPS("alexnet")),
        (kp.LPIPSMetric(value_range=(0, 2)), kp.LPIPS(value_range=(0, 2))),
    ):
        assert metric.loss.get_config() == loss.get_config()
        revived = checks.check_config(metric)
        revived.update_state(*images)
        assert float(revived.result()) == pytest.approx(float(loss(*images)))
    with pytest.raises(ValueError, match="Did you mean 'alexnet'"):
        kp.LPIPSMetric("alex")
    with pytest.raises(ValueError, match=r"Put them into the loss: `LPIPS"):
        kp.LPIPSMetric(kp.LPIPS(weights="random"), value_range=(0, 255))
    with pytest.raises(TypeError, match="resize"):
        kp.LPIPSMetric(resize=256)
