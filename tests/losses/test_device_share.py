import checks
import keras
import numpy as np
import pytest
from keras import ops

import keras_perceptual as kp
from keras_perceptual.losses import device_share
from keras_perceptual.losses.device_share import weigh_by_share

DEVICES = (slice(0, 5), slice(5, 7), slice(7, 7))


@pytest.fixture
def images(rng):
    """Seven images, for three devices, of which one has none."""
    return rng.uniform(size=(7, 8, 8, 3)).astype("float32")


def several_devices(monkeypatch, images, weights):
    """Has a loss believe that it is one of several devices."""
    totals = np.float32([len(images), np.sum(weights)])
    backend = device_share._backend
    monkeypatch.setattr(backend, "replica_count", lambda: len(DEVICES))
    monkeypatch.setattr(backend, "replica_total", lambda x: ops.array(totals))


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean", "mean_with_sample_weight"]
)
def test_devices_add_up_to_one(monkeypatch, images, rng, reduction):
    """Each divides by its own images and by the number of devices."""
    weights = rng.uniform(0.5, 2, len(images)).astype("float32")
    by = weights if reduction == "mean_with_sample_weight" else np.ones(7)

    def whole(x):
        values = ops.mean(ops.square(x), axis=(1, 2, 3))
        values = values * ops.convert_to_tensor(weights)
        return ops.sum(values) / float(np.sum(by))

    def share(x, part):
        values = ops.mean(ops.square(x), axis=(1, 2, 3))
        values = values * ops.convert_to_tensor(weights[part])
        own = max(float(np.sum(by[part])), 1e-9)
        loss = ops.sum(values) / (own * len(DEVICES))
        return weigh_by_share(loss, reduction, x, weights[part])

    (expected,) = checks.gradients(whole, images)
    several_devices(monkeypatch, images, by)
    found, shown = [], 0.0
    for part in DEVICES:
        if images[part].size:
            found += list(
                checks.gradients(lambda x, p=part: share(x, p), images[part])[0]
            )
        # As Keras shows it: times the devices, weighed by the images.
        value = float(share(ops.convert_to_tensor(images[part]), part))
        shown += value * len(DEVICES) * len(images[part]) / len(images)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(shown, float(whole(images)), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", None])
def test_sums_stay_as_they_are(monkeypatch, images, reduction):
    several_devices(monkeypatch, images, np.ones(7))
    assert weigh_by_share(2.5, reduction, images[:2]) == 2.5


def test_one_device_has_it_all(images):
    assert weigh_by_share(2.5, "mean", images) == 2.5


def test_every_loss_of_the_package_asks(monkeypatch, images):
    """A sum asks for the losses of Keras, which do not by themselves."""
    several_devices(monkeypatch, images, np.ones(7))
    black = np.zeros_like(images[:2])
    mean = keras.losses.MeanSquaredError()
    # The gradient of two of seven images, by devices that believe to be one
    # of three, is scaled by 3 * 2 / 7.
    for loss in (
        kp.CharbonnierLoss(),
        kp.WeightedSumLoss({"pixels": mean}),
        kp.WeightedSumLoss({"inner": kp.WeightedSumLoss({"pixels": mean})}),
        kp.WeightedSumLoss({"own": kp.CharbonnierLoss()}),
    ):
        monkeypatch.setattr(device_share._backend, "replica_count", lambda: 1)
        (plain,) = checks.gradients(lambda x, f=loss: f(black, x), images[:2])
        monkeypatch.setattr(device_share._backend, "replica_count", lambda: 3)
        (found,) = checks.gradients(lambda x, f=loss: f(black, x), images[:2])
        np.testing.assert_allclose(found, plain * 6 / 7, rtol=1e-5)


def test_where_the_totals_are_not_known_it_stays_as_it_is(monkeypatch, images):
    several_devices(monkeypatch, images, np.ones(7))
    backend = device_share._backend
    monkeypatch.setattr(backend, "replica_total", lambda x: None)
    loss = ops.convert_to_tensor(2.5)
    assert weigh_by_share(loss, "mean", images[:2]) is loss
