"""What people write by hand with PyTorch, to be beside what this package has.

Functions of two batches of images in (0, 1), channels first, that return one
number. Their networks have the weights of this package; linear heads that cost
the same whatever is in them are ones. Packages that are installed
(pytorch-msssim, lpips) come in the place of what is written here.
"""

import functools
import importlib.util

import torch
from torch.nn import functional

# Where VGG16 halves its images, and the taps that losses look at.
POOLED = ("block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")
VGG_TAPS = {
    "content": ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3"),
    "lpips": (
        "block1_conv2",
        "block2_conv2",
        "block3_conv3",
        "block4_conv3",
        "block5_conv3",
    ),
}


def absolute(true, pred):
    """Mean absolute error."""
    return (true - pred).abs().mean()


def charbonnier(true, pred):
    """A smooth mean absolute error."""
    return ((true - pred).square() + 1e-6).sqrt().mean()


def total_variation(true, pred):
    """How much the prediction varies from pixel to pixel."""
    del true
    rows = (pred[:, :, 1:] - pred[:, :, :-1]).abs().mean()
    return rows + (pred[:, :, :, 1:] - pred[:, :, :, :-1]).abs().mean()


def sobel(true, pred):
    """Mean absolute difference of Sobel slopes, a convolution each."""
    kernel = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])
    kernel = torch.stack([kernel, kernel.T])[:, None].repeat(3, 1, 1, 1)
    kernel = kernel.to(pred)

    def edges(x):
        x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(x, kernel, groups=3)

    return (edges(true) - edges(pred)).abs().mean()


def midas(true, pred):
    """The slopes of the difference at four scales."""
    total = 0.0
    for scale in range(4):
        d = (pred - true)[:, :, :: 2**scale, :: 2**scale]
        total = total + (d[:, :, 1:] - d[:, :, :-1]).abs().mean()
        total = total + (d[:, :, :, 1:] - d[:, :, :, :-1]).abs().mean()
    return total


def focal_frequency(true, pred):
    """Squared differences of spectra, weighted by themselves."""
    d = torch.fft.fft2(pred - true, norm="ortho")
    squared = d.real.square() + d.imag.square()
    weight = squared.detach().sqrt()
    return (weight / weight.amax((-2, -1), keepdim=True) * squared).mean()


def _moments(x, kernel):
    channels = x.shape[1]
    for axis in (2, 3):
        shape = [1, 1, 1, 1]
        shape[axis] = kernel.numel()
        weight = kernel.reshape(shape).repeat(channels, 1, 1, 1)
        x = functional.conv2d(x, weight, groups=channels)
    return x


def _structure(true, pred):
    kernel = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2))
    kernel = (kernel / kernel.sum()).to(pred)
    blur = functools.partial(_moments, kernel=kernel)
    x, y = blur(true), blur(pred)
    xx, yy, xy = blur(true * true), blur(pred * pred), blur(true * pred)
    contrast = (2 * (xy - x * y) + 9e-4) / (xx - x * x + yy - y * y + 9e-4)
    return (2 * x * y + 1e-4) / (x * x + y * y + 1e-4), contrast


def ssim(true, pred):
    """One minus SSIM, with separable blurs."""
    luminance, contrast = _structure(true, pred)
    return 1 - (luminance * contrast).mean()


def ms_ssim(true, pred):
    """One minus SSIM at three scales."""
    product = 1.0
    for weight in (0.0448, 0.2856, 0.3001):
        luminance, contrast = _structure(true, pred)
        product = product * contrast.mean((1, 2, 3)).clamp(min=1e-6) ** weight
        true, pred = (functional.avg_pool2d(x, 2) for x in (true, pred))
    return 1 - (product * luminance.mean((1, 2, 3))).mean()


