"""What any version has saved loads for ever, and computes the same."""

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest
from measuring import images, measure
from public_objects import saved_classes

import keras_perceptual as kp

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir())
# Of what is computed in bfloat16, which has eight bits.
COARSE = {"rtol": 2e-2, "atol": 2e-2}
FINE = {"rtol": 2e-4, "atol": 1e-5}


def stored_objects(version):
    path = FIXTURES / version / "objects.json"
    return json.loads(path.read_text(encoding="utf-8"))


def registered_names(config):
    """Yields the names of all classes of ours in a configuration."""
    if isinstance(config, dict):
        name = config.get("registered_name") or ""
        if name.startswith("keras_perceptual>"):
            yield name.removeprefix("keras_perceptual>")
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from registered_names(part)


def model_config(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def test_this_version_has_its_files():
    """Made by `tools/make_saved_fixtures.py`, once for each release."""
    assert kp.__version__ in VERSIONS


def test_every_saved_class_is_in_the_files_of_this_version():
    folder = FIXTURES / kp.__version__
    found = {key.split("-")[0] for key in stored_objects(kp.__version__)}
    found |= set(registered_names(model_config(folder / "layers.keras")))
    assert found == set(saved_classes())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:ImageLogger. a target holds")
# JAX says so of any metric of Keras with this dtype, and takes float32.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize("version", VERSIONS)
def test_objects_load_and_compute_the_same(version):
    numbers = np.load(FIXTURES / version / "objects.npz")
    stored = stored_objects(version)
    assert stored.keys() == set(numbers)
    measured = list(stored)
    if keras.backend.backend() != "tensorflow":
        # All load; that backends agree is told elsewhere.
        measured = [key for key in stored if key.endswith("-0")][::4]
    for key, serialized in stored.items():
        instance = keras.saving.deserialize_keras_object(serialized)
        config, saved = instance.get_config(), serialized["config"]
        assert saved.keys() <= config.keys(), key
        if key not in measured:
            continue
        is_coarse = "bfloat16" in json.dumps(serialized)
        np.testing.assert_allclose(
            measure(instance),
            numbers[key],
            **(COARSE if is_coarse else FINE),
            err_msg=key,
        )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.filterwarnings("ignore:.*input holds values")
def test_layers_load_and_predict_the_same(version):
    expected = dict(np.load(FIXTURES / version / "layers.npz"))
    x = expected.pop("images")
    model = keras.models.load_model(FIXTURES / version / "layers.keras")
    # Called and not compiled: of seventeen layers that takes longer.
    found = model({"channels_last": x, "channels_first": np.moveaxis(x, -1, 1)})
    assert found.keys() == expected.keys()
    for name, value in found.items():
        is_coarse = keras.backend.standardize_dtype(value.dtype) == "bfloat16"
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")),
            expected[name],
            **(COARSE if is_coarse else FINE),
            err_msg=name,
        )


@pytest.mark.slow
# Of a network that has learned nothing, colors lie anywhere.
@pytest.mark.filterwarnings("ignore:.*input holds values")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_compiled_model_loads_and_scores_the_same(version):
    folder = FIXTURES / version
    expected = np.load(folder / "compiled.npz")
    model = keras.models.load_model(folder / "compiled.keras")
    assert model.optimizer.iterations == 2
    x, y = images(5), images(6)
    for again in (False, True):
        if again:
            model.set_weights([0.0 * w for w in model.get_weights()])
            model.load_weights(folder / "compiled.weights.h5")
        found = model.evaluate(x, y, verbose=0, return_dict=True)
        assert found.keys() == set(expected)
        for name, value in found.items():
            assert value == pytest.approx(float(expected[name]), rel=2e-4), name
