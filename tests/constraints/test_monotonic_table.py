import checks
import keras
import numpy as np
import pytest
from sampling import rarely, sample

from keras_perceptual import LookupColorLayer, MonotonicTable

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(5.0),
    "adam": lambda: keras.optimizers.Adam(0.2),
    "adamw": lambda: keras.optimizers.AdamW(0.2, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1, clipnorm=1.0),
}


@pytest.mark.parametrize(
    ("optimizer", "dimensions", "axes"),
    [
        *sample([(optimizer, 3, "own") for optimizer in OPTIMIZERS], 4),
        rarely(("sgd", 1, "own")),
        ("sgd", 3, "all"),
    ],
)
def test_holds_after_every_step(rng, optimizer, dimensions, axes):
    layer = LookupColorLayer(
        4, dimensions=dimensions, table_constraint=MonotonicTable(axes=axes)
    )
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    model.compile(OPTIMIZERS[optimizer](), "mse")
    images = rng.uniform(0, 1, (5, 4, 4, 3)).astype("float32")
    for image in images:
        # What is asked for falls.
        model.train_on_batch(image[None], 1 - image[None])
        (table,) = layer.get_weights()
        assert table.min() >= 0 and table.max() <= 1
        for axis in range(dimensions):
            own = axes == "own" and dimensions == 3
            part = table[..., axis] if own else table
            assert np.all(np.diff(part, axis=axis) >= 0)
    assert table.std() > 0


def test_the_identity_stays_as_it_is():
    layer = LookupColorLayer(9, table_constraint=MonotonicTable(axes="all"))
    layer.build((None, 4, 4, 3))
    found = layer.table_constraint(layer.table.value)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(found), layer.get_weights()[0]
    )


def test_config():
    checks.check_config(MonotonicTable(axes="all", low=-1.0, high=2.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axes": "blue"}, r"`axes`.*\['own', 'all'\].*axes='blue'"),
        ({"low": 1.5}, r"`low` to be below.*low=1.5, high=1.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MonotonicTable(**arguments)
