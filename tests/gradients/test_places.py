import dataclasses
import importlib.util
import os
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers

from keras_perceptual import losses
from keras_perceptual.gradients.model_parts import operations_by_name
from keras_perceptual.gradients.places import (
    Place,
    is_library,
    locate,
    locate_frames,
    locate_step,
)
from keras_perceptual.gradients.replay import Operation, Replay


def frame(filename, lineno=1, name="call"):
    return types.SimpleNamespace(
        filename=filename, lineno=lineno, name=name, line=""
    )


SOURCE = os.path.join(os.path.dirname(keras.__file__), "src")
KERAS = os.path.join(SOURCE, "ops", "numpy.py")
TRAINER = os.path.join(SOURCE, "backend", "tensorflow", "trainer.py")
GRAPH = os.path.join(SOURCE, "ops", "function.py")
LOSS = os.path.join(os.path.dirname(losses.__file__), "perceptual_loss.py")


@pytest.mark.parametrize(
    "filename",
    [
        keras.__file__,
        np.__file__,
        os.__file__,
        losses.__file__,
        "<frozen importlib._bootstrap>",
        "/env/lib/python3.11/site-packages/keras_hub/src/bert.py",
        "/usr/lib/python3/dist-packages/someone/layers.py",
        r"C:\env\Lib\site-packages\someone\layers.py",
        "/opt/someone-1.0-py3.11.egg/someone/layers.py",
        "/usr/lib/python311.zip/contextlib.py",
    ],
)
def test_all_that_is_installed_is_library(filename):
    assert is_library(filename)


@pytest.mark.parametrize(
    "filename",
    [
        __file__,
        "/srv/me/keras_models/site-packages.py",
        "/srv/me/src/my_package/layers.py",  # Installed for editing.
        "<ipython-input-3-abc>",
    ],
)
def test_code_of_the_user_is_not_library(filename):
    assert not is_library(filename)


def test_innermost_line_of_the_user():
    place = locate_frames(
        "float", [frame(__file__, 2), frame(__file__, 1), frame(KERAS)]
    )
    assert place.source == f"{os.path.relpath(__file__)}:1"
    assert place.code == "import dataclasses"
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
        counts_scopes=True,
    )
    place = locate(operation, {"inner": layer, "net": layer})
    assert (place.layer, place.layer_class) == ("inner", "Dense")
    assert place.function == "keras.ops.argmax"
    assert str(place).startswith(
        "keras.ops.argmax (ArgMax) in layer 'inner' (Dense), "
    )
    # Not counted, that is another layer, as of a network in a loss.
    operation = dataclasses.replace(operation, counts_scopes=False)
    assert not locate(operation, {"inner": layer, "net": layer}).layer


@pytest.mark.parametrize(
    "file, name, function",
    [
        ("ops/numpy.py", "argmax", "keras.ops.argmax"),
        (
            "ops/image.py",
            "affine_transform",
            "keras.ops.image.affine_transform",
        ),
        ("random/random.py", "binomial", "keras.random.binomial"),
        ("backend/torch/random.py", "gamma", "keras.random.gamma"),
        ("backend/torch/linalg.py", "eigh", "keras.ops.linalg.eigh"),
        ("layers/layer.py", "cast", ""),
        ("ops/numpy.py", "_helper", ""),
    ],
)
def test_public_functions_of_keras(file, name, function):
    frames = (frame(__file__), frame(os.path.join(SOURCE, file), 1, name))
    assert (
        locate(Operation("X", (), (), frames=frames), {}).function == function
    )


def test_function_that_calls_others_tells_less_than_these():
    inside = (
        frame(__file__),
        frame(KERAS, 1, "while_loop"),
        frame(KERAS, 1, "argmax"),
    )
    place = locate(Operation("ArgMax", (), (), frames=inside), {})
    assert place.function == "keras.ops.argmax"
    loop = locate(Operation("While", (), (), frames=inside[:2]), {})
    assert loop.function == "keras.ops.while_loop"


def test_line_that_starts_the_training_is_not_part_of_the_step():
    frames = (frame(__file__), frame(TRAINER, 1, "fit"), frame(KERAS))
    assert locate(Operation("X", (), (), frames=frames), {}).source == ""
    assert locate_frames("", frames).source == ""
    own = (*frames, frame(__file__, 2, "train_step"))
    assert locate(Operation("X", (), (), frames=own), {}).line == 2


@pytest.mark.parametrize("around", [(), (frame(TRAINER, 1, "fit"),)])
def test_line_that_predicts_within_the_step_is_part_of_it(around):
    step = (frame(__file__, 2, "loss"), frame(TRAINER, 3, "one_step_on_data"))
    frames = (*[frame(__file__), *around][: 2 * len(around)], *step)
    place = locate_frames("", (*frames, frame(KERAS)))
    assert (place.line, place.within) == (2, "loss")


