import hashlib
import os
import re

import h5py
import keras
import numpy as np
import pytest

from keras_perceptual.features import weights_loading


def small_model():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")],
        name="small",
    )


def arrays_for_small_model(rng):
    return {
        "conv/kernel": rng.normal(size=(3, 3, 3, 2)).astype("float16"),
        "conv/bias": rng.normal(size=2).astype("float16"),
    }


@pytest.mark.parametrize("name", weights_loading.SHA256)
def test_packaged_files_are_those_of_the_notice(name):
    arrays = weights_loading.read_packaged(name)
    assert all(np.all(np.isfinite(a)) for a in arrays.values())
    notice = (weights_loading.FOLDER / "NOTICE.md").read_text()
    line = f"`{name}` | `{weights_loading.SHA256[name]}`"
    assert line in notice


def test_lpips_heads_and_dists_parameters_have_the_shapes_of_the_taps():
    heads = weights_loading.read_packaged("lpips_v0.1.npz")
    channels = {
        "alexnet": (64, 192, 384, 256, 256),
        "vgg16": (64, 128, 256, 512, 512),
    }
    for network, sizes in channels.items():
        for index, size in enumerate(sizes):
            head = heads[f"{network}/{index}"]
            assert head.shape == (size,)
            assert np.all(head >= 0)
    dists = weights_loading.read_packaged("dists.npz")
    assert dists["alpha"].shape == dists["beta"].shape == (1475,)


def test_a_changed_packaged_file_is_refused(tmp_path, monkeypatch):
    damaged = bytearray((weights_loading.FOLDER / "dists.npz").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "dists.npz").write_bytes(damaged)
    monkeypatch.setattr(weights_loading, "FOLDER", tmp_path)
    digest = hashlib.sha256(damaged).hexdigest()
    with pytest.raises(ValueError, match=f"damaged.*Received: sha256={digest}"):
        weights_loading.read_packaged("dists.npz")


def test_a_missing_packaged_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(weights_loading, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Reinstall.*vgg16\.npz"):
        weights_loading.read_packaged("vgg16.npz")


def test_npz_file_is_loaded_into_the_layers_it_names(tmp_path, rng):
    arrays = arrays_for_small_model(rng)
    path = tmp_path / "weights.npz"
    np.savez(path, **arrays)
    model = small_model()
    weights_loading.load_file(model, str(path))
    for found, expected in zip(model.variables, arrays.values(), strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(found), expected.astype("float32")
        )


def test_keras_file_is_loaded(tmp_path):
    path = str(tmp_path / "small.weights.h5")
    original, model = small_model(), small_model()
    original.save_weights(path)
    weights_loading.load_file(model, path)
    x = np.ones((1, 8, 8, 3), "float32")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(model(x)),
        keras.ops.convert_to_numpy(original(x)),
    )


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_a_file_of_something_else_is_refused(tmp_path, ending):
    path = tmp_path / f"weights{ending}"
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match=f"Received: .*weights{ending}"):
        weights_loading.load_file(small_model(), str(path))


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **{"conv/kernel": np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match="plain arrays"):
        weights_loading.load_file(small_model(), str(path))


def test_a_keras_file_of_another_network_is_refused(tmp_path):
    path = str(tmp_path / "other.weights.h5")
    keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, name="conv")]
    ).save_weights(path)
    with pytest.raises(ValueError, match="do not fit the network 'small'"):
        weights_loading.load_file(small_model(), path)


def test_a_missing_array_is_named(rng):
    arrays = arrays_for_small_model(rng)
    del arrays["conv/bias"]
    message = re.escape("they have no 'conv/bias' of shape (2,)")
    with pytest.raises(ValueError, match=message + ".*Received: arrays named"):
        weights_loading.assign(small_model(), arrays, "a file")


def test_a_wrong_shape_is_told(rng):
    arrays = arrays_for_small_model(rng)
    arrays["conv/kernel"] = arrays["conv/kernel"].transpose(3, 2, 0, 1)
    with pytest.raises(ValueError, match=r"Received: shape=\(2, 3, 3, 3\)"):
        weights_loading.assign(small_model(), arrays, "a file")


def test_random_weights_are_always_the_same_and_of_a_fair_size():
    models = [small_model(), small_model()]
    for model in models:
        weights_loading.assign_random(model)
    first, second = (
        keras.ops.convert_to_numpy(m.layers[0].kernel) for m in models
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.std(), np.sqrt(2 / 27), rtol=0.3)


def test_random_depthwise_kernels_count_one_channel():
    model = keras.Sequential(
        [keras.Input((8, 8, 64)), keras.layers.DepthwiseConv2D(3)]
    )
    weights_loading.assign_random(model)
    kernel = keras.ops.convert_to_numpy(model.layers[0].variables[0])
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / 9), rtol=0.2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_opened(tmp_path):
    path = tmp_path / "weights.npz"
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"not pipes.*weights='.*npz'$"):
        weights_loading.load_file(small_model(), str(path))


def test_a_file_far_larger_than_its_network_is_not_opened(tmp_path):
    path = tmp_path / "weights.npz"
    with open(path, "wb") as file:
        file.truncate(2**24 + 64 * small_model().count_params() + 1)
    with pytest.raises(ValueError, match=r"files of up to.*npz' of 16,78"):
        weights_loading.load_file(small_model(), str(path))


@pytest.mark.parametrize("kind", ["stored", "virtual", "linked"])
def test_numbers_in_other_files_are_not_read(kind, tmp_path):
    model, path = small_model(), tmp_path / "a.weights.h5"
    model.save_weights(path)
    (tmp_path / "secret").write_bytes(b"x" * 4000)
    with h5py.File(path, "a") as file:
        names = []
        file.visititems(
            lambda name, item: (
                names.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
        shape = file[names[0]].shape
        del file[names[0]]
        if kind == "stored":
            outside = [(str(tmp_path / "secret"), 0, 4000)]
            file.create_dataset(names[0], shape, "f4", external=outside)
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "b"), "x", shape)
            file.create_virtual_dataset(names[0], layout)
        else:
            file[names[0]] = h5py.ExternalLink(str(tmp_path / "b"), "x")
    with pytest.raises(ValueError, match=r"other files. Save the weights in"):
        weights_loading.load_file(model, str(path))
