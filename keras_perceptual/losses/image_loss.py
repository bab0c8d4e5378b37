"""What every loss between two batches of images has in common."""

from typing import Any, cast

import keras
from keras import ops, tree

from keras_perceptual import _backend
from keras_perceptual.configuration import Configured
from keras_perceptual.docstrings import fill
from keras_perceptual.image_validation import ImageChecker, shape_and_dtype
from keras_perceptual.losses.device_share import weigh_by_share
from keras_perceptual.losses.distance import (
    Distance,
    MappedDistance,
    WindowedDistance,
    measure_in_windows,
    spatial_map,
    terms,
)
from keras_perceptual.ops.value_range import clamp
from keras_perceptual.ops.windows import SMALLEST
from keras_perceptual.range_check import MASK, RangeCheck
from keras_perceptual.typing import (
    ArrayLike,
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Targets,
    Tensor,
    ValueRange,
)


@fill
class ImageLoss(Configured, keras.losses.Loss):
    """Base class of losses that compare two batches of images.

    It refuses what cannot be compared before anything is computed, speaks up
    about pixel values that do not fit `value_range`, and keeps the whole
    configuration. What is computed is up to the distance that a subclass sets
    as `_distance` in its constructor. Batches without an image cost 0.

    Args:
        {loss_arguments}
    """

    _distance: Distance

    def __init__(
        self,
        *,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        self._check = check = ImageChecker(self)
        policy = check.policy(dtype)
        half = policy.compute_dtype in ("float16", "bfloat16")
        super().__init__(
            name=check.name(name),
            reduction=reduction,
            dtype="float32" if half else policy.compute_dtype,
        )
        self._dtype_config = policy.name
        self.value_range: tuple[float, float] = check.value_range(value_range)
        self.data_format = check.data_format(data_format)
        self._range_check = RangeCheck(
            check.owner, check_range, self.value_range, self.data_format
        )

    @property
    def check_range(self) -> RangePolicy:
        """What is done about images that are not in `value_range`."""
        return self._range_check.policy

    def __call__(
        self,
        y_true: Targets,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Tensor:
        """Checks the images, then computes the reduced loss."""
        admitted = self._admit(y_true, y_pred, sample_weight)
        loss = super().__call__(*admitted)
        if tuple(loss.shape) == (0,) and self.reduction not in (None, "none"):
            # Keras leaves it at that where there is no image.
            loss = ops.sum(loss)
        if _backend.replica_count() == 1:
            return loss
        return weigh_by_share(loss, self.reduction, *admitted[1:])

    def call(
        self, y_true: Tensor | tuple[Tensor, Tensor], y_pred: Tensor
    ) -> Tensor:
        """Returns one value for each image, shaped `(batch,)`."""
        if y_pred.shape[0] == 0:
            # Many operations cannot do with none.
            return ops.sum(y_pred, axis=(1, 2, 3))
        y_true, mask = split(y_true)
        return sum(terms(self._distance, y_true, y_pred, mask).values())

    def per_image(
        self, y_true: Targets, y_pred: ArrayLike, *, tile: int | None = None
    ) -> Tensor:
        """Returns the loss of each image, before weights and reduction.

        Args:
            y_true: Images, as when the loss is called.
            y_pred: Images, as when the loss is called.
            tile: Integer of at least 256, or `None`. Images with a longer side
                are looked at through overlapping windows of at most so many
                pixels a side, one after the other, so that memory does not
                grow with the image. For `LPIPS` and `DISTS`. The values are
                the same; without a mask, and no gradient. Neighbors overlap
                by 224 pixels or more, so that windows of 512 take up to three
                times the time of none, and larger ones less. Defaults to
                `None`: the whole image at once.

        Returns:
            A tensor shaped `(batch,)`.

        Raises:
            ValueError: If `tile` is given and the loss cannot look through
                windows, or there is a mask or an encoded target; as when the
                loss is called.
        """
        if tile is not None:
            tile = self._check_tile(tile)
        empty = shape_and_dtype(y_pred)[0][:1] == (0,)
        y_true, y_pred, _ = self._admit(y_true, y_pred)
        y_true, y_pred = self._cast((y_true, y_pred))
        if tile is None or empty:
            return self.call(y_true, y_pred)
        if isinstance(y_true, tuple) or len(y_true.shape) != 4:
            raise ValueError(
                f"{self._check.owner} compares plain images in windows, "
                "without a mask and not encoded before. Leave out the mask, or "
                f"`tile`. Received: tile={tile}"
            )
        windowed = cast(WindowedDistance, self._distance)
        return measure_in_windows(windowed, y_true, y_pred, tile)

    def compare(
        self,
        y_true: Targets,
        y_pred: ArrayLike,
        *,
        mask: ArrayLike | None = None,
    ) -> Tensor:
        """Returns the loss of each image, without looking at their values.

        Args:
            y_true: Images.
            y_pred: Images of the same shape, of any type.
            mask: Optional weights of the pixels, `(batch, height, width)`, for
                losses that take a mask. Defaults to `None`.

        Returns:
            A tensor shaped `(batch,)`.
        """
        if mask is not None:
            y_true = y_true, mask
        y_true, y_pred = self._as_tensors(y_true, y_pred)
        y_true, mask, _, _ = self._check.comparison(
            self._distance, y_true, y_pred, None, encoding=True
        )
        y_true, y_pred = self._hide(mask, y_true, y_pred)
        y_true, y_pred = self._cast((y_true, y_pred))
        y_true, y_pred = self._clip(y_true), self._clip(y_pred)
        if mask is not None:
            y_true = y_true, self._cast(mask)
        return self.call(y_true, y_pred)

    def spatial_map(self, y_true: Targets, y_pred: ArrayLike) -> Tensor:
        """Returns where two images differ.

        Args:
            y_true: Images, as when the loss is called; a mask is left out.
            y_pred: Images, as when the loss is called.

        Returns:
            A tensor shaped `(batch, height, width)`: what each place adds at
            each layer or scale, enlarged to the size of the images (bilinear)
            and summed. A window of `SSIMLoss` stands at its center, and that
            at the border goes on to the edge of the image.

        Raises:
            ValueError: If what is compared is nowhere in particular.
        """
        if self._distance.no_map is not None:
            shape, _ = shape_and_dtype(split(y_true)[0])
            raise ValueError(
                f"{self._check.owner} {self._distance.no_map} "
                f"Received: y_true.shape={shape}"
            )
        y_true, y_pred, _ = self._admit(y_true, y_pred)
        y_true, y_pred = self._cast((y_true, y_pred))
        y_true, y_pred, count = without_none(split(y_true)[0], y_pred)
        mapped = cast(MappedDistance, self._distance)
        return spatial_map(mapped, y_true, y_pred)[:count]

    def _check_tile(self, tile: int) -> int:
        """Returns the size of windows, refusing one for losses without."""
        if not isinstance(self._distance, WindowedDistance):
            raise ValueError(
                f"{self._check.owner} cannot look through windows, as `LPIPS` "
                f"and `DISTS` can. Leave out `tile`. Received: tile={tile!r}"
            )
        return self._check.integer("tile", tile, minimum=SMALLEST)

    @_backend.as_written
    def _admit(
        self,
        y_true: Targets,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        encoding: bool = False,
    ) -> tuple[Any, Any, ArrayLike | None]:
        """Refuses what cannot be compared, before integers become floats.

        Args:
            y_true: What the user gave.
            y_pred: What the user gave.
            sample_weight: What the user gave.
            encoding: Whether targets are looked at alone.

        Returns:
            The three, as they go on: with a mask, `y_true` is a pair.
        """
        distance = self._distance
        y_true, y_pred = self._as_tensors(y_true, y_pred)
        y_true, mask, sample_weight, is_encoded = self._check.comparison(
            distance, y_true, y_pred, sample_weight, encoding=encoding
        )
        y_true, y_pred = self._hide(mask, y_true, y_pred)
        looked_at = {} if is_encoded else {"y_true": y_true}
        if not encoding:
            looked_at["y_pred"] = y_pred
        if mask is not None:
            looked_at[MASK] = mask
        self._range_check(looked_at)
        if self.check_range == "clip":
            y_true = y_true if is_encoded else self._clip(y_true)
            y_pred = y_pred if encoding else self._clip(y_pred)
        return y_true if mask is None else (y_true, mask), y_pred, sample_weight

    def _as_tensors(self, *images: Any) -> list[Any]:
        """Returns images, those that came as lists of numbers as tensors."""

        def convert(x: Any) -> Any:
            if isinstance(x, list):
                return ops.convert_to_tensor(x, self.dtype)
            return tuple(map(convert, x)) if isinstance(x, tuple) else x

        return [convert(x) for x in images]

    def _hide(self, mask: ArrayLike | None, *images: Any) -> list[Any]:
        """Returns images with the lowest value where a mask is zero.

        They stay as they are where nothing is hidden from the distance.
        """
        if mask is None or not self._distance.hides_pixels:
            return list(images)
        seen = ops.cast(mask, self.dtype) > 0
        seen = ops.expand_dims(
            seen, -1 if self.data_format == "channels_last" else 1
        )
        return [
            ops.where(seen, ops.cast(x, self.dtype), self.value_range[0])
            for x in images
        ]

    def _cast(self, x: Any) -> Any:
        """Returns tensors of the type that the loss computes in."""
        return tree.map_structure(
            lambda x: ops.convert_to_tensor(x, self.dtype), x
        )

    def _clip(self, images: ArrayLike) -> Tensor:
        """Moves stray values into the range, if asked to."""
        if self.check_range != "clip":
            return images
        return clamp(ops.cast(images, self.dtype), *self.value_range)


def split(y_true: Any) -> tuple[Any, Any]:
    """Returns targets and their mask, which may be `None`."""
    return y_true if isinstance(y_true, tuple) else (y_true, None)


def without_none(
    y_true: Tensor, y_pred: Tensor
) -> tuple[Tensor, Tensor, int | None]:
    """Returns batches with an image, and how many of the results count.

    Many operations cannot do with none. `None` stands for all of them.
    """
    if y_pred.shape[0] != 0:
        return y_true, y_pred, None
    one = ops.zeros((1, *y_pred.shape[1:]), y_pred.dtype)
    return one, one, 0
