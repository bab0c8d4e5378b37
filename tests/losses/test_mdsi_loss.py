import checks
import keras
import numpy as np
import pytest
import torture
from distortions import distorted
from reference import similarities
from sampling import once

from keras_perceptual import MDSILoss

CONFIGS = [{}, {"c1": 30.0, "c2": 10.0, "c3": 90.0, "alpha": 0.9}]


@pytest.fixture
def pair(rng):
    return rng.uniform(0, 1, (2, 2, 12, 17, 3)).astype("float32")


@pytest.mark.parametrize("config", once(CONFIGS), ids=str)
def test_contract(config, pair):
    checks.check_loss_contract(MDSILoss(**config), *pair)


@pytest.mark.once
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_same_picture_in_every_range_and_layout(config, pair):
    checks.check_image_conventions(
        lambda **arguments: MDSILoss(**config, **arguments), *pair
    )


@pytest.mark.parametrize("channels", once([3, 1]))
def test_no_input_gives_a_gradient_that_is_not_finite(channels):
    """Not flat ones either, nor equal ones, for which piq has none."""
    loss = MDSILoss(check_range="off")
    torture.check_finite(loss, 8, 7, channels, dtypes=("float32",))


@pytest.mark.once
def test_has_the_numbers_of_piq_in_every_range_and_of_gray_images():
    loss = MDSILoss(value_range=(-1, 1))
    for true, pred, known in similarities.pairs("astronaut_64x64"):
        pair = 2 * true - 1, 2 * pred - 1
        found = float(loss(*pair))
        np.testing.assert_allclose(found, known["mdsi"], atol=1e-5)
        found = float(loss(*(x[..., :1] for x in pair)))
        np.testing.assert_allclose(found, known["mdsi_gray"], atol=1e-5)


def test_a_mask_of_a_part_gives_the_loss_of_that_part(pair):
    """Hidden pixels are as black as what lies beyond the border."""
    true, pred = pair
    mask = np.zeros(true.shape[:3], "float32")
    mask[:, 3:9, :11] = 1
    loss = MDSILoss()
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(loss.per_image((true, mask), pred)),
        checks.image_values(loss, true[:, 3:9, :11], pred[:, 3:9, :11]),
        rtol=1e-5,
    )


@pytest.mark.once
def test_grows_with_every_distortion():
    loss = MDSILoss()
    for kind in ("blur", "noise", "jpeg"):
        photo, worse = distorted(kind, 64)
        values = [float(loss(photo, x)) for x in (photo, *worse)]
        assert values == sorted(values)


def test_lost_edges_count_more_than_added_ones(rng):
    """Which tells the target from the prediction."""
    flat = np.full((1, 16, 16, 1), 0.5, "float32")
    edges = flat.copy()
    edges[:, 4:8, 4:8] = 1
    loss = MDSILoss()
    assert float(loss(edges, flat)) > 1.1 * float(loss(flat, edges))


def test_gradients_stay_moderate_where_images_become_equal(pair):
    """Where the fourth root of what is left would have an endless slope."""
    true, noise = pair
    loss = MDSILoss()
    largest = []
    for size in (1e-2, 1e-4, 1e-6, 0):
        near = np.float32(0.5 * true + size * noise)
        (gradient,) = checks.gradients(
            lambda x: loss(np.float32(0.5 * true), x), near
        )
        largest.append(np.abs(gradient).max())
    assert max(largest) < 100
    assert largest[-1] == 0


def test_what_cannot_be_compared_is_refused(pair):
    with pytest.raises(ValueError, match="with 1 or 3 channels"):
        MDSILoss()(pair[0][..., :2], pair[1][..., :2])
    for config in ({"c1": 0}, {"c2": -1}, {"c3": "x"}, {"alpha": 1.5}):
        ((name, value),) = config.items()
        with pytest.raises(ValueError, match=rf"Received: {name}={value!r}"):
            MDSILoss(**config)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(MDSILoss)
