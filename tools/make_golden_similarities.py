"""Makes tests/reference/golden_similarities.json with three packages.

piq says how similar the photographs of tests/reference are to their distorted
copies, PyWavelets takes an array apart, and torchmetrics tells how far apart
features are. All are computed in float64.

    pip install -e ".[parity]"
    python tools/make_golden_similarities.py
"""

import json
import pathlib
import sys

import numpy as np
import piq
import pywt
import torch
import torchmetrics
from torchmetrics.image.kid import poly_mmd

ROOT = pathlib.Path(__file__).parents[1]
DESTINATION = ROOT / "tests/reference/golden_similarities.json"
sys.path.insert(0, str(ROOT / "tests"))

from reference import photographs  # noqa: E402

WAVELETS = ("haar", "db2", "db4", "sym4", "sym7")


def similarities(photograph, distortion):
    """Returns what piq says of a photograph and its distorted copy."""
    images = photographs.pair(photograph, distortion)
    found = {"fingerprint": photographs.fingerprint(photograph, distortion)}
    for name, channels in (("", slice(None)), ("_gray", slice(1))):
        true, pred = (
            torch.from_numpy(x.transpose(0, 3, 1, 2)[:, channels]).double()
            for x in images
        )
        found[f"haarpsi{name}"] = piq.haarpsi(pred, true).item()
        found[f"mdsi{name}"] = piq.mdsi(pred, true).item()
    true, pred = (
        torch.from_numpy(x.transpose(0, 3, 1, 2)).double() for x in images
    )
    found["haarpsi_whole"] = piq.haarpsi(pred, true, subsample=False).item()
    return found


def wavelets(name):
    """Returns projections of what an array is taken apart into.

    For each level, from fine to coarse, and each of the four bands, two sums
    weighted with random numbers.
    """
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(16, 24))
    directions = rng.uniform(-1, 1, size=(2, 16, 24))
    found = pywt.swt2(image, name, 2, norm=True)
    return [
        [(directions * band).sum((1, 2)).tolist() for band in (smooth, *rest)]
        for smooth, rest in found[::-1]
    ]


def distances():
    """Returns the kernel distance of two sets of features."""
    rng = np.random.default_rng(0)
    true = torch.from_numpy(rng.normal(size=(40, 12)))
    pred = torch.from_numpy(rng.normal(0.3, 1.2, size=(40, 12)))
    return {
        "all": poly_mmd(true, pred).item(),
        "first and last": [
            poly_mmd(true[part], pred[part]).item()
            for part in (slice(20), slice(20, None))
        ],
        "quadratic": poly_mmd(true, pred, 2, 0.5, 2.0).item(),
    }


def main():
    """Writes the file."""
    pairs = {
        f"{photograph}/{distortion}": similarities(photograph, distortion)
        for photograph in photographs.PHOTOGRAPHS
        for distortion in photographs.DISTORTIONS
    }
    golden = {
        "how": f"piq {piq.__version__}, PyWavelets {pywt.__version__}, "
        f"torchmetrics {torchmetrics.__version__}, in float64",
        "pairs": pairs,
        "wavelets": {name: wavelets(name) for name in WAVELETS},
        "distances": distances(),
    }
    DESTINATION.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
