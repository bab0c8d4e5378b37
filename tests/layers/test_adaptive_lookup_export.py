"""The layer in exported models, run by the runtimes that they are made for.

A look-up differs by less than 1e-6. A weight of a table does so by more: it is
the sum of 8192 features that each of the runtimes rounds in its own way. Pixels
differed by 2.5e-6 in LiteRT and by 4.1e-6 in ONNX Runtime, where shares of a
table by far larger than those of a trained layer were at stake.
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

from keras_perceptual.layers import AdaptiveLookupColorLayer

FORMATS = {
    "tensorflow": [export_saved_model, export_litert, export_onnx],
    "jax": [export_saved_model],
    "torch": [export_torch_program],
}[BACKEND]
SHAPE = (2, 40, 60, 3)


def make_model():
    """Returns a model of the layer with its own network, as if trained."""
    inputs = keras.Input(SHAPE[1:], name="images")
    layer = AdaptiveLookupColorLayer(5)
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(1)
    for table in layer.tables[1:]:
        table.assign(rng.uniform(-0.2, 0.2, table.shape))
    kernel = layer.head.kernel
    kernel.assign(rng.normal(0, 0.01, kernel.shape))
    return model, layer


@pytest.mark.slow
@pytest.mark.parametrize("export", FORMATS)
def test_exported_models_give_the_same_pixels(export, tmp_path):
    model, layer = make_model()
    images = np.random.default_rng(2).uniform(0, 1, SHAPE).astype("float32")
    images[1] *= 0.3
    expected = keras.ops.convert_to_numpy(model(images))
    # Each image has a table of its own, and none is the identity.
    shares = keras.ops.convert_to_numpy(layer.mixing_weights(images))
    assert abs(shares[0] - shares[1]).max() > 0.01
    assert abs(expected - images).max() > 0.01
    given = [images] if export is export_torch_program else []
    run = export(model, tmp_path, *given)
    np.testing.assert_allclose(run(images), expected, rtol=0, atol=1e-5)
