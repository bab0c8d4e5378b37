import functools
import importlib.util
import sys

import keras
import pytest
from keras import layers, losses, optimizers

from keras_perceptual.gradients import check_gradients
from keras_perceptual.gradients.creations import (
    locate_addition,
    locate_creation,
    locate_loss,
    locate_optimizer,
    locate_outer_tensor,
)

POOL = layers.MaxPooling2D(7)
NAMED = [
    layers.Conv1D(4, 3, activation="tanh", name="first_for_creations"),
    layers.Conv1D(4, 3, activation="tanh", name="second_for_creations"),
]
UNITS = 5
TWICE = layers.UpSampling1D(UNITS)
AGAIN = layers.UpSampling1D(5)


class OfNoConfig(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function


OWN = OfNoConfig(lambda x: x)


def test_the_line_that_creates_a_layer():
    assert locate_creation(POOL).code == "POOL = layers.MaxPooling2D(7)"
    # Their names alone tell these apart.
    for layer in NAMED:
        assert f'"{layer.name}"' in locate_creation(layer).code
    assert locate_creation(OWN).code.startswith("OWN =")


def test_no_line_is_told_where_two_may_be_it():
    assert locate_creation(TWICE) is None
    # Others of this class, in no file of the user's.
    made = {"name": "elsewhere_for_creations", "filters": 4, "kernel_size": 3}
    assert locate_creation(layers.Conv1D.from_config(made)) is None
    assert locate_creation(layers.MaxPooling2D.from_config({})) is None


def compiled(optimizer, loss):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(optimizer, loss)
    return model


def test_the_lines_that_set_an_optimizer_and_a_loss():
    large = optimizers.Adamax(0.17)
    model = compiled(large, losses.Huber(delta=0.3, name="for_creations"))
    assert locate_optimizer(large).code == "large = optimizers.Adamax(0.17)"
    assert "for_creations" in locate_loss(model).code
    scaled = optimizers.LossScaleOptimizer(large)
    assert locate_optimizer(scaled) == locate_optimizer(large)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(optimizer="ftrl", loss="log_cosh")
    assert locate_optimizer(model.optimizer).code.startswith("model.compile(")
    assert locate_loss(model).operation == "log_cosh"
    assert locate_optimizer(None) is None


def test_the_line_that_adds_variables_to_a_layer():
    dense = layers.Dense(3)
    dense.build((None, 4))
    dense.enable_lora(2)  # for the test of creations
    place = locate_addition(dense.trainable_variables[0].path)
    assert place is None or "creations" in place.code
    assert locate_addition("dense/kernel") is None


def test_a_tensor_that_a_function_takes_as_given():
    variable = keras.Variable(2.0, name="given")
    square = keras.ops.square(variable)

    other = keras.Variable(3.0, name="other")

    def loss():
        return keras.ops.multiply(square, other)

    place = locate_outer_tensor(loss)
    assert place.code == "square = keras.ops.square(variable)"
    if keras.backend.backend() != "torch":
        (record,) = check_gradients(loss, [variable]).records
        assert record.culprits == (place,)
    assert locate_outer_tensor(lambda: 3.0) is None
    # As what a backend compiles is: an object with the function inside.
    compiled = functools.partial(loss)
    compiled.__wrapped__ = loss
    assert locate_outer_tensor(compiled) == place
    assert locate_outer_tensor(functools.partial(loss)) is None


def test_no_line_of_a_model_with_several_losses():
    model = compiled("sgd", ["mse"])
    assert locate_loss(model) is None


def test_a_module_that_is_loaded_when_asked_is_not_asked(tmp_path, monkeypatch):
    """Loading it takes time, and may fail."""
    file = tmp_path / "lazy_for_creations.py"
    file.write_text("raise ImportError('It needs a GPU.')")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, file.stem, module)
    monkeypatch.setitem(sys.modules, "nothing_for_creations", None)
    assert locate_creation(POOL) is not None
    with pytest.raises(ImportError, match="GPU"):
        module.answer()
