import checks
import keras
import numpy as np
import pytest

import keras_perceptual as kp


@pytest.fixture
def images(rng):
    """Three pairs in eight bits, worse from one to the next."""
    true = rng.integers(0, 256, (3, 24, 20, 3)).astype("float64")
    noise = rng.normal(size=true.shape) * np.reshape([3, 10, 40], (3, 1, 1, 1))
    return true.astype("uint8"), np.clip(true + noise, 0, 255).astype("uint8")


def basicsr(true, pred, border, luma):
    """What `calculate_psnr` of BasicSR computes of one pair of RGB images.

    Written after its source: pixels in (0, 255), `to_y_channel` by the weights
    of MATLAB, the mean squared error in float64.
    """
    true, pred = (np.float64(x) for x in (true, pred))
    if border:
        true, pred = (x[border:-border, border:-border] for x in (true, pred))
    if luma:
        true, pred = (
            255 * ((x / 255) @ [65.481, 128.553, 24.966] + 16) / 255
            for x in (true, pred)
        )
    return 10 * np.log10(255.0**2 / np.mean((true - pred) ** 2))


@pytest.mark.parametrize("border", [0, 4])
@pytest.mark.parametrize("luma", [False, True])
def test_has_the_numbers_of_basicsr(images, border, luma):
    """The mean of the decibels of images, not those of the mean error."""
    expected = [
        basicsr(*pair, border, luma) for pair in zip(*images, strict=True)
    ]
    metric = kp.PSNRMetric(border=border, luma=luma, value_range=(0, 255))
    assert metric.name == "psnr"
    assert float(metric.result()) == 0
    for part in (slice(0, 2), slice(2, 3)):
        metric.update_state(*(x[part] for x in images))
    assert float(metric.result()) == pytest.approx(np.mean(expected), abs=1e-4)


def test_agrees_with_scikit_image(images):
    skimage = pytest.importorskip("skimage.metrics")
    metric = kp.PSNRMetric(value_range=(0, 255))
    metric.update_state(images[0][:1], images[1][:1])
    expected = skimage.peak_signal_noise_ratio(images[0][0], images[1][0])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-4)


def test_equal_images_leave_a_mean(images):
    """And those without weight, even of NaN, nothing."""
    true = np.float32(images[0]) / 255
    metric = kp.PSNRMetric()
    metric.update_state(true, true)
    assert float(metric.result()) == pytest.approx(100, abs=1e-3)
    pred = true + np.float32(0.1)
    mask = np.ones(true.shape[:3], "float32")
    mask[:, :12] = 0
    pred[:, :12] = np.nan
    metric = kp.PSNRMetric(check_range="off")
    metric.update_state(true, pred, mask)
    assert float(metric.result()) == pytest.approx(20, abs=1e-3)


def test_layouts_and_ranges(images):
    first = [np.moveaxis(np.float32(x) / 255, -1, 1) for x in images]
    metric = kp.PSNRMetric(luma=True, border=3, data_format="channels_first")
    metric.update_state(*first)
    other = kp.PSNRMetric(luma=True, border=3, value_range=(0, 255))
    other.update_state(*images)
    assert float(metric.result()) == pytest.approx(
        float(other.result()), abs=1e-4
    )


def test_more_is_better_to_the_callbacks_of_keras(images):
    true, pred = (np.float32(x) / 255 for x in images)
    model = keras.Sequential(
        [keras.Input((24, 20, 3)), keras.layers.Identity()]
    )
    model.compile(loss="mse", metrics=[kp.PSNRMetric()])
    model.evaluate(pred, true, verbose=0)
    callback = keras.callbacks.EarlyStopping("psnr", mode="auto")
    callback.set_model(model)
    callback._set_monitor_op()
    assert callback.monitor_op(2.0, 1.0)


def test_config():
    metric = kp.PSNRMetric(border=2, luma=True, check_range="clip")
    checks.check_config(metric)


def test_what_cannot_be_compared_is_refused(images):
    with pytest.raises(ValueError, match=r"PSNRMetric leaves out 10 pixels"):
        kp.PSNRMetric(border=10, value_range=(0, 255)).update_state(*images)
    with pytest.raises(ValueError, match=r"Received: border=-1"):
        kp.PSNRMetric(border=-1)
    two = [x[..., :2] for x in images]
    with pytest.raises(ValueError, match=r"channels.*Received"):
        kp.PSNRMetric(luma=True, value_range=(0, 255)).update_state(*two)
    with pytest.raises(ValueError, match=r"same shape"):
        kp.PSNRMetric(value_range=(0, 255)).update_state(
            images[0], images[1][:, 1:]
        )


def test_what_is_wrong_is_said_of_the_metric(images):
    metric = kp.PSNRMetric(check_range="raise")
    with pytest.raises(ValueError, match=r"^PSNRMetric: y_true holds values"):
        metric.update_state(*images)
    metric = kp.PSNRMetric(value_range=(0, 255))
    with pytest.raises(ValueError, match=r"^PSNRMetric"):
        metric.update_state(images[0][0], images[1][0])
