"""Comparisons of features as functions: images in, one value an image out.

They are as those of pixels, see `pixel_comparisons`. What a network sees of
images is compared here: the network is built once and kept for later calls.
"""

from typing import Literal

import keras

from keras_perceptual import losses
from keras_perceptual.docstrings import fill_from
from keras_perceptual.functional.kept_losses import measure
from keras_perceptual.typing import (
    ArrayLike,
    DataFormat,
    DType,
    FeatureDifference,
    GramNormalization,
    Layers,
    PathLike,
    Pooling,
    Tensor,
    ValueRange,
)


@fill_from(losses.ContextualLoss)
def contextual_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    backbone: str = "vgg16",
    layers: Layers | None = None,
    *,
    weights: PathLike | None = None,
    band_width: float = 0.5,
    max_features: int = 1024,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns how few features of targets each prediction has, wherever.

    See `ContextualLoss`, also for what it compares by default.

    Args:
        y_true: Images shaped `(batch, height, width, channels)`, of any type.
        y_pred: Images of the same shape.
        {settings}

    Returns:
        A tensor shaped `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, or if the images cannot be
            compared.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> photo = np.random.default_rng(0).uniform(size=(1, 64, 64, 3))
    >>> moved = np.roll(photo, 8, axis=2)
    >>> loss = kp.functional.contextual_loss(photo, moved, "alexnet", ["relu2"])
    >>> bool(loss[0] < 1)
    True

    Reference:
        [Mechrez et al., 2018](https://arxiv.org/abs/1803.02077).
    """
    return measure(
        losses.ContextualLoss,
        y_true,
        y_pred,
        backbone=backbone,
        layers=layers,
        weights=weights,
        band_width=band_width,
        max_features=max_features,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.DISTS)
def dists(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    weights: PathLike | None = None,
    resize: int | None = None,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns the DISTS of each pair of images; lower is better.

    See `DISTS`.

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
    >>> photo = np.random.default_rng(0).uniform(size=(1, 32, 32, 3))
    >>> float(kp.functional.dists(photo, photo)[0])
    0.0

    Reference:
        [Ding et al., 2020](https://arxiv.org/abs/2004.07728).
    """
    return measure(
        losses.DISTS,
        y_true,
        y_pred,
        mask=mask,
        weights=weights,
        resize=resize,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.LPIPS)
def lpips(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    backbone: Literal["alexnet", "vgg16"] = "alexnet",
    *,
    mask: ArrayLike | None = None,
    weights: PathLike | None = None,
    linear_heads: bool = True,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns the LPIPS of each pair of images; lower is better.

    See `LPIPS`.

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
    >>> photo = np.random.default_rng(0).uniform(size=(1, 64, 64, 3))
    >>> float(kp.functional.lpips(photo, photo)[0])
    0.0
    >>> bool(kp.functional.lpips(photo, 0.5 * photo)[0] > 0.01)
    True

    Reference:
        [Zhang et al., 2018](https://arxiv.org/abs/1801.03924).
    """
    return measure(
        losses.LPIPS,
        y_true,
        y_pred,
        mask=mask,
        backbone=backbone,
        weights=weights,
        linear_heads=linear_heads,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.PerceivedDistance)
def perceived_distance(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    backbone: Literal["alexnet", "vgg16"] = "alexnet",
    *,
    mask: ArrayLike | None = None,
    size: Literal["full", "small"] = "full",
    forgive_gain: bool = True,
    weights: PathLike | None = None,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns how far each image seems to be from its reference.

    See `PerceivedDistance`.

    Args:
        y_true: References shaped `(batch, height, width, channels)`, of any
            type.
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
    >>> photo = np.random.default_rng(0).uniform(size=(1, 64, 64, 3))
    >>> float(kp.functional.perceived_distance(photo, photo)[0])
    0.0
    >>> bool(kp.functional.perceived_distance(photo, 0.5 * photo)[0] > 0.1)
    True

    Reference:
        The guide "A distance that sees as people do".
    """
    return measure(
        losses.PerceivedDistance,
        y_true,
        y_pred,
        mask=mask,
        backbone=backbone,
        size=size,
        forgive_gain=forgive_gain,
        weights=weights,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )


@fill_from(losses.PerceptualLoss)
def perceptual_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    backbone: str | keras.Model = "vgg16",
    layers: Layers | None = None,
    *,
    mask: ArrayLike | None = None,
    weights: PathLike | None = None,
    pooling: Pooling = "max",
    distance: FeatureDifference = "mse",
    added_weight: float = 0.1,
    normalize_features: bool = False,
    content_weight: float = 1.0,
    style_weight: float = 0.0,
    style_layers: Layers | None = None,
    style_image: ArrayLike | PathLike | None = None,
    gram_normalization: GramNormalization = "chw",
    scales: int = 1,
    value_range: ValueRange = (0, 1),
    data_format: DataFormat | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns how far apart the features of each pair of images are.

    See `PerceptualLoss`.

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
    >>> photo = np.random.default_rng(0).uniform(size=(1, 32, 32, 3))
    >>> float(kp.functional.perceptual_loss(photo, photo, "alexnet")[0])
    0.0

    Reference:
        [Johnson et al., 2016](https://arxiv.org/abs/1603.08155).
    """
    return measure(
        losses.PerceptualLoss,
        y_true,
        y_pred,
        mask=mask,
        backbone=backbone,
        layers=layers,
        weights=weights,
        pooling=pooling,
        distance=distance,
        added_weight=added_weight,
        normalize_features=normalize_features,
        content_weight=content_weight,
        style_weight=style_weight,
        style_layers=style_layers,
        style_image=style_image,
        gram_normalization=gram_normalization,
        scales=scales,
        value_range=value_range,
        data_format=data_format,
        dtype=dtype,
    )
