import keras
import pytest
from gradient_models import healthy_model
from keras import layers

from keras_perceptual.gradients.model_parts import (
    find_loss_variables,
    find_neighbors,
    find_optimizers,
    find_owners,
    operations_by_name,
    plain_operations,
    tell_apart,
    variables_of,
)


class Nested(keras.Model):
    def __init__(self):
        super().__init__(name="nested")
        self.parts = {"enc": [layers.Dense(2, name="a")]}
        self.pair = (layers.Dense(2, name="b"), layers.Dense(1, name="c"))
        self.steps = {"g": keras.optimizers.SGD(name="sgd")}
        self.again = self.pair[0]

    def call(self, inputs):
        hidden = self.parts["enc"][0](inputs)
        return self.pair[1](self.pair[0](hidden))


def test_optimizers_of_the_model_and_of_models_in_it():
    model = Nested()
    model.compile(optimizer="adam", loss="mse")
    model.inner = healthy_model(optimizer="lion")
    names = sorted(optimizer.name for optimizer in find_optimizers(model))
    assert names == ["adam", "lion", "sgd"]


def test_optimizer_inside_a_loss_scale_optimizer_is_not_looked_for():
    outer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    model = healthy_model(optimizer=outer)
    assert find_optimizers(model) == [outer]


def test_owner_is_the_innermost_layer():
    model = Nested()
    model(keras.ops.ones((1, 4)))
    outer = keras.Sequential([keras.Input((4,)), model])
    owners = find_owners(outer)
    found = {v.path: owners[id(v)].name for v in outer.trainable_variables}
    assert sorted(found.values()) == ["a", "a", "b", "b", "c", "c"]


def test_model_around_a_single_layer_does_not_take_its_place():
    class Around(keras.Model):
        def __init__(self):
            super().__init__()
            self.only = layers.Dense(2, name="only")
            self.again = keras.Sequential([self.only], name="again")

        def call(self, inputs):
            return self.again(inputs)

    model = Around()
    model(keras.ops.ones((1, 4)))
    owners = find_owners(model)
    found = {owners[id(v)].name for v in model.trainable_variables}
    assert found == {"only"}


def make_functional():
    """A shared tower, and two operations behind its second call."""
    keras.utils.clear_session()
    tower = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="inner")], name="tower"
    )
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    steps = keras.ops.round(keras.ops.abs(tower(two)))
    outputs = layers.Dense(1, name="last")(tower(one) - steps)
    return keras.Model([one, two], outputs, name="net")


def test_operations_of_functional_models_have_names():
    model = make_functional()
    plain = [operation.name for operation in plain_operations(model)]
    assert sorted(plain) == ["absolute", "round", "subtract"]
    named = operations_by_name(keras.Sequential([model]))
    assert {*plain, "net", "tower", "inner", "last"} <= named.keys()
    assert plain_operations(layers.Dense(1)) == []
    assert plain_operations(None) == []


def test_first_of_one_name_counts():
    model = Nested()
    model.pair[0].name = "nested"
    assert operations_by_name(model)["nested"] is model


def test_neighbors_are_the_nearest_layers():
    named = operations_by_name(make_functional())
    for name in ("absolute", "round", "subtract"):
        found = find_neighbors(named[name], named.values())
        assert found == ("tower", "last")
    assert find_neighbors(named["last"], named.values()) == ("tower", "")
    alone = keras.layers.Dense(1)
    assert find_neighbors(alone, [alone]) == ("", "")


def test_keras_without_nodes_has_no_neighbors(monkeypatch):
    named = operations_by_name(make_functional())
    monkeypatch.delattr(named["round"], "_inbound_nodes")
    assert find_neighbors(named["round"], named.values()) == ("", "")


def test_variables_of_an_optimizer():
    model = healthy_model()
    assert variables_of(model.optimizer) == []
    model.optimizer.build(model.trainable_variables)
    known = [v.path for v in variables_of(model.optimizer)]
    assert known == [v.path for v in model.trainable_variables]


class Keeping(keras.losses.Loss):
    """A loss with a variable of its own."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.variables = [keras.Variable(0.0), "no variable"]

    def call(self, y_true, y_pred):
        return (y_true - y_pred) ** 2


@pytest.mark.parametrize("way", ["compiled", "for outputs", "attribute"])
def test_variables_of_losses(way):
    loss = Keeping()
    model = healthy_model(loss=loss)
    if way == "for outputs":
        model.loss = {"a": ["mse", loss], "b": None}
    if way == "attribute":
        model.compile("sgd", "mse")
        model.adversary = loss
    found = find_loss_variables(model)
    assert {id(v) for v in found} == {id(loss.variables[0])}


@pytest.mark.parametrize("theirs", [lambda loss: [], lambda loss: 1 / 0])
def test_what_other_losses_call_variables_is_no_matter(theirs):
    """A method, as here, or a property that fails."""

    class WithMethod(keras.losses.MeanSquaredError):
        variables = theirs

    class WithProperty(keras.losses.MeanSquaredError):
        variables = property(theirs)

    for cls in (WithMethod, WithProperty):
        assert find_loss_variables(healthy_model(loss=cls())) == []


def test_layers_of_one_name_are_told_apart_by_what_is_around_them():
    def network(name):
        inner = keras.Sequential([layers.Dense(2, name="same")], name="inner")
        return keras.Sequential([inner, layers.Dense(1)], name=name)

    model = keras.Sequential([keras.Input((3,)), network("a"), network("b")])
    first, second = (outer.layers[0].layers[0] for outer in model.layers)
    alone = layers.Dense(2, name="alone")
    model.add(alone)
    names = tell_apart(model, [first, second, alone])
    assert names[id(first)] == names[id(second)] == "inner/same"
    assert names[id(alone)] == "alone"
    a, b = (outer.layers[0] for outer in model.layers[:2])
    assert set(tell_apart(model, [a, b]).values()) == {"a/inner", "b/inner"}
