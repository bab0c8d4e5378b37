import checks
import keras
import numpy as np
import pytest
from sampling import sample

from keras_perceptual import LookupColorLayer, TableSmoothness, ops


@pytest.mark.slow
@pytest.mark.parametrize("order", sample([1, 2]))
def test_smooths_what_was_not_seen(rng, order):
    """A table of noise, of which the data touch one color in the middle."""

    def bumps(factor):
        layer = LookupColorLayer(
            7,
            dimensions=1,
            table_regularizer=TableSmoothness(factor, order=order),
        )
        layer.set_table(np.clip(rng.normal(0.5, 0.2, (7, 3)), 0, 1))
        model = keras.Sequential([keras.Input((2, 2, 3)), layer])
        model.compile(keras.optimizers.SGD(0.5), "mse")
        # A step for each; to begin an epoch takes longer than that.
        gray = np.full((200, 2, 2, 3), 0.5, "float32")
        model.fit(gray, gray, batch_size=1, verbose=0)
        return np.abs(np.diff(layer.get_weights()[0], 2, axis=0)).max()

    assert bumps(1.0) < 0.2 * bumps(0.0)


def test_the_identity_is_straight():
    table = keras.ops.convert_to_tensor(ops.identity_cube(5))
    assert float(TableSmoothness(1.0, order=2)(table)) < 1e-13
    # Steps of a quarter, of each channel along its own axis; twice at the ends.
    expected = 3 * (1 / 3) * (6 / 4) / 16
    assert float(TableSmoothness(1.0)(table)) == pytest.approx(expected)


def test_config():
    checks.check_config(TableSmoothness(0.5, order=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": -1}, r"`factor`.*at least 0. Received: factor=-1"),
        ({"order": 3}, r"`order`.*\[1, 2\].*Received: order=3"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TableSmoothness(**arguments)
