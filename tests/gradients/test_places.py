import importlib.util
import os
import types

import keras
import numpy as np

from keras_perceptual.gradients.dataflow import Operation
from keras_perceptual.gradients.places import (
    Place,
    is_library,
    locate,
    locate_frames,
)


def frame(filename, lineno=1, name="call"):
    return types.SimpleNamespace(
        filename=filename, lineno=lineno, name=name, line=""
    )


KERAS = os.path.join(os.path.dirname(keras.__file__), "src", "ops", "numpy.py")


def test_libraries_are_not_the_users_code():
    assert is_library(keras.__file__)
    assert is_library(np.__file__)
    assert is_library(os.__file__)
    assert is_library("<frozen importlib._bootstrap>")
    assert not is_library(__file__)


def test_innermost_line_of_the_user():
    place = locate_frames(
        "float", [frame(__file__, 2), frame(__file__, 1), frame(KERAS)]
    )
    assert place.source == f"{os.path.relpath(__file__)}:1"
    assert place.code == "import importlib.util"
    assert place.name == "float"
    assert locate_frames("float", [frame(KERAS)]).source == ""


def test_layers_are_found_by_their_scope():
    layer = keras.layers.Dense(2, name="inner")
    operation = Operation(
        "ArgMax",
        (),
        (),
        scope=("net_1", "inner_2", "sub"),
        frames=(frame(__file__), frame(KERAS, 1, "argmax")),
    )
    place = locate(operation, {"inner": layer, "net": layer})
    assert (place.layer, place.layer_class) == ("inner", "Dense")
    assert place.function == "keras.ops.argmax"
    assert str(place).startswith(
        "keras.ops.argmax (ArgMax) in layer 'inner' (Dense), "
    )


def test_functions_of_a_backend():
    module = types.SimpleNamespace(__name__="tensorflow", argmax=len)
    spec = importlib.util.find_spec("tensorflow")
    folder = spec.submodule_search_locations[0]
    path = os.path.join(folder, "math_ops.py")
    operation = Operation(
        "ArgMax", (), (), frames=(frame(path, 1, "argmax_v2"),)
    )
    found = locate(operation, {}, (("tf", module),))
    assert found == Place("ArgMax", "tf.argmax")
