import checks
import keras
import numpy as np
import pytest
from sampling import sample

from keras_perceptual import BoundedTable, LookupColorLayer

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(20.0),
    "adam": lambda: keras.optimizers.Adam(0.5),
    "adamw": lambda: keras.optimizers.AdamW(0.5, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.5, clipnorm=1.0),
}


@pytest.mark.parametrize("optimizer", sample(list(OPTIMIZERS)))
def test_holds_after_every_step(rng, optimizer):
    layer = LookupColorLayer(3, table_constraint=BoundedTable(low=0.1))
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    model.compile(OPTIMIZERS[optimizer](), "mse")
    images = rng.uniform(0, 1, (6, 4, 4, 3)).astype("float32")
    for image in images:
        model.train_on_batch(image[None], 3 * image[None] - 1)
        (table,) = layer.get_weights()
        assert table.min() >= np.float32(0.1) and table.max() <= 1.0
    assert (table == 1.0).any() and (table == np.float32(0.1)).any()


def test_config():
    checks.check_config(BoundedTable(low=-1.0, high=2.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 2}, r"`low` to be below.*low=2.0, high=1.0"),
        ({"high": "1"}, r"`high`.*Received: high='1'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BoundedTable(**arguments)
