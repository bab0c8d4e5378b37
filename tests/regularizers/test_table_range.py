import checks
import keras
import numpy as np
import pytest

from keras_perceptual import TableRange


def test_costs_what_lies_outside():
    table = np.float32([[-0.25, 0.0, 0.5], [1.0, 1.5, 0.75]])
    found = TableRange(2.0)(keras.ops.convert_to_tensor(table))
    assert float(found) == pytest.approx(2 * (0.0625 + 0.25) / 6)


def test_pulls_toward_the_range():
    table = np.float32([-1.0, 0.0, 0.5, 1.0, 3.0])
    (found,) = checks.gradients(lambda x: TableRange()(x), table)
    np.testing.assert_allclose(found, [-0.4, 0, 0, 0, 0.8], atol=1e-6)


def test_config():
    checks.check_config(TableRange(0.5, low=-1.0, high=2.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": -1.0}, r"`factor`.*Received: factor=-1.0"),
        ({"low": 1.0}, r"`low` to be below `high`.*low=1.0, high=1.0"),
        ({"high": float("inf")}, r"`high`.*finite.*Received: high=inf"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TableRange(**arguments)
