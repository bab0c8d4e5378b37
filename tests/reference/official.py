"""The official PyTorch packages, built on given weights without a download.

lpips, piq and torchmetrics fetch the weights of their networks when they are
constructed. Inside `offline` they receive those that are handed in, whatever
they ask for, and are otherwise as their authors published them:

    with offline({"vgg16": arrays, "alexnet": arrays}):
        loss = lpips.LPIPS(net="vgg")

and `losses` returns those of all packages at once.

Arrays are named as in the weight files of this package: `<layer>/kernel`,
shaped (height, width, inputs, outputs), and `<layer>/bias`. This module has to
be imported before TensorFlow: in the other order the process crashes.
"""

import contextlib
import copy
import functools
import inspect
import pathlib
import types
from unittest import mock

import lpips
import numpy as np
import piq
import torch
import torchmetrics.functional.image.dists
import torchmetrics.image.lpip
import torchvision

PACKAGES = ("torch", "torchvision", "lpips", "piq", "torchmetrics")


def features(network, arrays):
    """Returns the convolutional part of a torchvision network.

    Args:
        network: `"vgg16"` or `"alexnet"`.
        arrays: Dictionary of the weights, the layers in their order.
    """
    model = getattr(torchvision.models, network)(weights=None).features
    layers = list(dict.fromkeys(key.split("/")[0] for key in arrays))
    convolutions = [m for m in model if isinstance(m, torch.nn.Conv2d)]
    for layer, convolution in zip(layers, convolutions, strict=True):
        kernel = np.asarray(arrays[f"{layer}/kernel"], "float32")
        bias = np.asarray(arrays[f"{layer}/bias"], "float32")
        with torch.no_grad():
            convolution.weight.copy_(
                torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            )
            convolution.bias.copy_(torch.from_numpy(bias))
    return model.eval().requires_grad_(False)


def lpips_heads(network):
    """Returns the linear heads that lpips ships, (1, channels, 1, 1) each."""
    folder = pathlib.Path(inspect.getfile(lpips)).parent
    state = torch.load(
        folder / f"weights/v0.1/{network}.pth", map_location="cpu"
    )
    return [state[f"lin{index}.model.1.weight"] for index in range(5)]


def dists_parameters():
    """Returns alpha and beta of DISTS that torchmetrics ships."""
    return torch.load(
        torchmetrics.functional.image.dists._PATH_WEIGHT_DISTS,
        map_location="cpu",
    )


@contextlib.contextmanager
def offline(weights):
    """Hands given weights to the packages, instead of those they download.

    piq keeps the heads of LPIPS and the parameters of DISTS elsewhere too;
    it receives those that lpips and torchmetrics ship.

    Args:
        weights: Dictionary from `"vgg16"` and `"alexnet"`, or one of them, to
            the arrays of that network.
    """
    models = {name: features(name, arrays) for name, arrays in weights.items()}

    def builder(name):
        # A copy each time: piq replaces the pooling layers of what it gets.
        return lambda **_: types.SimpleNamespace(
            features=copy.deepcopy(models[name])
        )

    def fetch(url, **_):
        return dists_parameters() if "dists" in url else lpips_heads("vgg")

    with contextlib.ExitStack() as patches:
        for name in models:
            patches.enter_context(
                mock.patch.object(torchvision.models, name, builder(name))
            )
        for module in (piq.perceptual, torchmetrics.functional.image.dists):
            patches.enter_context(
                mock.patch.object(module, "vgg16", builder("vgg16"))
            )
        patches.enter_context(
            mock.patch.object(torch.hub, "load_state_dict_from_url", fetch)
        )
        yield


def torchmetrics_lpips(net):
    """Returns the module inside a metric, which can be trained with."""
    metric = torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity(net)
    return metric.net


def losses(weights):
    """Returns the packages' losses on given weights.

    Args:
        weights: The arrays of both networks, as for `offline`.

    Returns:
        A dictionary from the names that tools/make_golden_perceptual.py
        documents to functions of two batches of images in (0, 1), channels
        first, that can be differentiated.
    """
    with offline(weights):
        found = {
            "piq_lpips": piq.LPIPS(),
            "piq_dists": piq.DISTS(),
            "torchmetrics_dists": functools.partial(
                torchmetrics.functional.image.dists.DISTSNetwork(),
                require_grad=True,
            ),
            "piq_content_mse": piq.ContentLoss(distance="mse"),
            "piq_content_mae": piq.ContentLoss(distance="mae"),
            "piq_content_unit": piq.ContentLoss(normalize_features=True),
            "piq_style": piq.StyleLoss(),
        }
        for net in ("alex", "vgg"):
            modules = {
                "lpips": lpips.LPIPS(net=net, verbose=False),
                "torchmetrics_lpips": torchmetrics_lpips(net),
            }
            for name, module in modules.items():
                found[f"{name}_{net}"] = functools.partial(
                    module, normalize=True
                )
    return found
