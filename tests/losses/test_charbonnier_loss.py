import checks
import keras
import numpy as np
import pytest
import torture
from distortions import distorted
from reference import pixel_losses as reference

from keras_perceptual.losses import CharbonnierLoss

# From the NumPy twin, of the pictures and their negatives.
GOLDEN = {1e-3: [0.3050382, 0.3060059], 0.1: [0.2302360, 0.2310648]}


@pytest.fixture
def pair(rng):
    shape = (3, 9, 12, 3)
    return (
        rng.uniform(0, 1, shape).astype("float32"),
        rng.uniform(0, 1, shape).astype("float32"),
    )


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3, 0.3])
def test_equals_the_numpy_twin(pair, epsilon):
    found = checks.image_values(CharbonnierLoss(epsilon), *pair)
    expected = reference.charbonnier(*pair, epsilon)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("epsilon", GOLDEN)
def test_golden_values(epsilon):
    image = torture.picture(16, 24)
    found = checks.image_values(CharbonnierLoss(epsilon), image, 1 - image)
    np.testing.assert_allclose(found, GOLDEN[epsilon], rtol=1e-5)


def test_is_larger_by_epsilon_in_basicsr(pair):
    """Whose loss is `sqrt((pred - target)**2 + eps)`, averaged."""
    eps = 1e-4
    theirs = np.mean(np.sqrt((pair[1] - pair[0]) ** 2.0 + eps))
    ours = float(CharbonnierLoss(eps**0.5)(*pair))
    np.testing.assert_allclose(ours, theirs - eps**0.5, rtol=1e-5)


def test_lies_between_its_limits(pair):
    l1 = np.mean(np.abs(pair[1] - pair[0]))
    np.testing.assert_allclose(float(CharbonnierLoss(1e-7)(*pair)), l1, 1e-5)
    # Far below epsilon it is the square, over twice epsilon.
    l2 = np.mean((pair[1] - pair[0]) ** 2)
    np.testing.assert_allclose(
        float(CharbonnierLoss(1e3)(*pair)), l2 / 2e3, rtol=1e-4
    )


def test_small_differences_are_not_lost():
    black = np.zeros((1, 4, 4, 1), "float32")
    found = float(CharbonnierLoss()(black, black + np.float32(1e-6)))
    np.testing.assert_allclose(found, 1e-12 / 2e-3, rtol=1e-4)


@pytest.mark.parametrize("epsilon", [1e-3, 0.3])
def test_finite_differences(pair, epsilon):
    y_true, y_pred = pair
    y_pred = y_true + np.where(y_pred > 0.5, 0.1, -0.1) + 0.05 * y_pred
    loss = CharbonnierLoss(epsilon, value_range=(0, 2))
    checks.check_finite_differences(
        lambda x: loss.call(keras.ops.convert_to_tensor(y_true), x)[0],
        y_pred.astype("float32"),
        step=3e-3,
    )


def test_nothing_that_is_not_finite():
    torture.check_finite(CharbonnierLoss(check_range="off"), 8, 8)


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_contract(rng, channels):
    pair = rng.uniform(0, 1, (2, 2, 6, 5, channels)).astype("float32")
    checks.check_loss_contract(CharbonnierLoss(), *pair)
    checks.check_image_conventions(CharbonnierLoss, *pair)


def test_symmetric(pair):
    loss = CharbonnierLoss()
    np.testing.assert_allclose(
        float(loss(*pair)), float(loss(*pair[::-1])), rtol=1e-6
    )


@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_grows_with_a_distortion(distortion):
    photo, worse = distorted(distortion)
    found = [float(CharbonnierLoss(check_range="off")(photo, x)) for x in worse]
    assert found[0] > 0
    assert np.all(np.diff(found) > 0)


def test_config_keeps_every_argument():
    arguments = {
        "epsilon": 0.25,
        "value_range": [-1.0, 1.0],
        "check_range": "clip",
        "data_format": "channels_first",
        "reduction": "sum",
        "name": "pixels",
        "dtype": "float64",
    }
    revived = checks.check_config(CharbonnierLoss(**arguments))
    assert revived.get_config() == arguments


@pytest.mark.parametrize("epsilon", [0, -1, "small", float("nan")])
def test_wrong_arguments(epsilon):
    with pytest.raises(
        ValueError, match=r"`epsilon`.*above 0.*Received: epsilon="
    ):
        CharbonnierLoss(epsilon)


def test_integer_targets_are_fine_and_integer_predictions_are_not(pair):
    y_true = (255 * pair[0]).astype("uint8")
    loss = CharbonnierLoss(value_range=(0, 255))
    np.testing.assert_allclose(
        float(loss(y_true, 255 * pair[1])),
        float(loss(y_true.astype("float32"), 255 * pair[1])),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match=r"no gradient.*y_pred.dtype=uint8"):
        loss(255 * pair[1], y_true)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(CharbonnierLoss)


def test_what_a_mask_hides_may_hold_anything(rng):
    true, pred = rng.uniform(0, 1, (2, 2, 8, 8, 3)).astype("float32")
    checks.check_hidden(CharbonnierLoss(), true, pred)
