import keras
import numpy as np
import pytest
from reference.similarities import GOLDEN

from keras_perceptual.ops import kernel_inception_distance


@pytest.fixture
def features():
    """Those that torchmetrics was asked about."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 12))
    return true.astype("float32"), rng.normal(0.3, 1.2, (40, 12)).astype(
        "float32"
    )


def distance(*features, **config):
    return float(kernel_inception_distance(*features, **config))


def test_has_the_numbers_of_torchmetrics(features):
    known = GOLDEN["distances"]
    assert distance(*features) == pytest.approx(known["all"], rel=1e-5)
    found = distance(*features, degree=2, gamma=0.5, coef=2.0)
    assert found == pytest.approx(known["quadratic"], rel=1e-5)


def test_counts_what_is_seen_alone(features):
    """Whatever else is there, NaN too, as in a buffer that is not full."""
    true, pred = (x.copy() for x in features)
    seen = np.float32([0] * 20 + [1] * 20)
    true[:20] = np.nan
    pred[0] = np.inf
    found = distance(true, pred, seen=keras.ops.convert_to_tensor(seen))
    known = GOLDEN["distances"]["first and last"][1]
    assert found == pytest.approx(known, rel=1e-5)


def test_is_zero_where_there_are_no_pairs(features):
    assert distance(*(x[:1] for x in features)) == 0


def test_is_zero_on_average_for_sets_that_are_drawn_alike(rng):
    sets = rng.normal(size=(2, 60, 5, 4)).astype("float32")
    found = [distance(*pair) for pair in zip(*sets, strict=True)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


def test_what_cannot_be_compared_is_refused(features):
    true, pred = features
    for one, other in (
        (true, pred[:, :3]),
        (true[:7], pred),
        (true[0], true[0]),
    ):
        with pytest.raises(ValueError, match=r"Received: true\.shape="):
            kernel_inception_distance(one, other)
    for config in ({"degree": 0}, {"gamma": -1}, {"coef": "a"}):
        ((name, value),) = config.items()
        with pytest.raises(ValueError, match=rf"Received: {name}={value!r}"):
            kernel_inception_distance(true, pred, **config)
