import checks
import numpy as np
import pytest
import torture
from keras import ops
from reference import focal_frequency as reference

from keras_perceptual.ops.focal_frequency import (
    focal_frequency_distance,
    focal_weights,
    power_spectrum,
)

CONFIGS = [
    {},
    {"alpha": 0.0},
    {"alpha": 2.5, "patch_factor": 3},
    {"log_matrix": True},
    {"alpha": 0.5, "log_matrix": True, "patch_factor": 2},
]


@pytest.fixture
def pair(rng):
    return rng.uniform(0, 1, (2, 2, 12, 18, 3)).astype("float32")


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_equals_the_numpy_twin(pair, config, data_format):
    expected = reference.focal_frequency_loss(*pair, **config)
    if data_format == "channels_first":
        pair = np.moveaxis(pair, -1, 2)
    found = focal_frequency_distance(*pair, data_format=data_format, **config)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


@pytest.mark.parametrize("patch_factor", [1, 2, 3])
def test_power_spectrum(pair, patch_factor):
    x = pair[0]
    expected = np.abs(reference.spectra(x, patch_factor)) ** 2
    found = ops.convert_to_numpy(
        power_spectrum(ops.convert_to_tensor(x), patch_factor, "channels_last")
    )
    assert found.shape[1:4] == (3, patch_factor, patch_factor)
    # The twin has its patches on one axis, before the channels.
    found = np.moveaxis(found, 1, 3).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    # Parseval.
    np.testing.assert_allclose(found.mean(), np.mean(x**2), rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_weights_are_those_of_the_twin(pair, config):
    settings = {k: v for k, v in config.items() if k != "patch_factor"}
    difference = reference.spectra(pair[0] - pair[1])
    found = focal_weights(
        ops.convert_to_tensor((np.abs(difference) ** 2).astype("float32")),
        **{"alpha": 1.0, "log_matrix": False, **settings},
    )
    found = ops.convert_to_numpy(found)
    expected = reference.weights(difference, **settings)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.max(axis=(-2, -1)), 1, rtol=1e-6)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_gradient_is_that_of_fixed_weights(pair, config):
    """The weights are found anew for each value, but carry no gradient."""
    y_true, y_pred = pair[:, :1]
    patch_factor = config.get("patch_factor", 1)
    difference = np.moveaxis(
        reference.spectra(y_pred - y_true, patch_factor), 1, 2
    )
    matrix = reference.weights(
        difference, config.get("alpha", 1.0), config.get("log_matrix", False)
    ).astype("float32")

    def with_fixed_weights(x):
        power = power_spectrum(
            ops.subtract(x, y_true), patch_factor, "channels_last"
        )
        power = ops.reshape(power, matrix.shape)
        return ops.mean(power * ops.convert_to_tensor(matrix))

    checks.check_finite_differences(with_fixed_weights, y_pred)
    (expected,) = checks.gradients(with_fixed_weights, y_pred)
    (found,) = checks.gradients(
        lambda x: ops.sum(focal_frequency_distance(y_true, x, **config)),
        y_pred,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_nothing_that_is_not_finite(config):
    torture.check_finite(
        lambda x, y: ops.sum(focal_frequency_distance(x, y, **config)),
        6,
        12,
        dtypes=("float32",),
    )


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_unknown_sizes_in_a_tensorflow_graph(pair, config):
    import tensorflow as tf

    spec = tf.TensorSpec([None] * 4)

    @tf.function(input_signature=[spec, spec])
    def distance(x, y):
        return focal_frequency_distance(x, y, **config)

    for width in (12, 18):
        x, y = pair[:, :, :, :width]
        np.testing.assert_allclose(
            distance(x, y), focal_frequency_distance(x, y, **config), rtol=1e-5
        )


@pytest.mark.tensorflow_only
def test_compiled_by_xla(pair):
    import tensorflow as tf

    compiled = tf.function(focal_frequency_distance, jit_compile=True)
    np.testing.assert_allclose(
        compiled(*pair), focal_frequency_distance(*pair), rtol=1e-5
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_images_that_cannot_be_cut_are_refused(pair, data_format):
    if data_format == "channels_first":
        pair = np.moveaxis(pair, -1, 2)
    with pytest.raises(
        ValueError,
        match=r"5 equal parts. Crop or pad.*Received: patch_factor=5, images "
        r"of shape \(2, .*\) in 'channels_",
    ):
        focal_frequency_distance(*pair, patch_factor=5, data_format=data_format)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(focal_frequency_distance)
