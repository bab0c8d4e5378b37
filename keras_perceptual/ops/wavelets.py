"""The stationary wavelet transform of images."""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.image_gradients import along
from keras_perceptual.typing import Tensor, Wavelet

# The low-pass filter that takes each apart, as PyWavelets prints it. Orthogonal
# ones: the high-pass filter is found from it.
LOW_PASS: dict[Wavelet, tuple[float, ...]] = {
    "haar": (0.7071067811865476, 0.7071067811865476),
    "db2": (
        -0.1294095225512604,
        0.2241438680420134,
        0.8365163037378079,
        0.4829629131445342,
    ),
    "db4": (
        -0.01059740178506903,
        0.0328830116668852,
        0.03084138183556076,
        -0.1870348117190931,
        -0.02798376941685985,
        0.6308807679298589,
        0.7148465705529157,
        0.2303778133088965,
    ),
    "sym4": (
        -0.07576571478927333,
        -0.02963552764599851,
        0.4976186676320155,
        0.8037387518059161,
        0.2978577956052774,
        -0.09921954357684722,
        -0.01260396726203783,
        0.0322231006040427,
    ),
    "sym7": (
        0.002681814568257878,
        -0.001047384888682916,
        -0.01263630340325193,
        0.03051551316596357,
        0.0678926935013727,
        -0.04955283493712725,
        0.01744125508685583,
        0.5361019170917628,
        0.767764317003164,
        0.2886296317515146,
        -0.1400472404429615,
        -0.1078082377038177,
        0.004010244871533663,
        0.01026817670851126,
    ),
}


class Bands(NamedTuple):
    """What an image is taken apart into at one level, each of its size.

    Args:
        approximation: What is left, smoothed along both axes.
        horizontal: What changes along the height, as at horizontal edges.
        vertical: What changes along the width.
        diagonal: What changes along both.
    """

    approximation: Tensor
    horizontal: Tensor
    vertical: Tensor
    diagonal: Tensor


def stationary_wavelets(
    images: Tensor, wavelet: Wavelet, levels: int = 1
) -> list[Bands]:
    """Returns the stationary wavelet transform of images.

    Unlike that of JPEG 2000 it keeps the size at all levels, and moves with the
    image. Images go on at one side as they begin at the other. The filters are
    scaled so that an approximation has the mean of its image, and the mean
    squares of all bands add up to that of the image: the numbers of
    `pywt.swt2(image, wavelet, levels, norm=True)`.

    Args:
        images: Floating-point tensor shaped `(batch, height, width,
            channels)`, of at least `smallest_side` pixels a side.
        wavelet: String, a key of `LOW_PASS`.
        levels: Integer of at least 1, how often the approximation is taken
            apart again.

    Returns:
        List of `Bands`, from fine to coarse.

    Example:

    >>> import keras
    >>> from keras_perceptual.ops.wavelets import stationary_wavelets
    >>> x = keras.ops.reshape(keras.ops.arange(16.0), (1, 4, 4, 1))
    >>> (bands,) = stationary_wavelets(x, "haar")
    >>> keras.ops.convert_to_numpy(bands.vertical)[0, :, :, 0].tolist()[0]
    [-0.5, -0.5, -0.5, 1.5]

    Reference:
        Nason and Silverman (1995), The stationary wavelet transform and some
        statistical applications, https://doi.org/10.1007/978-1-4612-2544-7_17.
    """
    found = []
    for level in range(levels):
        low, high = _take_apart(images, wavelet, 2**level, axis=2)
        found.append(
            Bands(
                *_take_apart(low, wavelet, 2**level, axis=1),
                *_take_apart(high, wavelet, 2**level, axis=1),
            )
        )
        images = found[-1].approximation
    return found


def smallest_side(wavelet: Wavelet, levels: int) -> int:
    """Returns the least height and width that can be taken apart."""
    return len(LOW_PASS[wavelet]) // 2 * 2 ** (levels - 1)


def _take_apart(
    x: Tensor, wavelet: Wavelet, step: int, axis: int
) -> list[Tensor]:
    """Returns what is smooth along an axis, and what is not.

    Args:
        x: Tensor shaped `(batch, height, width, channels)`.
        wavelet: A key of `LOW_PASS`.
        step: How far apart the numbers are that a filter looks at.
        axis: The axis.
    """
    low = np.array(LOW_PASS[wavelet]) / np.sqrt(2)
    half = len(low) // 2
    high = low[::-1] * np.resize([-1, 1], len(low))
    windows = np.zeros(((len(low) - 1) * step + 1, 2))
    # A convolution, where `filter_axis` correlates.
    windows[::step] = np.stack([low, high], axis=-1)[::-1]
    x = _repeat(x, (half - 1) * step, half * step, axis)
    return _backend.filter_axis(x, windows, axis)


def _repeat(x: Tensor, before: int, after: int, axis: int) -> Tensor:
    """Returns a tensor that goes on at one end as it begins at the other."""
    size = x.shape[axis]
    if size is None:
        size = ops.shape(x)[axis]
        place = ops.arange(size + before + after) - before
        return ops.take(x, ops.mod(place, size), axis=axis)
    end = x[along(x, axis, slice(size - before, size))]
    return ops.concatenate([end, x, x[along(x, axis, slice(after))]], axis)
