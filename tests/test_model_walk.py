import keras
from keras import layers

from keras_perceptual.model_walk import walk_parts


class Nested(keras.Model):
    def __init__(self):
        super().__init__(name="nested")
        self.parts = {"enc": [layers.Dense(2, name="a")]}
        self.pair = (layers.Dense(2, name="b"), layers.Dense(1, name="c"))
        self.steps = {"g": keras.optimizers.SGD(name="sgd")}
        self.again = self.pair[0]


def test_parts_in_containers_are_found_once():
    names = [part.name for part in walk_parts(Nested())]
    assert sorted(names) == ["a", "b", "c", "nested", "sgd"]
