"""Our losses beside the official packages, where those are installed.

Values, terms, maps and gradients by the prediction, with random weights, which
hide no mistake behind features of zero, and with those of the package.
"""

import functools
import importlib

import checks
import keras
import numpy as np
import pytest
from reference import photographs

from keras_perceptual import DISTS, LPIPS, PerceptualLoss
from keras_perceptual.features import weights_loading

# The other packages first: without one of them `official` is not there either.
for package in ("torchvision", "torchmetrics"):
    pytest.importorskip(package)
torch = pytest.importorskip("torch")
lpips = pytest.importorskip("lpips")
piq = pytest.importorskip("piq")
official = importlib.import_module("reference.official")
lpip = importlib.import_module("torchmetrics.image.lpip")
dists = importlib.import_module("torchmetrics.functional.image.dists")

NETS = {"alexnet": "alex", "vgg16": "vgg"}


@functools.cache
def weights_of(kind):
    """Returns the arrays of both networks."""
    rng = np.random.default_rng(0)
    found = {}
    for network in NETS:
        arrays = weights_loading.read_packaged(f"{network}.npz")
        if kind == "random":
            arrays = {
                # As large as keeps what the network computes in bounds.
                key: rng.normal(
                    0, np.sqrt(2 / np.prod(x.shape[:-1])), x.shape
                ).astype("float32")
                if x.ndim > 1
                else rng.uniform(-0.1, 0.1, x.shape).astype("float32")
                for key, x in arrays.items()
            }
        found[network] = arrays
    return found


@pytest.fixture(params=["random", "packaged"], scope="module")
def weights(request, tmp_path_factory):
    """Returns the folder of the weights' files, inside `official.offline`."""
    folder = tmp_path_factory.mktemp("weights")
    arrays = weights_of(request.param)
    for network, found in arrays.items():
        np.savez(folder / f"{network}.npz", **found)
    with official.offline(arrays):
        yield folder


@pytest.fixture(scope="module")
def images():
    """Returns a batch of two small photographs, and distorted ones."""
    pairs = [
        photographs.pair("rocket_75x101", kind) for kind in ("shift", "noise")
    ]
    # Odd sizes, so that each layer has a border to deal with.
    return tuple(
        np.concatenate(x)[:, 10:55, 20:79] for x in zip(*pairs, strict=True)
    )


def as_torch(images):
    return [
        torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))
        for x in images
    ]


def numpy(x):
    return keras.ops.convert_to_numpy(x)


# In float32 a single activation that falls on the other side of zero, or of
# another that is pooled with it, moves a gradient by up to three hundredths; so
# does rounding within the packages. JAX has no float64 by default.
GRADIENT_DTYPE, GRADIENT_TOLERANCE = (
    ("float32", 5e-2) if keras.backend.backend() == "jax" else ("float64", 1e-4)
)


def check_gradient(ours, module, images, **options):
    """The gradients by the prediction agree, of the sum over the batch.

    Args:
        ours: Our loss.
        module: The one of a package, moved to `GRADIENT_DTYPE`.
        images: The two batches.
        **options: What else the module is called with.
    """
    config = {**ours.get_config(), "dtype": GRADIENT_DTYPE}
    ours = type(ours).from_config(config)
    images = [x.astype(GRADIENT_DTYPE) for x in images]
    y_true, y_pred = images
    (found,) = checks.gradients(
        lambda x: keras.ops.sum(ours.per_image(y_true, x)), y_pred
    )
    true, pred = as_torch(images)
    module = module.to(pred.dtype)
    value = module(true, pred.requires_grad_(), **options).sum()
    (expected,) = torch.autograd.grad(value, pred)
    expected = np.moveaxis(expected.numpy(), 1, -1)
    off = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert off < GRADIENT_TOLERANCE


