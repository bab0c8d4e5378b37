import checks
import keras
import numpy as np
import pytest

from keras_perceptual import LookupColorLayer, TableMonotonicity


def test_costs_what_falls():
    curve = keras.ops.convert_to_tensor(
        np.float32([[0, 1], [0.5, 0.75], [0.25, 1]])
    )
    # Falls of a quarter in each of the two curves, out of four steps.
    assert float(TableMonotonicity(2.0)(curve)) == pytest.approx(0.25)


def test_own_axes_let_a_grade_raise_the_saturation():
    base = np.linspace(0, 1, 5)
    cube = np.stack(np.meshgrid(base, base, base, indexing="ij"), -1)
    luma = cube.mean(axis=-1, keepdims=True)
    saturated = keras.ops.convert_to_tensor(
        (luma + 1.5 * (cube - luma)).astype("float32")
    )
    assert float(TableMonotonicity()(saturated)) == 0.0
    assert float(TableMonotonicity(axes="all")(saturated)) > 0.1


@pytest.mark.slow
def test_straightens_a_falling_curve_in_training(rng):
    layer = LookupColorLayer(
        5, dimensions=1, table_regularizer=TableMonotonicity(1.0)
    )
    layer.set_table(np.tile(np.linspace(1, 0, 5)[:, None], 3))
    model = keras.Sequential([keras.Input((2, 2, 3)), layer])
    model.compile(keras.optimizers.SGD(0.2), "mse")
    images = rng.uniform(0, 1, (8, 2, 2, 3)).astype("float32")
    model.fit(images, images, epochs=40, verbose=0)
    assert np.diff(layer.get_weights()[0], axis=0).min() > -0.02


def test_config():
    checks.check_config(TableMonotonicity(0.5, axes="all"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": "x"}, r"`factor`.*Received: factor='x'"),
        ({"axes": "red"}, r"`axes`.*\['own', 'all'\].*axes='red'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TableMonotonicity(**arguments)
