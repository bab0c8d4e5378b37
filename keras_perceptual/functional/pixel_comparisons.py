"""Comparisons of pixels as functions: images in, one value an image out.

Each has the arguments and the defaults of the class that it is named for, but
for what only a loss needs: there is no reduction, no name and no check of the
range of values. Images may be of any type. They can be called inside traced
and compiled code, and are differentiated there by all backends.
"""

from collections.abc import Sequence

from keras_perceptual import losses
from keras_perceptual.docstrings import fill_from
from keras_perceptual.functional.kept_losses import measure
from keras_perceptual.typing import (
    ArrayLike,
    Blur,
    ColorDifference,
    Components,
    DataFormat,
    Downsampling,
    DType,
    EdgeMode,
    EdgeNorm,
    EdgeOperator,
    Padding,
    Tensor,
    ValueRange,
    VariationNorm,
    Wavelet,
)


@fill_from(losses.CharbonnierLoss)
def charbonnier_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    epsilon: float = 1e-3,
    *,
    mask: ArrayLike | None = None,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns the Charbonnier loss of each pair of images.

    See `CharbonnierLoss`.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> black = np.zeros((1, 8, 8, 3), "float32")
    >>> round(float(kp.functional.charbonnier_loss(black, black + 0.5)[0]), 3)
    0.499

    Reference:
        [Lai et al., 2017](https://arxiv.org/abs/1704.03915).
    """
    return measure(
        losses.CharbonnierLoss,
        y_true,
        y_pred,
        mask=mask,
        epsilon=epsilon,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.ColorDifferenceLoss)
def color_difference(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    difference: ColorDifference = "ciede2000",
    *,
    mask: ArrayLike | None = None,
    blur: Blur = 1,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns how far apart the colors of each pair of images are.

    See `ColorDifferenceLoss`.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> red, green = np.eye(3)[:2].reshape(2, 1, 1, 1, 3)
    >>> round(float(kp.functional.color_difference(red, green)[0]), 1)
    86.6

    Reference:
        [Sharma et al., 2005](https://doi.org/10.1002/col.20070).
    """
    return measure(
        losses.ColorDifferenceLoss,
        y_true,
        y_pred,
        mask=mask,
        difference=difference,
        blur=blur,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.FocalFrequencyLoss)
def focal_frequency_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float = 1.0,
    *,
    mask: ArrayLike | None = None,
    log_matrix: bool = False,
    patch_factor: int = 1,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns how far apart the spectra of each pair of images are.

    See `FocalFrequencyLoss`.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> black = np.zeros((1, 8, 8, 3), "float32")
    >>> loss = kp.functional.focal_frequency_loss(black, black + 0.5)
    >>> round(float(loss[0]), 4)
    0.25

    Reference:
        [Jiang et al., 2021](https://arxiv.org/abs/2012.12821).
    """
    return measure(
        losses.FocalFrequencyLoss,
        y_true,
        y_pred,
        mask=mask,
        alpha=alpha,
        log_matrix=log_matrix,
        patch_factor=patch_factor,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.HaarPSILoss)
def haar_psi(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    c: float = 30.0,
    alpha: float = 4.2,
    subsample: bool = True,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns the HaarPSI of each pair of images; 1 for equal ones.

    It is one minus `HaarPSILoss`, and the number of `piq.haarpsi`. To train,
    take the loss: near 1 this has few digits left.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> ramp = np.linspace(0, 1, 256, dtype="float32").reshape(1, 16, 16, 1)
    >>> float(kp.functional.haar_psi(ramp, ramp)[0])
    1.0

    Reference:
        [Reisenhofer et al., 2018](https://arxiv.org/abs/1607.06140).
    """
    return 1 - measure(
        losses.HaarPSILoss,
        y_true,
        y_pred,
        mask=mask,
        c=c,
        alpha=alpha,
        subsample=subsample,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.MDSILoss)
def mdsi(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    c1: float = 140.0,
    c2: float = 55.0,
    c3: float = 550.0,
    alpha: float = 0.6,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns the MDSI of each pair of images; 0 for equal ones.

    See `MDSILoss`.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> ramp = np.linspace(0, 1, 256, dtype="float32").reshape(1, 16, 16, 1)
    >>> float(kp.functional.mdsi(ramp, ramp)[0])
    0.0

    Reference:
        [Nafchi et al., 2016](https://arxiv.org/abs/1608.07433).
    """
    return measure(
        losses.MDSILoss,
        y_true,
        y_pred,
        mask=mask,
        c1=c1,
        c2=c2,
        c3=c3,
        alpha=alpha,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.MSSSIMLoss)
def ms_ssim(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    weights: Sequence[float] | None = None,
    *,
    mask: ArrayLike | None = None,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    epsilon: float = 1e-3,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns the MS-SSIM of each pair of images; 1 for equal ones.

    It is one minus `MSSSIMLoss`. To train, take the loss: near 1 this has few
    digits left.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> photo = np.random.default_rng(0).uniform(size=(1, 48, 48, 3))
    >>> float(kp.functional.ms_ssim(photo, photo, (0.5, 0.5))[0])
    1.0

    Reference:
        [Wang et al., 2003](https://doi.org/10.1109/ACSSC.2003.1292216).
    """
    return 1 - measure(
        losses.MSSSIMLoss,
        y_true,
        y_pred,
        mask=mask,
        weights=weights,
        filter_size=filter_size,
        filter_sigma=filter_sigma,
        k1=k1,
        k2=k2,
        epsilon=epsilon,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.SobelGradientLoss)
def sobel_gradient_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    norm: EdgeNorm = "l1",
    *,
    mask: ArrayLike | None = None,
    operator: EdgeOperator = "sobel",
    mode: EdgeMode = "component",
    scales: int = 1,
    downsampling: Downsampling = "average",
    components: Components = "mean",
    normalize: bool = False,
    log_space: bool = False,
    padding: Padding = "reflect",
    epsilon: float = 1e-3,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns how far apart the slopes of each pair of images are.

    See `SobelGradientLoss`.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> sharp = np.zeros((1, 8, 8, 1), "float32")
    >>> sharp[:, :, 4:] = 1.0
    >>> soft = sharp.copy()
    >>> soft[:, :, 3:5] = 0.5
    >>> float(kp.functional.sobel_gradient_loss(sharp, soft)[0])
    0.5

    Reference:
        [Ranftl et al., 2019](https://arxiv.org/abs/1907.01341).
    """
    return measure(
        losses.SobelGradientLoss,
        y_true,
        y_pred,
        mask=mask,
        norm=norm,
        operator=operator,
        mode=mode,
        scales=scales,
        downsampling=downsampling,
        components=components,
        normalize=normalize,
        log_space=log_space,
        padding=padding,
        epsilon=epsilon,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.SSIMLoss)
def ssim(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns the SSIM of each pair of images; 1 for equal ones.

    It is one minus `SSIMLoss`, and the number of `tf.image.ssim`. To train,
    take the loss: near 1 this has few digits left.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> ramp = np.linspace(0, 1, 256, dtype="float32").reshape(1, 16, 16, 1)
    >>> float(kp.functional.ssim(ramp, ramp)[0])
    1.0

    Reference:
        [Wang et al., 2004](https://doi.org/10.1109/TIP.2003.819861).
    """
    return 1 - measure(
        losses.SSIMLoss,
        y_true,
        y_pred,
        mask=mask,
        filter_size=filter_size,
        filter_sigma=filter_sigma,
        k1=k1,
        k2=k2,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.TotalVariationLoss)
def total_variation(
    images: ArrayLike,
    norm: VariationNorm = "l1",
    *,
    mask: ArrayLike | None = None,
    epsilon: float = 1e-3,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns how much each image varies from pixel to pixel.

    See `TotalVariationLoss`.

    Args:
        images: Images shaped `(batch, height, width, channels)`, of any type.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if these are no images.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> edge = np.zeros((1, 4, 4, 1), "float32")
    >>> edge[:, :, 2:] = 1.0
    >>> float(kp.functional.total_variation(edge)[0])  # Four of sixteen pixels.
    0.25

    Reference:
        [Rudin, Osher and Fatemi, 1992](
            https://doi.org/10.1016/0167-2789(92)90242-F).
    """
    return measure(
        losses.TotalVariationLoss,
        images,
        images,
        mask=mask,
        norm=norm,
        epsilon=epsilon,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.WaveletLoss)
def wavelet_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    wavelet: Wavelet = "sym7",
    *,
    mask: ArrayLike | None = None,
    levels: int = 1,
    approximation_weight: float = 1.0,
    detail_weight: float = 0.1414,
    diagonal_weight: float = 1.0,
    luma: bool = True,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns how far apart the wavelet coefficients of images are.

    See `WaveletLoss`.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {mask}
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> black = np.zeros((1, 16, 16, 1), "float32")
    >>> round(float(kp.functional.wavelet_loss(black, black + 0.5)[0]), 4)
    0.5

    Reference:
        [Korkmaz et al., 2024](https://arxiv.org/abs/2402.19215).
    """
    return measure(
        losses.WaveletLoss,
        y_true,
        y_pred,
        mask=mask,
        wavelet=wavelet,
        levels=levels,
        approximation_weight=approximation_weight,
        detail_weight=detail_weight,
        diagonal_weight=diagonal_weight,
        luma=luma,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )
