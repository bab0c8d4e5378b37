import io

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_perceptual as kp
from keras_perceptual.callbacks.table_pictures import draw_table, find_tables

CUBE = np.linspace(0, 1, 24, dtype="float32").reshape(2, 2, 2, 3)


class TableOf(layers.Layer):
    """Makes a table of the mean color of each image."""

    def call(self, images):
        mean = ops.mean(images, axis=(1, 2))
        return mean[:, None, None, None] * ops.convert_to_tensor(CUBE)

    def compute_output_shape(self, shape):
        return (shape[0], 2, 2, 2, 3)


def every_kind():
    inputs = keras.Input((4, 4, 3))
    colors = kp.LookupColorLayer(3, dimensions=1, name="curves")(inputs)
    colors = keras.Sequential(
        [keras.Input((4, 4, 3)), kp.LookupColorLayer(2, name="deep")],
        name="inner",
    )(colors)
    given = kp.LookupColorLayer(2, name="given")([colors, TableOf()(colors)])
    outputs = kp.AdaptiveLookupColorLayer(
        2, backbone=layers.GlobalAveragePooling2D(), name="each"
    )(given)
    return keras.Model(inputs, outputs)


def test_every_kind_of_table_is_found(rng):
    model = every_kind()
    curves = rng.random((3, 3), "float32")
    model.get_layer("curves").set_table(curves)
    model.get_layer("inner").get_layer("deep").set_table(CUBE)
    each = model.get_layer("each")
    each.tables[1].assign(CUBE)
    each.head.kernel.assign(rng.random(each.head.kernel.shape))
    images = rng.random((2, 4, 4, 3), "float32")

    tables = find_tables(model, images)
    assert sorted(tables) == sorted(["curves", "inner/deep", "given", "each"])
    np.testing.assert_array_equal(tables["curves"], curves)
    np.testing.assert_array_equal(tables["inner/deep"], CUBE)
    # What is made for an image is that of the first one.
    between = model.get_layer("inner")(model.get_layer("curves")(images))
    between = ops.convert_to_numpy(between)
    np.testing.assert_allclose(
        tables["given"], between[0].mean(axis=(0, 1)) * CUBE, rtol=1e-5
    )
    shown = model.get_layer("given")(
        [between, between.mean(axis=(1, 2))[:, None, None, None] * CUBE]
    )
    expected = ops.convert_to_numpy(each.tables_of(shown))
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    np.testing.assert_allclose(tables["each"], expected[0], rtol=1e-5)


def test_of_a_model_that_is_no_graph_the_learned_tables_are_left():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.one = kp.LookupColorLayer(2, name="one")
            self.each = kp.AdaptiveLookupColorLayer(
                2, backbone=layers.GlobalAveragePooling2D()
            )

        def call(self, images):
            return self.each(self.one(images))

    model = Model()
    images = np.ones((1, 4, 4, 3), "float32")
    model(images)
    (path,) = find_tables(model, images)
    assert path.endswith("one")


def test_a_model_of_several_inputs(rng):
    images = keras.Input((4, 4, 3), name="images")
    more = keras.Input((4, 4, 3), name="more")
    each = kp.AdaptiveLookupColorLayer(
        2, backbone=layers.GlobalAveragePooling2D(), name="each"
    )
    model = keras.Model(
        {"more": more, "images": images}, each(layers.Add()([images, more]))
    )
    each.head.kernel.assign(rng.random(each.head.kernel.shape))
    a, b = rng.random((2, 1, 4, 4, 3), "float32") / 2
    found = find_tables(model, {"images": a, "more": b})
    expected = ops.convert_to_numpy(each.tables_of(a + b))
    np.testing.assert_allclose(found["each"], expected[0], rtol=1e-5)


@pytest.mark.parametrize("table", [CUBE, np.ones((3, 3)), np.ones((3, 1))])
def test_a_table_is_drawn_as_a_png_file(table):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    image = pytest.importorskip("PIL.Image")
    figures = pyplot.get_fignums()
    png, size = draw_table(table, "one, epoch 1")
    picture = image.open(io.BytesIO(png))
    assert picture.format == "PNG" and picture.size == size
    assert np.asarray(picture.convert("L")).min() < 128
    assert pyplot.get_fignums() == figures