def test_losses_of_this_package_are_told_apart():
    below = Operation("StopGradient", (), (), frames=(frame(LOSS),))
    own = Operation(
        "StopGradient", (), (), frames=(frame(LOSS), frame(__file__))
    )
    assert locate(below, {}).in_our_loss
    assert not locate(own, {}).in_our_loss


def make_functional():
    """Cuts and casts twice between two layers, and has one in a model."""
    keras.utils.clear_session()
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="first")(inputs)
    x = keras.ops.cast(keras.ops.round(x), "int32")
    x = keras.ops.cast(x, "float32")
    return keras.Model(inputs, layers.Dense(1, name="last")(x), name="net")


# The user's line is where the model is called, and not where it was built.
STEP = (frame(__file__, 3, "train_step"), frame(GRAPH), frame(KERAS, 1, "call"))


def test_functional_models_have_operations_and_neighbors():
    named = operations_by_name(make_functional())
    place = locate(
        Operation(
            "Cast",
            (),
            (),
            scope=("net", "cast"),
            frames=(*STEP, frame(KERAS, 1, "cast")),
        ),
        named,
    )
    assert str(place) == (
        "keras.ops.cast (Cast) in operation 'cast', between 'first' and 'last'"
    )
    assert (place.layer, place.source) == ("net", "")


def test_operation_without_a_scope_is_found_by_its_function():
    named = operations_by_name(make_functional())

    def find(kind, function):
        frames = (*STEP, frame(KERAS, 1, function))
        operation = Operation(kind, (), (), scope=("net",), frames=frames)
        return locate(operation, named).keras_operation

    assert find("Round", "round") == "round"
    assert find("Cast", "cast") == "cast or cast_1"
    assert find("Floor", "floor") == ""


def test_operations_of_an_own_class_have_lines():
    named = operations_by_name(make_functional())
    frames = (*STEP, frame(__file__, 2, "call"), frame(KERAS, 1, "cast"))
    operation = Operation("Cast", (), (), scope=("net", "cast"), frames=frames)
    place = locate(operation, named)
    assert (place.keras_operation, place.line) == ("cast", 2)


def test_scope_of_a_backend_is_not_taken_for_an_operation():
    named = operations_by_name(make_functional())
    operation = Operation("Cast", (), (), scope=("net", "first", "cast"))
    place = locate(operation, named)
    assert (place.layer, place.keras_operation) == ("first", "")


@pytest.mark.parametrize(
    "above, below, text",
    [
        ("a", "b", "Cast in operation 'cast', between 'a' and 'b'"),
        ("a", "", "Cast in operation 'cast', after 'a'"),
        ("", "b", "Cast in operation 'cast', before 'b'"),
        ("", "", "Cast in operation 'cast'"),
    ],
)
def test_neighbors_are_printed(above, below, text):
    place = Place("Cast", keras_operation="cast", above=above, below=below)
    assert str(place) == text


def test_place_without_an_operation_is_printed_as_its_line():
    assert str(Place("", file="net.py", line=7)) == "net.py:7"
    assert str(Place("", layer="a", layer_class="B")) == "in layer 'a' (B)"


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


def test_a_cell_of_a_notebook_is_called_as_ipython_does(monkeypatch):
    class Compile:
        def format_code_name(self, name):
            return ("Cell", "In[3]") if name == "/somewhere/7.py" else None

    class Shell:
        compile = Compile()

    class IPython:
        get_ipython = staticmethod(lambda: Shell())

    monkeypatch.setitem(sys.modules, "IPython", IPython)
    cell = Place("Round", file="/somewhere/7.py", line=4)
    assert cell.source == "Cell In[3], line 4"
    assert str(cell) == "Round, Cell In[3], line 4"
    assert Place("Round", file="net.py", line=4).source == "net.py:4"
    # It may change, or not be there: then there is the file.
    monkeypatch.delattr(Compile, "format_code_name")
    assert cell.source == "/somewhere/7.py:4"
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    assert cell.source == "/somewhere/7.py:4"


def test_where_a_step_of_the_user_calls_the_model():
    """The line of the step, whatever the model is made of."""
    step, inner = frame(__file__, 3, "train_step"), frame(__file__, 9, "call")
    frames = (frame(KERAS, 1, "fit"), step, inner)
    outside = Operation("Mul", (), (), frames=frames)
    inside = Operation("Mul", (), (), scope=("net",), frames=frames)

    def line_of(*operations):
        place = locate_step(Replay(operations, {}, ()))
        return place and (place.line, place.operation)

    assert line_of(outside, inside) == (3, "the model is called")
    assert line_of(outside) is None
    frames = (frame(KERAS, 1, "train_step"),)
    theirs = Operation("Mul", (), (), scope=("net",), frames=frames)
    assert line_of(theirs) is None
