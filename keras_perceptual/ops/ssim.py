"""Structural similarity, at one scale and at several.

All functions return distances, one minus a similarity. Computed from the
difference of two images, a distance keeps its digits where they are all but
equal; one minus a similarity that has been rounded to one does not.
"""

from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.distances import mean_over_positions, normalize_mask
from keras_perceptual.ops.image_gradients import spatial_axes
from keras_perceptual.typing import ArrayLike, DataFormat, Shape, Tensor
from keras_perceptual.validation import Checker

# Of a window, in pixels a side; 11 is usual.
LARGEST_FILTER = 1024

# What each scale counts, from the finest on (Wang, Simoncelli and Bovik).
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim_distance(
    x: ArrayLike,
    y: ArrayLike,
    *,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    mask: Tensor | None = None,
    data_format: DataFormat | None = None,
) -> Tensor:
    """Returns one minus the structural similarity of each pair of images.

    Statistics are taken in every window that lies within the image, for each
    channel by itself, and averaged over windows and channels.

    Args:
        x: Floating-point batch of images in (0, 1), with any number of
            channels.
        y: Tensor shaped as `x`.
        filter_size: Integer, height and width of the Gaussian window.
        filter_sigma: Float, standard deviation of the window, in pixels.
        k1: Float above zero; its square is added to squared means.
        k2: Float above zero; its square is added to variances.
        mask: Optional weights of the pixels, `(batch, height, width)`.
            Statistics are those of the pixels that count, and a window counts
            as much as they do together.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        A tensor shaped `(batch,)`, from 0 to 2.

    Raises:
        ValueError: If images are smaller than the window.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.ssim import ssim_distance
    >>> x = np.linspace(0, 1, 256, dtype="float32").reshape(1, 16, 16, 1)
    >>> float(ssim_distance(x, x)[0])
    0.0
    >>> bool(ssim_distance(x, 1 - x)[0] > 1.5)
    True

    Reference:
        [Wang et al., 2004](https://doi.org/10.1109/TIP.2003.819861).
    """
    x, y = _channels_last("ssim_distance", x, y, data_format, filter_size, 1)
    window = gaussian_window(filter_size, filter_sigma)
    whole, _, seen = _compare(x, y, window, k1, k2, _expand(mask, x))
    (distance,) = _means([whole], seen)
    return ops.mean(distance, axis=-1)


def ms_ssim_distance(
    x: ArrayLike,
    y: ArrayLike,
    weights: Sequence[float] = MS_SSIM_WEIGHTS,
    *,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    epsilon: float = 1e-3,
    mask: Tensor | None = None,
    data_format: DataFormat | None = None,
) -> Tensor:
    """Returns one minus the multi-scale similarity of each pair of images.

    For each channel the similarity is the product of a term of each scale to
    the power of its weight: how alike contrast and structure are at all but
    the coarsest scale, and the whole structural similarity there. From one
    scale to the next the size is halved by averaging.

    A term that is negative, as of an image and its negative, has no such
    power, and one that is nearly zero has an immense slope. Terms below
    `epsilon` enter as `epsilon`, and the distance grows by
    `weight * (epsilon - term)` for each, so that a gradient is left.

    Args:
        x: Floating-point batch of images in (0, 1), with any number of
            channels.
        y: Tensor shaped as `x`.
        weights: Sequence of floats, the weight of each scale, from the finest
            on. Defaults to the five of the paper.
        filter_size: Integer, height and width of the Gaussian window.
        filter_sigma: Float, standard deviation of the window, in pixels.
        k1: Float above zero; its square is added to squared means.
        k2: Float above zero; its square is added to variances.
        epsilon: Float above zero, the least that a term is raised to its
            power from.
        mask: Optional weights of the pixels, `(batch, height, width)`.
            Statistics are those of the pixels that count, and a window counts
            as much as they do together.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If images are smaller than the window at the coarsest
            scale.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.ssim import ms_ssim_distance
    >>> x = np.linspace(0, 1, 1024, dtype="float32").reshape(1, 32, 32, 1)
    >>> float(ms_ssim_distance(x, x, weights=(0.5, 0.5))[0])
    0.0

    Reference:
        [Wang et al., 2003](https://doi.org/10.1109/ACSSC.2003.1292216).
    """
    x, y = _channels_last(
        "ms_ssim_distance", x, y, data_format, filter_size, len(weights)
    )
    window = gaussian_window(filter_size, filter_sigma)
    exponent, excess = 0.0, 0.0
    mask = _expand(mask, x)
    for scale, weight in enumerate(weights):
        if scale and mask is None:
            x, y = _halve(x), _halve(y)
        elif scale:
            seen, mask = mask, _halve(mask)
            x, y = (_share(_halve(z * seen), mask) for z in (x, y))
        *windows, seen = _compare(x, y, window, k1, k2, mask)
        distance, structure = _means(windows, seen)
        term = distance if scale == len(weights) - 1 else structure
        over = ops.relu(term - (1 - epsilon))
        exponent = exponent + weight * ops.log1p(over - term)
        excess = excess + weight * over
    return ops.mean(excess - ops.expm1(exponent), axis=-1)


