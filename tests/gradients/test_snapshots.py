import random

import keras
import numpy as np
import pytest
from gradient_models import healthy_model, regression_data
from keras import layers

from keras_perceptual.gradients import snapshots


class Stateful(layers.Layer):
    """Has an attribute of every kind that a step may change."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.count, self.rate, self.word = 1, 0.5, "a"
        self.flag, self.nothing = True, None
        self.pair, self.seen = (1, 2), [1]
        self.table, self.names = {"a": 1}, {"x"}
        self.lists = [[1], [2]]

    def call(self, inputs):
        return inputs


def stateful_model():
    model = keras.Sequential(
        [keras.Input((4,)), Stateful(), layers.Dense(1)], name="net"
    )
    model.compile("sgd", "mse")
    return model


def read(variable):
    return keras.ops.convert_to_numpy(variable.value)


def test_variables_that_a_step_may_change():
    """The slots of an optimizer are as many as the weights, and idle."""
    model = healthy_model("adam", metrics=["mae"])
    model.train_on_batch(*regression_data(8))
    found = snapshots.variables_of_step(model)
    assert len(found) == len({id(v) for v in found})
    paths = [v.path for v in found]
    assert paths[:4] == [v.path for v in model.weights]
    assert set(paths) >= {v.path for v in model.metrics_variables}
    assert [p for p in paths if p.startswith("adam")] == [
        "adam/iteration",
        "adam/learning_rate",
    ]


def test_values_are_copies():
    variable = keras.Variable(np.ones(3))
    values = snapshots.copy_values([variable])
    variable.assign([2.0, 2.0, 2.0])
    np.testing.assert_array_equal(values[id(variable)], np.ones(3))


def test_values_that_take_too_much_room_are_not_copied(monkeypatch):
    variables = [keras.Variable(np.ones(3)) for _ in range(2)]
    monkeypatch.setattr(snapshots, "MOST_BYTES", 6 * 8)
    assert len(snapshots.copy_values(variables)) == 2
    monkeypatch.setattr(snapshots, "MOST_BYTES", 6 * 8 - 1)
    assert snapshots.copy_values(variables) is None


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_values_are_put_back(error):
    first, second = keras.Variable(1.0), keras.Variable(2.0)
    former = {id(first): np.array(5.0)}
    try:
        with snapshots.values_put_back([first, second], former):
            assert (read(first), read(second)) == (5.0, 2.0)
            first.assign(7.0)
            second.assign(8.0)
            if error is not None:
                raise error
    except KeyboardInterrupt:
        pass
    assert (read(first), read(second)) == (1.0, 2.0)


def test_values_of_nobody():
    variable = keras.Variable(1.0)
    with snapshots.values_put_back([variable], None):
        assert read(variable) == 1.0
        variable.assign(2.0)
    assert read(variable) == 1.0


def change(layer):
    layer.count, layer.rate, layer.word = 2, 0.7, "b"
    layer.flag, layer.nothing = False, 3
    layer.pair = (3, 4)
    layer.seen.append(2)
    layer.table["b"] = 2
    layer.names.add("y")
    layer.fresh = 1


def plain_of(layer):
    return (
        layer.count, layer.rate, layer.word, layer.flag, layer.nothing,
        tuple(layer.pair), list(layer.seen), dict(layer.table),
        set(layer.names),
    )  # fmt: skip


def test_attributes_of_every_kind_are_put_back():
    """Lists, sets and dictionaries are the same objects as before."""
    model = stateful_model()
    layer = model.layers[0]
    before = plain_of(layer)
    held = layer.seen, layer.table, layer.names
    with snapshots.attributes_put_back(model):
        change(layer)
        assert plain_of(layer) != before
    assert plain_of(layer) == before
    assert not hasattr(layer, "fresh")
    assert (layer.seen is held[0]) and (layer.table is held[1])
    assert layer.names is held[2]


def test_generators_draw_the_same_again():
    model = stateful_model()
    layer = model.layers[0]
    layer.one = np.random.default_rng(0)
    layer.two = np.random.RandomState(0)
    layer.three = random.Random(0)

    def draw():
        return layer.one.random(), layer.two.rand(), layer.three.random()

    with snapshots.attributes_put_back(model):
        first = draw()
    assert draw() == first


def test_containers_that_were_replaced_come_back():
    model = stateful_model()
    layer = model.layers[0]
    held = layer.seen
    with snapshots.attributes_put_back(model):
        layer.seen.append(5)
        layer.seen = [7]
        del layer.count
    assert layer.seen is held
    assert list(layer.seen) == [1]
    assert layer.count == 1


def test_attributes_of_the_model_and_of_an_error():
    model = stateful_model()
    model.turn = 0
    with pytest.raises(KeyboardInterrupt):
        with snapshots.attributes_put_back(model):
            model.turn += 1
            raise KeyboardInterrupt
    assert model.turn == 0


def test_others_inside_and_its_own_afterwards():
    model = stateful_model()
    layer = model.layers[0]
    former = snapshots.copy_attributes(model)
    change(layer)
    later = plain_of(layer)
    with snapshots.attributes_put_back(model, former):
        assert layer.count == 1
        assert list(layer.seen) == [1]
        assert not hasattr(layer, "fresh")
    assert plain_of(layer) == later
    assert layer.fresh == 1


def test_what_is_frozen_inside_is_not_afterwards():
    """Of single variables too."""
    model = stateful_model()
    dense = model.layers[1]
    with snapshots.attributes_put_back(model):
        dense.trainable = False
        assert not model.trainable_variables
    assert len(model.trainable_variables) == 2
    with snapshots.attributes_put_back(model):
        dense.bias.trainable = False
        assert len(model.trainable_variables) == 1
    assert len(model.trainable_variables) == 2


def test_what_cannot_be_copied_is_left_alone():
    model = stateful_model()
    layer = model.layers[0]
    tensor = np.ones(3)
    with snapshots.attributes_put_back(model):
        layer.lists.append([3])
        layer.tensor = tensor
        # What was a number is none any more.
        layer.count = tensor
    assert len(layer.lists) == 3
    assert layer.tensor is tensor
    assert layer.count is tensor


class Sized(layers.Layer):
    """Notes down sizes when it is built, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.width, self.calls = None, 0

    def build(self, input_shape):
        self.width = self.depth = input_shape[-1]

    def call(self, inputs):
        self.calls += 1
        return inputs


