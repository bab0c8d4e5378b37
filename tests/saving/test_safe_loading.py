"""Files from elsewhere: whatever is in them, loading stays safe and small."""

import copy
import functools
import itertools
import json
import pathlib
import resource
import time
import traceback
import zipfile

import h5py
import keras
import numpy as np
import pytest
from checks import through_json
from measuring import images
from public_objects import PACKAGE, saved_classes
from test_serialization import CONFIGURATIONS

import keras_perceptual as kp
from keras_perceptual.features import extractor, weights_loading

# Of processor time and memory for any one object, without its network.
SECONDS = 1.0
MEGABYTES = 100


def nested(depth):
    return [nested(depth - 1)] if depth else []


LAMBDA = {
    "class_name": "__lambda__",
    "config": {"value": "4wEAAAAAAAA=", "defaults": None, "closure": None},
}
FUNCTION = {
    "module": "os",
    "class_name": "function",
    "config": "system",
    "registered_name": "system",
}
CLASS = {
    "module": "subprocess",
    "class_name": "Popen",
    "config": {"args": ["true"]},
    "registered_name": None,
}
ABSURD = {
    "huge": 10**9,
    "beyond floats": 10**400,
    "negative": -1,
    "NaN": float("nan"),
    "true": True,
    "number as text": "7",
    "huge text": "x" * 10**6,
    "long list": [1] * 10**5,
    "empty dictionary": {},
    "large dictionary": {str(i): 1.0 for i in range(10**4)},
    "nest": nested(100),
    "lambda": LAMBDA,
    "function": FUNCTION,
    "class": CLASS,
}
# What is checked by Keras, and not by us.
OF_KERAS = ("dtype", "trainable", "reduction")


def places(config, inside=()):
    """Yields the keys that lead to each value of a config of ours."""
    items = (
        config.items() if isinstance(config, dict) else enumerate(config[:2])
    )
    for key, value in items:
        if key in ("module", "class_name", "registered_name"):
            continue
        yield (*inside, key)
        # Objects inside of others have their own turn.
        is_object = isinstance(value, dict) and "class_name" in value
        if isinstance(value, dict | list) and not is_object:
            yield from places(value, (*inside, key))


def altered(serialized, place, value):
    """Returns a serialized object with another value in one place."""
    top = copy.deepcopy(serialized)
    part = top["config"]
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return top


def is_refused_by_us(error):
    """Whether an error comes from this package, and if so, is a good one."""
    while error is not None:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        if pathlib.Path(last).is_relative_to(PACKAGE):
            assert isinstance(error, ValueError | TypeError | OSError)
            assert "Received: " in str(error)
            assert len(str(error)) < 5000
            return True
        error = error.__cause__ or error.__context__
    return False


