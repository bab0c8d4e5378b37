"""The layer in exported models, run by the runtimes that they are made for.

What each backend of Keras can export is not the same: SavedModel comes from
TensorFlow and JAX, LiteRT (once TensorFlow Lite) from TensorFlow, ONNX from
all three, and programs of `torch.export` from PyTorch.
"""

import keras
import numpy as np
import pytest
from exports import (
    BACKEND,
    export_litert,
    export_onnx,
    export_saved_model,
    export_torch_program,
)
from sampling import rarely, sample

from keras_perceptual.layers import LookupColorLayer

KINDS = {
    "curves": {"dimensions": 1},
    "one curve that goes on": {
        "dimensions": 1,
        "shared": True,
        "extrapolate": "linear",
    },
    "trilinear": {"dimensions": 3, "value_range": (-0.1, 1)},
    "tetrahedral": {"dimensions": 3, "interpolation": "tetrahedral"},
    "nearest, transparency": {
        "size": (2, 3, 4),
        "dimensions": 3,
        "interpolation": "nearest",
    },
    "a domain a channel": {
        "dimensions": 3,
        "cube_domain": ((0, 0, 0), (0.5, 1, 1)),
    },
}
# With how many images of which size the exported model is run. Neither is
# that of the model, which leaves both open.
SHAPES = [(2, 4, 6), (1, 7, 3)]


def make_model(name):
    """Returns a model of the layer alone, with a table of noise."""
    channels = 4 if "transparency" in name else 3
    images = keras.Input((None, None, channels), name="images")
    layer = LookupColorLayer(**{"size": 5, **KINDS[name]})
    model = keras.Model(images, layer(images))
    rng = np.random.default_rng(1)
    layer.set_table(rng.uniform(0, 1, layer.table_shape))
    return called(model, images.shape)


def called(model, *shapes):
    """Calls a model, as Keras wants it before writing ONNX."""
    inputs = [
        keras.ops.zeros([size or 1 for size in shape]) for shape in shapes
    ]
    model(inputs if len(inputs) > 1 else inputs[0])
    return model


def make_images(shape, channels=3, selects_by_multiplication=False):
    """Returns images that go beyond (0, 1), with odd values among theirs.

    Infinity times zero is not a number: where a runtime multiplies to select
    one of two values, infinite pixels are lost.
    """
    images = np.random.default_rng(2).uniform(-0.3, 1.3, (*shape, channels))
    images[0, 0, 0] = 0
    images[0, 0, 1] = 1
    images[0, 1, 0] = -3
    images[0, 1, 1] = 2
    images[0, 2, 0, 1] = np.nan
    if not selects_by_multiplication:
        images[0, 2, 1, :2] = [np.inf, -np.inf]
    return images.astype("float32")


def make_table_model():
    """Returns a model that is given a table for each image."""
    images = keras.Input((None, None, 3), name="images")
    tables = keras.Input((3, 3, 3, 3), name="tables")
    model = keras.Model([images, tables], LookupColorLayer(3)([images, tables]))
    return called(model, images.shape, tables.shape)


def make_tables(count):
    rng = np.random.default_rng(3)
    return rng.uniform(0, 1, (count, 3, 3, 3, 3)).astype("float32")


def check_run(model, run, *inputs):
    """The exported model gives the pixels that the model gives."""
    expected = model(list(inputs) if len(inputs) > 1 else inputs[0])
    np.testing.assert_allclose(
        run(*inputs), keras.ops.convert_to_numpy(expected), rtol=0, atol=1e-6
    )


def check_kind(name, export, folder):
    """The layer of one kind gives the same pixels, in more than one size."""
    model = make_model(name)
    run = export(model, folder)
    for shape in SHAPES:
        images = make_images(shape, model.input_shape[-1], by_tf2onnx(export))
        check_run(model, run, images)


def check_tables(export, folder):
    """So do tables that come with the images."""
    model = make_table_model()
    run = export(model, folder)
    for shape in SHAPES:
        images = make_images(shape, 3, by_tf2onnx(export))
        check_run(model, run, images, make_tables(shape[0]))


def by_tf2onnx(export):
    return export is export_onnx and BACKEND == "tensorflow"


@pytest.mark.skipif(
    BACKEND == "torch", reason="Keras needs torch_xla for a SavedModel"
)
@pytest.mark.parametrize("name", sample(list(KINDS)))
def test_saved_model(name, tmp_path):
    check_kind(name, export_saved_model, tmp_path)


@pytest.mark.skipif(
    BACKEND == "torch", reason="Keras needs torch_xla for a SavedModel"
)
def test_saved_model_with_tables(tmp_path):
    check_tables(export_saved_model, tmp_path)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", sample(list(KINDS), 4))
def test_litert(name, tmp_path):
    check_kind(name, export_litert, tmp_path)


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_litert_with_tables(tmp_path):
    check_tables(export_litert, tmp_path)


@pytest.mark.parametrize("name", sample(list(KINDS)))
def test_onnx(name, tmp_path):
    check_kind(name, export_onnx, tmp_path)


def test_onnx_with_tables(tmp_path):
    if BACKEND != "jax":
        check_tables(export_onnx, tmp_path)
        return
    # To jax2onnx, the number of the tables has to be known.
    model, shapes = make_table_model(), [(2, None, None, 3), (2, 3, 3, 3, 3)]
    specs = [keras.InputSpec(shape=shape, dtype="float32") for shape in shapes]
    run = export_onnx(model, tmp_path, input_signature=[specs])
    check_run(model, run, make_images((2, 4, 6)), make_tables(2))


@pytest.mark.skipif(BACKEND != "torch", reason="is about PyTorch alone")
@pytest.mark.parametrize("name", KINDS)
def test_torch_program(name, tmp_path):
    model = make_model(name)
    images = make_images((2, 4, 6), model.input_shape[-1])
    check_run(model, export_torch_program(model, tmp_path, images), images)


@pytest.mark.slow
@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    "export", [rarely(export_saved_model), rarely(export_litert), export_onnx]
)
def test_a_network_that_makes_its_table(export, tmp_path):
    """As models of photographs are: 8 bits in, a table for each image."""
    images = keras.Input((8, 8, 3), dtype="uint8", name="images")
    x = keras.layers.Rescaling(1 / 255)(images)
    features = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(x)
    features = keras.layers.GlobalAveragePooling2D()(features)
    tables = keras.layers.Dense(5 * 3, activation="sigmoid")(features)
    tables = keras.layers.Reshape((5, 3))(tables)
    graded = LookupColorLayer(5, dimensions=1)([x, tables])
    outputs = LookupColorLayer(3, interpolation="tetrahedral")(graded)
    model = called(keras.Model(images, outputs), images.shape)
    rng = np.random.default_rng(4)
    model.layers[-1].set_table(rng.uniform(0, 1, (3, 3, 3, 3)))
    run = export(model, tmp_path)
    check_run(model, run, rng.integers(0, 256, (3, 8, 8, 3), "uint8"))