@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("backbone", NETS)
def test_lpips(weights, images, backbone, heads):
    ours = LPIPS(
        backbone, weights=weights / f"{backbone}.npz", linear_heads=heads
    )
    options = {"net": NETS[backbone], "lpips": heads, "verbose": False}
    theirs = lpips.LPIPS(**options)
    spatial = lpips.LPIPS(**options, spatial=True)
    with torch.no_grad():
        value, layers = theirs(
            *as_torch(images), retPerLayer=True, normalize=True
        )
        heat = spatial(*as_torch(images), normalize=True)
    np.testing.assert_allclose(
        numpy(ours.per_image(*images)), value.flatten(), rtol=1e-5
    )
    for found, expected in zip(
        ours.per_layer(*images).values(), layers, strict=True
    ):
        np.testing.assert_allclose(numpy(found), expected.flatten(), rtol=5e-5)
    np.testing.assert_allclose(
        numpy(ours.spatial_map(*images)), heat[:, 0], rtol=1e-4, atol=1e-6
    )
    check_gradient(ours, theirs, images, normalize=True)


@pytest.mark.parametrize("backbone", NETS)
def test_lpips_of_torchmetrics(weights, images, backbone):
    ours = LPIPS(backbone, weights=weights / f"{backbone}.npz")
    metric = lpip.LearnedPerceptualImagePatchSimilarity(
        NETS[backbone], normalize=True
    )
    with torch.no_grad():
        expected = float(metric(*as_torch(images)))
    assert float(ours(*images)) == pytest.approx(expected, rel=1e-5)


def test_lpips_of_piq(weights, images):
    ours = LPIPS("vgg16", weights=weights / "vgg16.npz")
    theirs = piq.LPIPS(reduction="none")
    np.testing.assert_allclose(
        numpy(ours.per_image(*images)), theirs(*as_torch(images)), rtol=1e-5
    )
    check_gradient(ours, theirs, images)


def test_dists(weights, images):
    ours = DISTS(weights=weights / "vgg16.npz")
    theirs = dists.DISTSNetwork()
    np.testing.assert_allclose(
        numpy(ours.per_image(*images)),
        theirs(*as_torch(images)).detach(),
        atol=1e-6,
    )
    check_gradient(ours, theirs, images, require_grad=True)


def test_dists_of_piq(weights):
    """It shrinks images whose shorter side has more than 256 pixels."""
    images = photographs.pair("chelsea_300x451", "blur")
    ours = DISTS(weights=weights / "vgg16.npz", resize=256)
    theirs = piq.DISTS(reduction="none")
    np.testing.assert_allclose(
        numpy(ours.per_image(*images)), theirs(*as_torch(images)), atol=2e-6
    )


CHANNELS = {"relu2_2": 128, "relu4_3": 512}


@pytest.mark.parametrize(
    ("term", "options"),
    [
        ("content", {}),
        ("content", {"distance": "mae"}),
        ("content", {"normalize_features": True}),
        ("content", {"replace_pooling": True}),
        ("style", {}),
        ("style", {"normalize_features": True}),
        ("style", {"replace_pooling": True}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_content_and_style_of_piq(weights, images, term, options):
    layers = {"relu2_2": 0.5, "relu4_3": 2.0}
    theirs = {"content": piq.ContentLoss, "style": piq.StyleLoss}[term](
        layers=list(layers),
        weights=list(layers.values()),
        reduction="none",
        **options,
    )
    config = {**options, "weights": weights / "vgg16.npz"}
    if config.pop("replace_pooling", False):
        config["pooling"] = "average"
    if term == "style":
        config |= {
            "content_weight": 0,
            "style_weight": 1,
            "gram_normalization": "none",
        }
    else:
        # piq sums over the channels, where ours is the mean.
        layers = {k: v * CHANNELS[k] for k, v in layers.items()}
    ours = PerceptualLoss("vgg16", layers, **config)
    np.testing.assert_allclose(
        numpy(ours.per_image(*images)), theirs(*as_torch(images)), rtol=5e-5
    )
    check_gradient(ours, theirs, images)
