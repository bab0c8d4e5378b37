"""Prints, as Markdown, our numbers beside those of the official packages.

Both compare twenty pairs of photographs and distorted copies, with the weights
in this package. Where the packages are installed they compute on the spot, else
their stored numbers are taken; those with weights that were not rounded to 16
bits are always the stored ones.

    python benchmarks/parity.py [--stored]
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

TESTS = pathlib.Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from reference import photographs  # noqa: E402

GOLDEN = json.loads((TESTS / "reference/golden_perceptual.json").read_text())
PACKAGES = ("lpips", "piq", "torchmetrics", "torchvision")
SHOWN = "coffee_128x128/blur"
CONTENT = 'PerceptualLoss("vgg16", "relu3_3")'
STYLE = (
    'PerceptualLoss("vgg16", "relu3_3", content_weight=0, style_weight=1, '
    'gram_normalization="none")'
)
# Ours and what it has to be multiplied by; the package, what it calls it, and
# its key among the stored numbers.
ROWS = (
    ('LPIPS("alexnet")', 1, "lpips", 'LPIPS(net="alex")', "lpips_alex"),
    ('LPIPS("vgg16")', 1, "lpips", 'LPIPS(net="vgg")', "lpips_vgg"),
    (
        'LPIPS("alexnet")',
        1,
        "torchmetrics",
        'LearnedPerceptualImagePatchSimilarity("alex")',
        "torchmetrics_lpips_alex",
    ),
    ('LPIPS("vgg16")', 1, "piq", "LPIPS()", "piq_lpips"),
    (
        "DISTS()",
        1,
        "torchmetrics",
        "DeepImageStructureAndTextureSimilarity()",
        "torchmetrics_dists",
    ),
    ("DISTS(resize=256)", 1, "piq", "DISTS()", "piq_dists"),
    # The sum over 256 channels, where ours is the mean.
    (CONTENT, 256, "piq", "ContentLoss()", "piq_content_mse"),
    (STYLE, 1, "piq", "StyleLoss()", "piq_style"),
)


def images(key):
    """Returns both images of a pair."""
    name, distortion = key.split("/")
    if (
        photographs.fingerprint(name, distortion)
        != (GOLDEN["pairs"][key]["fingerprint"])
    ):
        raise SystemExit(f"{key} is not the pair that the numbers are of")
    return photographs.pair(name, distortion)


def live_numbers(keys):
    """Returns what the installed packages say of each pair, by key."""
    import torch
    from reference import official

    from keras_perceptual.features import weights_loading

    losses = official.losses(
        {
            name: weights_loading.read_packaged(f"{name}.npz")
            for name in ("vgg16", "alexnet")
        }
    )
    found = {}
    for pair in GOLDEN["pairs"]:
        tensors = [torch.tensor(np.moveaxis(x, -1, 1)) for x in images(pair)]
        with torch.no_grad():
            found[pair] = {key: float(losses[key](*tensors)) for key in keys}
    return found


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stored", action="store_true")
    stored = parser.parse_args().stored or not all(
        importlib.util.find_spec(name) for name in PACKAGES
    )
    if not stored:
        # In the other order it crashes.
        import torchvision  # noqa: F401
    import keras_perceptual as kp

    original = {key: x["original"] for key, x in GOLDEN["pairs"].items()}
    if stored:
        versions = GOLDEN["packages"]
        theirs = {key: x["packaged"] for key, x in GOLDEN["pairs"].items()}
    else:
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        theirs = live_numbers([row[-1] for row in ROWS])

    print(
        f"Numbers of `{SHOWN}`; differences are the largest of "
        f"{len(theirs)} pairs.\n"
    )
    print(
        "| ours | theirs | our number | their number | relative difference "
        "| to theirs with weights that were not rounded |\n"
        "|---|---|---|---|---|---|"
    )
    for expression, factor, package, call, key in ROWS:
        loss = eval(expression, vars(kp))
        ours = {pair: factor * float(loss(*images(pair))) for pair in theirs}
        same, unrounded = (
            max(abs(ours[x] / numbers[x][key] - 1) for x in theirs)
            for numbers in (theirs, original)
        )
        product = f"{factor} * {expression}" if factor > 1 else expression
        print(
            f"| `{product}` | {package} {versions[package]}: `{call}` "
            f"| {ours[SHOWN]:.7g} | {theirs[SHOWN][key]:.7g} "
            f"| {same:.0e} | {unrounded:.0e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
