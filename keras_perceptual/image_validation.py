"""Checks of the images, masks and weights that an object is called with."""

import warnings
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import keras

from keras_perceptual.typing import ArrayLike, DataFormat, Shape, Targets
from keras_perceptual.validation import Checker, calls_to_user


def shape_and_dtype(x: ArrayLike) -> tuple[Shape, str]:
    """Returns the static shape and the dtype name of anything array-like."""
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        x = keras.ops.convert_to_tensor(x)
    return tuple(x.shape), keras.backend.standardize_dtype(x.dtype)


def looks_like(shape: Sequence[int | None]) -> str | None:
    """Returns the layout that a batch of images seems to have.

    Args:
        shape: Static shape of four axes.

    Returns:
        `"channels_last"`, `"channels_first"`, or `None` where it is open.
    """
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    if len(sizes) != 3:
        return None
    first, middle, last = sizes
    # A single row or column of many channels is no rare thing.
    few = (1, 3) if middle in (first, last) and first != last else (3,)
    if first in few and min(middle, last) > 8:
        return "channels_first"
    if last in few and min(first, middle) > 8:
        return "channels_last"
    return None


class Comparing(Protocol):
    """What a check of two batches asks of a distance between images."""

    @property
    def channels(self) -> Collection[int] | None:
        """Numbers of channels that images may have; `None` for any."""

    @property
    def data_format(self) -> DataFormat:
        """Where the channels of images are."""

    @property
    def takes_mask(self) -> bool:
        """Whether pixels may have weights."""

    @property
    def no_mask(self) -> str | None:
        """Why a mask has no meaning, where people would expect one."""

    @property
    def encodes(self) -> bool:
        """Whether targets may come encoded."""