def peak():
    """Returns the most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def is_quick(action, tries=3):
    """Whether an action takes little processor time, once in a few tries.

    What threads do that others left behind counts as well, but not each time;
    what takes long by itself does so again.
    """
    for _ in range(tries):
        began = time.process_time()
        action()
        if time.process_time() - began < SECONDS:
            return True
    return False


@pytest.mark.parametrize("quick", [[False], [True], [False, True]])
def test_what_takes_long_each_time_is_noticed(quick, monkeypatch):
    """By a clock that stands still, or leaps from try to try."""
    leaps = [0.0 if one else 2 * SECONDS for one in quick] * 3
    times = [t for end in leaps for t in (0.0, end)]
    monkeypatch.setattr(time, "process_time", iter(times).__next__)
    assert is_quick(lambda: None) == any(quick)


# What a constructor refuses is the same on every backend.
@pytest.mark.tensorflow_only
@pytest.mark.filterwarnings("ignore:ImageLogger. a target holds")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_absurd_configs_are_refused_or_harmless(name, monkeypatch):
    # Networks are built once for all that would be built and is accepted.
    build = functools.cache(extractor.build_untrained)
    monkeypatch.setattr(extractor, "build_untrained", build)
    monkeypatch.setattr(extractor, "load_weights", lambda network, *_: network)
    monkeypatch.setattr(extractor, "_identity", lambda network: 0)
    instance = saved_classes()[name](**CONFIGURATIONS[name][0])
    serialized = through_json(keras.saving.serialize_keras_object(instance))
    serialized["config"].pop("style_image", None)
    refused = set()

    def revive(place, kind):
        try:
            keras.saving.deserialize_keras_object(
                altered(serialized, place, ABSURD[kind])
            )
        except (ValueError, TypeError, FileNotFoundError) as error:
            if is_refused_by_us(error):
                refused.add((place, kind))
        except (AttributeError, KeyError) as error:
            # Of Keras, about what is none of our business.
            assert place[-1] in OF_KERAS, (place, kind)
            assert not is_refused_by_us(error)

    for case in itertools.product(places(serialized["config"]), ABSURD):
        before = peak()
        assert is_quick(lambda case=case: revive(*case)), case
        assert peak() - before < MEGABYTES, case
    assert len(refused) > 10


# --- Weights ----------------------------------------------------------------


def small_model():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")],
        name="small",
    )


GOOD = {
    "conv/kernel": np.ones((3, 3, 3, 2), "float32"),
    "conv/bias": np.ones(2, "float32"),
}


def npy(shape, dtype="<f4", data=b""):
    """Returns a file of NumPy that claims to hold such an array."""
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape})
    header = header.ljust(117) + "\n"
    return (
        (b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little"))
        + header.encode()
        + data
    )


def write_npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"conv/{name}.npy", data)


def good_member(name):
    array = GOOD[f"conv/{name}"]
    return npy(array.shape, "<f4", array.tobytes())


def truncated(path):
    np.savez(path, **GOOD)
    path.write_bytes(path.read_bytes()[:-30])


def claims_gigabytes(path):
    write_npz(path, kernel=npy((10**5, 10**5)), bias=good_member("bias"))


def zip_bomb(path):
    kernel = good_member("kernel") + bytes(4 * 10**8)
    write_npz(path, kernel=kernel, bias=good_member("bias"))


def bomb_beside(path):
    """What nobody asks for is not looked at."""
    write_npz(
        path,
        kernel=good_member("kernel"),
        bias=npy((3,), "<f4", bytes(12)),
        more=bytes(10**8),
    )


def too_short(path):
    write_npz(path, kernel=npy((3, 3, 3, 2)), bias=good_member("bias"))


def objects(path):
    np.savez(path, **{**GOOD, "conv/kernel": np.array([print])})


def texts(path):
    kernel = npy((3, 3, 3, 2), "<U100000000")
    write_npz(path, kernel=kernel, bias=good_member("bias"))


def not_a_number(path):
    kernel = np.full((3, 3, 3, 2), np.nan, "float32")
    np.savez(path, **{**GOOD, "conv/kernel": kernel})


def wrong_shape(path):
    np.savez(path, **{**GOOD, "conv/bias": np.ones(3)})


def h5_claims_gigabytes(path):
    small_model().save_weights(path)
    with h5py.File(path, "a") as file:
        size = {"shape": (10**5, 10**5), "chunks": (1000, 1000)}
        file.create_dataset("layers/conv2d/vars/9", dtype="f4", **size)


def h5_truncated(path):
    small_model().save_weights(path)
    path.write_bytes(path.read_bytes()[:1000])


def h5_not_a_number(path):
    model = small_model()
    model.layers[0].bias.assign([np.nan, 1.0])
    model.save_weights(path)


TAMPERED = {
    ".npz": [
        truncated, claims_gigabytes, zip_bomb, bomb_beside, too_short, objects,
        texts, not_a_number, wrong_shape,
    ],
    ".weights.h5": [h5_claims_gigabytes, h5_truncated, h5_not_a_number],
}  # fmt: skip


@pytest.mark.parametrize(
    "ending, tamper",
    [(ending, tamper) for ending, all in TAMPERED.items() for tamper in all],
)
def test_tampered_weights_are_refused(ending, tamper, tmp_path):
    path = tmp_path / f"tampered{ending}"
    tamper(path)
    model, before = small_model(), peak()

    def load():
        with pytest.raises(ValueError, match=r"(?s)Received: .*$"):
            weights_loading.load_file(model, str(path))

    assert is_quick(load)
    assert peak() - before < MEGABYTES


def test_large_files_with_more_in_them_are_accepted(tmp_path):
    """A network's classifier may stay in its file."""
    path = tmp_path / "whole.npz"
    fortran = np.asfortranarray(np.arange(54.0).reshape(3, 3, 3, 2))
    np.savez_compressed(
        path, **{**GOOD, "conv/kernel": fortran, "dense/kernel": np.ones(9)}
    )
    model = small_model()
    weights_loading.load_file(model, str(path))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(model.layers[0].kernel), fortran
    )


# --- Models -----------------------------------------------------------------


def edited(path, edit):
    """Rewrites a saved model with another configuration."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    edit(config)
    members["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def layer_config(config):
    return config["config"]["layers"][-1]["config"]


def loss_config(config):
    return config["compile_config"]["loss"]["config"]


def in_layer(argument, value):
    return lambda config: layer_config(config).update({argument: value})


def in_loss(value):
    return lambda config: loss_config(config)["terms"]["edges"].__setitem__(
        0, value
    )


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    layer = kp.LookupColorLayer(
        3, table_regularizer=kp.TableSmoothness(), name="grade"
    )
    model = keras.Sequential([keras.Input((32, 32, 3)), layer])
    loss = kp.WeightedSumLoss({"edges": kp.SobelGradientLoss()})
    model.compile("sgd", loss, metrics=[kp.LossTerms(loss)])
    model.save(path)
    return path


@pytest.mark.parametrize("value", [LAMBDA, FUNCTION, CLASS])
@pytest.mark.parametrize(
    "place",
    [
        in_loss,
        lambda value: in_layer("table_initializer", value),
        lambda value: in_layer("table_regularizer", value),
        lambda value: in_layer("table_constraint", value),
    ],
)
def test_no_model_brings_code_along(place, value, saved_model, tmp_path):
    path = tmp_path / "edited.keras"
    path.write_bytes(saved_model.read_bytes())
    edited(path, place(value))
    with pytest.raises((TypeError, ValueError)):
        keras.models.load_model(path)


@pytest.mark.parametrize("size", [10**9, 257, [300, 2, 2], -1, "3", None])
def test_no_model_asks_for_all_memory(size, saved_model, tmp_path):
    path = tmp_path / "edited.keras"
    path.write_bytes(saved_model.read_bytes())
    edited(path, in_layer("size", size))
    before = peak()
    with pytest.raises((TypeError, ValueError), match="at most 256"):
        keras.models.load_model(path)
    assert peak() - before < MEGABYTES


def test_an_edit_that_changes_nothing_loads(saved_model, tmp_path):
    path = tmp_path / "edited.keras"
    path.write_bytes(saved_model.read_bytes())
    edited(path, in_layer("size", 3))
    model = keras.models.load_model(path)
    assert model.predict(images(2), verbose=0).shape == (2, 32, 32, 3)