def ssim_map(
    x: ArrayLike,
    y: ArrayLike,
    *,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: DataFormat | None = None,
) -> Tensor:
    """Returns one minus the structural similarity around each pixel.

    Args:
        x: As for `ssim_distance`.
        y: As for `ssim_distance`.
        filter_size: As for `ssim_distance`.
        filter_sigma: As for `ssim_distance`.
        k1: As for `ssim_distance`.
        k2: As for `ssim_distance`.
        data_format: As for `ssim_distance`.

    Returns:
        A tensor shaped `(batch, height, width)`, the mean over the channels.
        The value of a window stands at its center, where there are two, at
        the first; those at the border go on to the edge of the image.
    """
    x, y = _channels_last("ssim_map", x, y, data_format, filter_size, 1)
    window = gaussian_window(filter_size, filter_sigma)
    found = ops.mean(_compare(x, y, window, k1, k2)[0], axis=-1)
    before = (filter_size - 1) // 2
    after = filter_size - 1 - before
    for axis in (1, 2):
        size = ops.shape(found)[axis]
        place = ops.arange(size + before + after) - before
        place = ops.clip(place, 0, size - 1)
        found = ops.take(found, place, axis=axis)
    return found


def gaussian_window(size: int, sigma: float) -> np.ndarray:
    """Returns the weights of a Gaussian window along one axis.

    Args:
        size: Integer, how many pixels it covers.
        sigma: Float, its standard deviation in pixels.

    Returns:
        NumPy array shaped `(size,)`, of sum one.
    """
    offset = np.arange(size) - (size - 1) / 2
    window = np.exp(-0.5 * np.square(offset / sigma))
    return window / window.sum()


def smallest_size(filter_size: int, scales: int) -> int:
    """Returns the least height and width that fill a window at every scale."""
    return (filter_size - 1) * 2 ** (scales - 1) + 1


def check_image_size(
    owner: str,
    shape: Shape,
    *,
    filter_size: int,
    data_format: DataFormat,
    scales: int = 1,
) -> None:
    """Refuses images that are smaller than the window at some scale.

    Args:
        owner: Name of the object that asks, for the message.
        shape: Static shape of the images; `None` is an unknown size.
        filter_size: Height and width of the window.
        data_format: Where the channels are.
        scales: At how many scales it is applied, each of half the size.
    """
    sizes = [shape[axis] for axis in spatial_axes(data_format)]
    sizes = [size for size in sizes if size is not None]
    needed = smallest_size(filter_size, scales)
    if not sizes or min(sizes) >= needed:
        return
    remedies = ["Pass larger images"]
    possible = [
        n
        for n in range(1, scales)
        if min(sizes) >= smallest_size(filter_size, n)
    ]
    if possible:
        remedies.append(f"`weights` of at most {possible[-1]} scales")
    at_scales = f" at {scales} scales" if scales > 1 else ""
    raise ValueError(
        f"{owner} needs images at least {needed} pixels high and wide for a "
        f"window of {filter_size} pixels{at_scales}. {', '.join(remedies)}, or "
        f"a smaller `filter_size`. Received: images of shape {shape} in "
        f"{data_format!r}"
    )