def test_what_build_notes_down_stays():
    """It does not run again, and the layer cannot be called without."""
    layer = Sized()
    model = keras.Sequential([layer])
    attributes = snapshots.copy_attributes(model)
    model(np.ones((2, 4)))
    snapshots.put_attributes(attributes)
    assert (layer.width, layer.depth, layer.calls) == (4, 4, 0)


def test_what_a_built_layer_notes_down_is_taken_back():
    layer = Sized()
    model = keras.Sequential([layer])
    model(np.ones((2, 4)))
    attributes = snapshots.copy_attributes(model)
    layer.width, layer.late = None, 1
    snapshots.put_attributes(attributes)
    assert layer.width == 4
    assert not hasattr(layer, "late")


def test_what_keras_notes_down_stays():
    """A layer that is built, and an optimizer that is, have to stay so."""
    model = keras.Sequential([Stateful(), layers.Dense(1)], name="net")
    model.compile("adam", "mse")
    x, y = regression_data(8)
    with snapshots.attributes_put_back(model):
        model.train_on_batch(x, y)
    assert model.built
    assert model.layers[1].built
    assert model.optimizer.built
    # Of another size, so that it is traced anew.
    model.train_on_batch(x[:6], y[:6])
    assert int(model.optimizer.iterations) == 2


def test_names_that_keras_counts_are_not_used_up():
    """Paths of variables without a name are the same with the check."""
    keras.utils.clear_session(free_memory=False)
    snapshots._names_of_keras.__wrapped__()
    names = [
        part(*arguments).name
        for part, arguments in (
            *((keras.Variable, (0.0,)), (layers.Layer, ()), (keras.Model, ())),
            (keras.optimizers.Adam, ()),
        )
    ]
    assert names == ["variable", "layer", "model", "adam"]


def test_variables_made_in_a_step_that_broke():
    """Something finite stands in for what they began with."""
    held, made, well = (keras.Variable([np.nan, 1.0]) for _ in range(3))
    well.assign([3.0, 4.0])
    values = {id(held): np.float32([5, 6])}
    with snapshots.values_put_back([held, made, well], values):
        assert read(held).tolist() == [5, 6]
        assert np.all(np.isfinite(read(made)))
        assert read(well).tolist() == [3, 4]
    for variable in (held, made):
        np.testing.assert_array_equal(read(variable), [np.nan, 1])