class ImageChecker(Checker):
    """Checks images as well as the arguments of the object that takes them.

    Only static shapes and dtypes are read, never the values of a tensor.

    Args:
        owner: The object, or its name as it stands in messages.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.image_validation import ImageChecker
    >>> images = np.zeros((1, 4, 4, 3))
    >>> mask = ImageChecker("SSIMLoss").mask(
    ...     np.ones((1, 4, 4, 1)), images, "channels_last"
    ... )
    >>> tuple(mask.shape)
    (1, 4, 4)
    """

    def __init__(self, owner: object) -> None:
        super().__init__(owner)
        # Of images whose channels seem to be elsewhere.
        self._has_warned = False

    def predicted_dtype(self, dtype: str) -> None:
        """Refuses predictions of a type that no gradient can pass through."""
        if not keras.backend.is_float_dtype(dtype):
            raise ValueError(
                f"{self.owner} received predictions of an integer or boolean "
                "type, through which no gradient can flow back to the model. "
                "Return floating-point images from the model, and leave "
                "rounding or casting to the code that writes them out. "
                f"Received: y_pred.dtype={dtype}"
            )

    def image_shape(
        self,
        shape: Shape,
        *,
        channels: Collection[int] | None,
        data_format: DataFormat,
        received: str,
    ) -> None:
        """Refuses what is not a batch of images with the right channels.

        Args:
            shape: Static shape of the batch, `None` where unknown.
            channels: Numbers of channels that are accepted, or `None` for any.
            data_format: Where the channels are.
            received: End of the message, "Received: ...".
        """
        layout = {
            "channels_last": "(batch, height, width, channels)",
            "channels_first": "(batch, channels, height, width)",
        }[data_format]
        if len(shape) != 4:
            raise ValueError(
                f"{self.owner} takes batches of images shaped {layout}. Add "
                "the missing axis, for example with `keras.ops.expand_dims`; "
                "of video or volumes, fold the frames into the batch. "
                f"{received}"
            )
        size = shape[-1 if data_format == "channels_last" else 1]
        other = looks_like(shape)
        if (
            other is not None
            and other != data_format
            and (channels is None or size not in channels)
        ):
            advice = (
                f"Images of shape {shape} look as if they were {other!r}: "
                f"pass `data_format={other!r}`"
            )
        else:
            other = None
        if channels is not None and size is not None and size not in channels:
            expected = " or ".join(str(c) for c in channels)
            if other is None:
                advice = (
                    "Drop an alpha channel with `images[..., :3]`"
                    if size == 4
                    else "Choose channels that a network for pictures knows, "
                    "or compare any number of them by a loss on pixels, such "
                    "as `SSIMLoss`"
                )
            raise ValueError(
                f"{self.owner} expects images with {expected} channels, in the "
                f"layout {layout}. {advice}. {received}"
            )
        if other is not None and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"{self.owner} takes images of shape {shape} as {layout}. "
                f"{advice}, if they are.",
                stacklevel=calls_to_user(),
            )

    def image_pair(
        self,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        channels: Collection[int] | None,
        data_format: DataFormat,
        predicted: bool = True,
    ) -> None:
        """Refuses two batches of images that cannot be compared.

        Args:
            y_true: The targets the user passed, a tensor or an array.
            y_pred: The predictions the user passed, a tensor or an array.
            channels: Numbers of channels that are accepted, or `None` for any.
            data_format: Where the channels are.
            predicted: Whether `y_pred` has to let a gradient through.
        """
        true_shape, true_dtype = shape_and_dtype(y_true)
        pred_shape, pred_dtype = shape_and_dtype(y_pred)
        for name, dtype in (("y_true", true_dtype), ("y_pred", pred_dtype)):
            if dtype.startswith("complex"):
                raise ValueError(
                    f"{self.owner} compares images of real numbers. Take the "
                    "absolute value or the real part, or put the two parts "
                    f"into channels. Received: {name}.dtype={dtype}"
                )
        if predicted:
            self.predicted_dtype(pred_dtype)
        received = (
            f"Received: y_true.shape={true_shape}, y_pred.shape={pred_shape}"
        )
        for shape in (true_shape, pred_shape):
            self.image_shape(
                shape,
                channels=channels,
                data_format=data_format,
                received=received,
            )
        for true_size, pred_size in zip(true_shape, pred_shape, strict=True):
            if None not in (true_size, pred_size) and true_size != pred_size:
                raise ValueError(
                    f"{self.owner} compares images of one and the same shape "
                    "and does not stretch a smaller one over a larger one. "
                    "Resize or repeat one of the two before the loss. "
                    f"{received}"
                )

    def comparison(
        self,
        distance: Comparing,
        y_true: Targets,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None,
        *,
        encoding: bool = False,
    ) -> tuple[Any, ArrayLike | None, ArrayLike | None, bool]:
        """Sorts out what is to be compared, refusing what cannot be.

        Args:
            distance: The `Distance` that is to compare it.
            y_true: The targets the user passed, or a pair of them and a mask.
            y_pred: The predictions the user passed.
            sample_weight: Weights of images, or of pixels, or `None`.
            encoding: Whether the targets are all that there is.

        Returns:
            The targets, the mask or `None`, the weights of images or `None`,
            and whether the targets are encoded.
        """
        mask = None
        if distance.takes_mask or distance.no_mask:
            y_true, mask, sample_weight = self.split_mask(y_true, sample_weight)
        shape, _ = shape_and_dtype(y_true)
        # What is to be checked of encoded images shows when they are read.
        is_encoded = distance.encodes and len(shape) == 2 and not encoding
        self.image_pair(
            y_pred if is_encoded else y_true,
            y_pred,
            channels=distance.channels,
            data_format=distance.data_format,
            predicted=not encoding,
        )
        self.sample_weight(sample_weight)
        if mask is not None:
            mask = self.mask(mask, y_pred, distance.data_format)
        if mask is not None and not distance.takes_mask:
            raise ValueError(
                f"{self.owner} {distance.no_mask} "
                f"Received: mask.shape={shape_and_dtype(mask)[0]}"
            )
        return y_true, mask, sample_weight, is_encoded

    def mask(
        self, mask: ArrayLike, images: ArrayLike, data_format: DataFormat
    ) -> ArrayLike:
        """Returns weights of pixels, refusing those that fit no image.

        Args:
            mask: What the user passed, shaped `(batch, height, width)`, or with
                one channel behind.
            images: The batch of images that the mask belongs to.
            data_format: Where the channels of the images are.

        Returns:
            The mask, shaped `(batch, height, width)`.
        """
        shape, _ = shape_and_dtype(mask)
        image_shape, _ = shape_and_dtype(images)
        received = f"Received: mask.shape={shape}, y_pred.shape={image_shape}"
        given = shape[:3] if len(shape) == 4 and shape[3] == 1 else shape
        axes = (0, 1, 2) if data_format == "channels_last" else (0, 2, 3)
        wanted = tuple(image_shape[axis] for axis in axes)
        if len(given) != 3 or any(
            None not in pair and pair[0] != pair[1]
            for pair in zip(given, wanted, strict=True)
        ):
            raise ValueError(
                f"{self.owner} needs a mask with one weight for each pixel, "
                "shaped (batch, height, width) as the images are. Resize the "
                f"mask, or repeat it for each image. {received}"
            )
        return mask if len(shape) == 3 else keras.ops.squeeze(mask, -1)

    def split_mask(
        self, y_true: Targets, sample_weight: ArrayLike | None
    ) -> tuple[ArrayLike, ArrayLike | None, ArrayLike | None]:
        """Finds the mask that came with targets, or as weights of pixels.

        Args:
            y_true: Targets, or a pair of them and a mask.
            sample_weight: Weights of images, or of pixels, or `None`.

        Returns:
            The targets, the mask or `None`, and the weights of images or
            `None`.
        """
        y_true, mask = y_true if isinstance(y_true, tuple) else (y_true, None)
        if sample_weight is None:
            return y_true, mask, None
        shape, _ = shape_and_dtype(sample_weight)
        if len(shape) < 3:
            return y_true, mask, sample_weight
        if mask is not None:
            raise ValueError(
                f"{self.owner} was given two masks, one with `y_true` and one "
                "as `sample_weight`. Give a mask once, and beside it one "
                f"weight for each image. Received: sample_weight.shape={shape}"
            )
        return y_true, sample_weight, None

    def sample_weight(self, sample_weight: ArrayLike | None) -> None:
        """Refuses weights that would be stretched over the wrong axis."""
        if sample_weight is None:
            return
        shape, _ = shape_and_dtype(sample_weight)
        if len(shape) > 1 and shape[1:] != (1,):
            raise ValueError(
                f"{self.owner} returns one value for each image and takes one "
                "weight for each. Pass a `sample_weight` of shape (batch,). "
                f"Received: sample_weight.shape={shape}"
            )