def _channels_last(
    owner: str,
    x: ArrayLike,
    y: ArrayLike,
    data_format: DataFormat | None,
    filter_size: int,
    scales: int,
) -> tuple[Tensor, Tensor]:
    """Returns images that are large enough, with their channels last."""
    data_format = Checker(owner).data_format(data_format)
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    for images in (x, y):
        check_image_size(
            owner,
            tuple(images.shape),
            filter_size=filter_size,
            data_format=data_format,
            scales=scales,
        )
    if data_format == "channels_first":
        x, y = (ops.transpose(images, (0, 2, 3, 1)) for images in (x, y))
    return x, y


def _compare(
    x: Tensor,
    y: Tensor,
    window: np.ndarray,
    k1: float,
    k2: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns distances of each window and channel, and what windows see.

    The first is that of the whole structural similarity, the second that of
    contrast and structure alone. A mask is shaped as images of one channel, and
    so is what windows see of it. With the variances `vx`, `vy` and `vd` of the
    two images and of their difference, the similarity of the latter is

    ```
    (2 * cov(x, y) + c2) / (vx + vy + c2)  =  1 - vd / (vx + vy + c2)
    ```

    and the one of luminance likewise, with squared means for variances.
    """
    difference = y - x
    # A variance is the mean square less the squared mean: few digits are left
    # of it far from zero. It does not depend on where zero is, nor therefore
    # does its gradient.
    x_offset, d_offset = (
        ops.stop_gradient(ops.mean(images, axis=(1, 2), keepdims=True))
        for images in (x, difference)
    )
    x, d = x - x_offset, difference - d_offset
    y = x + d
    seen = None if mask is None else _backend.filter_images(mask, window)

    def average(images: Tensor) -> Tensor:
        if seen is None:
            return _backend.filter_images(images, window)
        return _share(_backend.filter_images(images * mask, window), seen)

    x_mean, d_mean, squares, d_squares = (
        average(images)
        for images in (x, d, ops.square(x) + ops.square(y), ops.square(d))
    )
    y_mean = x_mean + d_mean
    variances = _at_least_zero(
        squares - ops.square(x_mean) - ops.square(y_mean)
    )
    d_variance = _at_least_zero(d_squares - ops.square(d_mean))
    structure = d_variance / (variances + k2**2)

    shift = d_mean + d_offset
    x_mean = x_mean + x_offset
    luminance = ops.square(shift) / (
        ops.square(x_mean) + ops.square(x_mean + shift) + k1**2
    )
    # One minus (1 - luminance) * (1 - structure).
    whole = luminance + structure - luminance * structure
    return whole, structure, seen


def _means(
    distances: Sequence[Tensor], seen: Tensor | None
) -> tuple[Tensor, ...]:
    """Averages distances of windows, shaped `(batch, channels)`."""
    weights = None if seen is None else normalize_mask(seen[..., 0])
    return tuple(mean_over_positions(x, weights) for x in distances)


def _expand(mask: Tensor | None, images: Tensor) -> Tensor | None:
    """Returns a mask as images of one channel."""
    if mask is None:
        return None
    return ops.cast(ops.expand_dims(mask, -1), images.dtype)


def _share(total: Tensor, weight: Tensor) -> Tensor:
    """Returns a weighted sum by the sum of its weights, 0 where that is 0."""
    return total / ops.where(weight > 0, weight, ops.ones_like(weight))


def _at_least_zero(variance: Tensor) -> Tensor:
    """Returns a variance without what rounding took too much.

    The gradient is that of the variance. That of a ReLU is not: a compiler may
    compute a variance of about zero twice, of another sign each time, and
    large terms that belong together would be cut off one by one.
    """
    return variance + ops.stop_gradient(ops.relu(variance) - variance)


def _halve(images: Tensor) -> Tensor:
    """Averages two by two pixels; an odd last one counts as if repeated."""
    return ops.average_pool(
        images, 2, strides=2, padding="same", data_format="channels_last"
    )
