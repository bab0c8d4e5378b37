"""From the values of pixels to spaces in which distances mean something."""

import numpy as np
from keras import ops

from keras_perceptual.ops.value_range import rescale
from keras_perceptual.typing import Tensor, ValueRange

# Linear sRGB to CIE XYZ, as IEC 61966-2-1 prints it, and the white of D65 seen
# at two degrees, from its chromaticity (0.3127, 0.3290).
SRGB_TO_XYZ = np.array(
    [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
)
WHITE = np.array([0.3127, 0.3290, 1 - 0.3127 - 0.3290]) / 0.3290

# Linear sRGB to the responses of cones, and their roots to OKLab.
SRGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LMS_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

# The luma of NTSC and its two channels of color, as piq rounds them. The
# authors of HaarPSI round to three digits, which changes it by up to 3e-4.
RGB_TO_YIQ = np.array(
    [
        [0.299, 0.587, 0.114],
        [0.5959, -0.2746, -0.3213],
        [0.2115, -0.5227, 0.3112],
    ]
)
# A luma and two channels of color, after Geusebroek et al. (2001).
RGB_TO_LHM = np.array(
    [[0.2989, 0.5870, 0.1140], [0.30, 0.04, -0.35], [0.34, -0.60, 0.17]]
)

# Below, sRGB is linear, and CIELAB is; and OKLab is taken to be, whose root is
# steep at black. The darkest of 256 grays is thirty times as bright.
SRGB_LINEAR = 0.04045
LAB_LINEAR = (6 / 29) ** 3
OKLAB_LINEAR = 1e-5


def to_rgb(images: Tensor, value_range: ValueRange) -> Tensor:
    """Returns RGB images in (0, 1).

    Args:
        images: Floating-point tensor whose last axis has three channels, or
            one, which is repeated.
        value_range: Pair of floats, the range of the pixels.

    Returns:
        A tensor whose last axis has three channels.
    """
    images = rescale(images, value_range)
    if images.shape[-1] == 1:
        images = ops.repeat(images, 3, axis=-1)
    return images


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """Returns how much light a screen emits for values of sRGB.

    Args:
        rgb: Floating-point tensor, values in (0, 1). What lies below goes on
            along a straight line, what lies above along the curve.

    Returns:
        A tensor shaped as `rgb`.
    """
    # Each branch sees values of its own alone, whose slope is finite.
    curved = ops.maximum(rgb, SRGB_LINEAR)
    curved = ops.power((curved + 0.055) / 1.055, 2.4)
    return ops.where(rgb > SRGB_LINEAR, curved, rgb / 12.92)


def srgb_to_lab(rgb: Tensor) -> Tensor:
    """Returns colors in CIELAB, in which people see equal steps as alike.

    Args:
        rgb: Floating-point tensor of sRGB in (0, 1), whose last axis has three
            channels. Values outside are continued smoothly.

    Returns:
        A tensor shaped as `rgb`: L in (0, 100), a and b.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.color_spaces import srgb_to_lab
    >>> red = srgb_to_lab(keras.ops.convert_to_tensor([1.0, 0.0, 0.0]))
    >>> [round(float(x), 1) for x in red]
    [53.2, 80.1, 67.2]

    Reference:
        CIE 15:2004, Colorimetry, for light of D65 seen at two degrees; sRGB
        is IEC 61966-2-1. The numbers are those of the package colour-science.
    """
    xyz = _map(srgb_to_linear(rgb), SRGB_TO_XYZ / WHITE[:, None])
    root = ops.power(ops.maximum(xyz, LAB_LINEAR), 1 / 3)
    line = xyz * (841 / 108) + 4 / 29
    x, y, z = ops.unstack(ops.where(xyz > LAB_LINEAR, root, line), 3, axis=-1)
    lab = [116 * y - 16, 500 * (x - y), 200 * (y - z)]
    return ops.stack(lab, axis=-1)


def srgb_to_oklab(rgb: Tensor) -> Tensor:
    """Returns colors in OKLab, whose hues stay as they are when mixed.

    Args:
        rgb: Floating-point tensor of sRGB in (0, 1), whose last axis has three
            channels.

    Returns:
        A tensor shaped as `rgb`: L in (0, 1), a and b.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.color_spaces import srgb_to_oklab
    >>> red = srgb_to_oklab(keras.ops.convert_to_tensor([1.0, 0.0, 0.0]))
    >>> [round(float(x), 3) for x in red]
    [0.628, 0.225, 0.126]

    Reference:
        Ottosson (2020), https://bottosson.github.io/posts/oklab/.
    """
    lms = _map(srgb_to_linear(rgb), SRGB_TO_LMS)
    root = ops.power(ops.maximum(lms, OKLAB_LINEAR), 1 / 3)
    line = lms * OKLAB_LINEAR ** (-2 / 3)
    roots = ops.where(lms > OKLAB_LINEAR, root, line)
    return _map(roots, LMS_TO_OKLAB)


def rgb_to_yiq(rgb: Tensor) -> Tensor:
    """Returns the luma of NTSC and its two channels of color.

    Args:
        rgb: Floating-point tensor whose last axis has three channels.

    Returns:
        A tensor shaped as `rgb`: Y, I and Q.
    """
    return _map(rgb, RGB_TO_YIQ)


def luma(rgb: Tensor) -> Tensor:
    """Returns the luma alone, with the last axis of size one."""
    weights = ops.cast(RGB_TO_YIQ[0], rgb.dtype)
    return ops.sum(rgb * weights, axis=-1, keepdims=True)


def rgb_to_lhm(rgb: Tensor) -> Tensor:
    """Returns a luma and two channels of color that shadows change little.

    Args:
        rgb: Floating-point tensor whose last axis has three channels.

    Returns:
        A tensor shaped as `rgb`: L, H and M.

    Reference:
        Geusebroek et al. (2001), Color invariance,
        https://doi.org/10.1109/34.977559.
    """
    return _map(rgb, RGB_TO_LHM)


def _map(x: Tensor, matrix: np.ndarray) -> Tensor:
    """Returns what a matrix makes of the channels of each color."""
    # Not `matmul`, which has three digits on some accelerators.
    # Nor a sum over an axis of three, which is as slow as it is short.
    channels = ops.unstack(x, 3, axis=-1)
    rows = [
        sum(
            weight * channel
            for weight, channel in zip(row, channels, strict=True)
        )
        for row in matrix.tolist()
    ]
    return ops.stack(rows, axis=-1)