class Features:
    """The convolutions of a network, with the weights of this package."""

    def __init__(self, name, device):
        from keras_perceptual.features.weights_loading import read_packaged

        self.name = name
        arrays = read_packaged(f"{name}.npz")
        self.weights = {
            key: torch.tensor(
                x.transpose(3, 2, 0, 1).copy() if x.ndim == 4 else x,
                dtype=torch.float32,
                device=device,
            )
            for key, x in arrays.items()
        }
        self.layers = list(dict.fromkeys(key.split("/")[0] for key in arrays))

    def __call__(self, x, taps):
        """Returns what is seen at some layers, behind their activations."""
        mean, scale = (
            torch.tensor(v, device=x.device)[:, None, None]
            for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        )
        x, found = (x - mean) / scale, []
        for layer in self.layers[: self.layers.index(taps[-1]) + 1]:
            stride, padding = 1, 1
            if self.name == "alexnet":
                stride, padding = {"conv1": (4, 2), "conv2": (1, 2)}.get(
                    layer, (1, 1)
                )
                if layer in ("conv2", "conv3"):
                    x = functional.max_pool2d(x, 3, 2)
            elif layer in POOLED:
                x = functional.max_pool2d(x, 2)
            kernel, bias = (
                self.weights[f"{layer}/{part}"] for part in ("kernel", "bias")
            )
            x = functional.conv2d(x, kernel, bias, stride, padding).relu()
            if layer in taps:
                found.append(x)
        return found


def content(network, taps, true, pred):
    """Mean squared differences of features."""
    with torch.no_grad():
        wanted = network(true, taps)
    pairs = zip(wanted, network(pred, taps), strict=True)
    return sum((x - y).square().mean() for x, y in pairs)


def lpips(network, taps, true, pred):
    """Squared differences of features of length one."""

    def unit(x):
        return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)

    with torch.no_grad():
        wanted = network(true, taps)
    pairs = zip(wanted, network(pred, taps), strict=True)
    return sum(
        (unit(x) - unit(y)).square().sum(1).mean((1, 2)).mean()
        for x, y in pairs
    )


def look_up(images, cube):
    """Returns images in the colors of a cube `(3, size, size, size)`."""
    grid = images.permute(0, 2, 3, 1)[:, None] * 2 - 1
    table = cube.expand(images.shape[0], -1, -1, -1, -1)
    found = functional.grid_sample(
        table, grid, align_corners=True, padding_mode="border"
    )
    return found[:, :, 0]


def losses(device):
    """Returns functions of two batches of images, by the names of ours."""
    vgg, alexnet = (Features(name, device) for name in ("vgg16", "alexnet"))
    taps = tuple(f"conv{i}" for i in range(1, 6))
    found = {
        "MeanAbsoluteError()": absolute,
        "CharbonnierLoss()": charbonnier,
        "TotalVariationLoss()": total_variation,
        "SobelGradientLoss()": sobel,
        'SobelGradientLoss.preset("midas")': midas,
        "FocalFrequencyLoss()": focal_frequency,
        "SSIMLoss()": ssim,
        "MSSSIMLoss(), three scales": ms_ssim,
        "PerceptualLoss()": functools.partial(
            content, vgg, VGG_TAPS["content"]
        ),
        'LPIPS("vgg16")': functools.partial(lpips, vgg, VGG_TAPS["lpips"]),
        'LPIPS("alexnet")': functools.partial(lpips, alexnet, taps),
    }
    if importlib.util.find_spec("pytorch_msssim"):
        import pytorch_msssim

        found["SSIMLoss()"] = lambda x, y: (
            1 - pytorch_msssim.ssim(y, x, data_range=1.0)
        )
        found["MSSSIMLoss(), three scales"] = lambda x, y: (
            1
            - pytorch_msssim.ms_ssim(
                y, x, data_range=1.0, weights=[0.0448, 0.2856, 0.3001]
            )
        )
    if importlib.util.find_spec("kornia"):
        import kornia

        def edges(x):
            return kornia.filters.spatial_gradient(x, normalized=False)

        found["SobelGradientLoss()"] = lambda x, y: (
            (edges(x) - edges(y)).abs().mean()
        )
    return found
