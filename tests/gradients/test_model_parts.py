import keras
from gradient_models import healthy_model
from keras import layers

from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    find_owners,
    variables_of,
    walk_parts,
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


def test_parts_in_containers_are_found_once():
    names = [part.name for part in walk_parts(Nested())]
    assert sorted(names) == ["a", "b", "c", "nested", "sgd"]


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


def test_variables_of_an_optimizer():
    model = healthy_model()
    assert variables_of(model.optimizer) == []
    model.optimizer.build(model.trainable_variables)
    known = [v.path for v in variables_of(model.optimizer)]
    assert known == [v.path for v in model.trainable_variables]
