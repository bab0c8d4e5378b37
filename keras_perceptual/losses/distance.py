"""What every loss between images has: a distance.

A distance is a small object that never changes. It holds settings, and two
functions: `observe` returns what is kept of a batch of images, and `compare`
returns how far apart two of these are. All else that a loss can do, such as to
encode its targets or to look at large images through windows, is a function of
a distance, written once.

A class of distances is abstract or final: none overrides what has a body.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeAlias

import keras
import numpy as np
from keras import ops

from keras_perceptual.features.extractor import FeatureExtractor
from keras_perceptual.losses.encoding import decode
from keras_perceptual.ops.distances import one_or_nan
from keras_perceptual.ops.resizing import resize_maps
from keras_perceptual.ops.windows import fold_windows
from keras_perceptual.typing import DataFormat, Tensor

# Of rows, columns and a stride: which positions belong to a window.
Own: TypeAlias = Callable[[int | Tensor, int | Tensor, int], Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Distance(abc.ABC):
    """A way of comparing two batches of images.

    Args:
        owner: Name of the object that asks, for messages.
        data_format: Where the channels of images are.
    """

    owner: str
    data_format: DataFormat

    # Whether pixels may have weights, and whether those of weight 0 may hold
    # anything, and are hidden before anybody looks.
    takes_mask: ClassVar[bool] = False
    hides_pixels: ClassVar[bool] = False
    # Why a mask has no meaning, where people would expect one.
    no_mask: ClassVar[str | None] = None
    # Why there is no `map(true, pred)` of where images differ. Where there is
    # one, it returns a dictionary of tensors `(batch, rows, columns)`.
    no_map: ClassVar[str | None] = "has no map of where images differ."
    # Whether targets may come encoded.
    encodes: ClassVar[bool] = False

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Numbers of channels that images may have; `None` for any."""
        return None

    @property
    def network(self) -> keras.Model | None:
        """The frozen network, if any."""
        return None

    @classmethod
    def of(cls, loss: Any, **others: Any) -> Self:
        """Returns the distance with the settings of a loss.

        Args:
            loss: An `ImageLoss`, which has an attribute for each setting that
                has no default.
            **others: Settings that are no attributes of the loss.
        """
        names = {
            field.name
            for field in dataclasses.fields(cls)
            if field.default is field.default_factory is dataclasses.MISSING
        }
        settings = {
            name: getattr(loss, name)
            for name in names - {"owner"} - set(others)
        }
        return cls(owner=type(loss).__name__, **settings, **others)

    def channels_last(self, images: Tensor) -> Tensor:
        """Returns images with their channels on the last axis."""
        if self.data_format == "channels_first":
            return ops.transpose(images, (0, 2, 3, 1))
        return images

    @abc.abstractmethod
    def observe(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns what is kept of images, a dictionary of tensors.

        Args:
            images: Floating-point batch of images.
            mask: Weights of the pixels, `(batch, height, width)`, or `None`.
        """

    @abc.abstractmethod
    def observe_target(
        self, y_true: Tensor, mask: Tensor | None, pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns what is kept of targets.

        Args:
            y_true: Images, or what stands for them.
            mask: Weights of the pixels, or `None`.
            pred: What is kept of the predictions.
        """

    @abc.abstractmethod
    def compare(
        self,
        true: Mapping[str, Tensor],
        pred: Mapping[str, Tensor],
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns the terms of the distance, a dictionary of `(batch,)`.

        Args:
            true: What is kept of the targets.
            pred: What is kept of the predictions.
            mask: Weights of the pixels, or `None`.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelDistance(Distance):
    """Compares images as they are; a subclass implements `measure`.

    Gradients flow to the targets as well.

    Args:
        owner: As for `Distance`.
        data_format: As for `Distance`.
        value_range: Pair of floats, the range of the pixels.
    """

    value_range: tuple[float, float]

    @functools.cached_property
    def width(self) -> float:
        """The width of the range of the pixels."""
        return self.value_range[1] - self.value_range[0]

    def observe(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns the images."""
        return {"pixels": images}

    def observe_target(
        self, y_true: Tensor, mask: Tensor | None, pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns the images."""
        return {"pixels": y_true}

    def compare(
        self,
        true: Mapping[str, Tensor],
        pred: Mapping[str, Tensor],
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns the one term."""
        return {"pixels": self.measure(true["pixels"], pred["pixels"], mask)}

    @abc.abstractmethod
    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns how far apart two batches of images are, `(batch,)`."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FeatureDistance(Distance):
    """Compares what a frozen network sees; a subclass implements `see`.

    No gradient flows to the targets, which may be encoded.

    Args:
        owner: As for `Distance`.
        data_format: As for `Distance`.
        extractor: The `FeatureExtractor`.
        prepare: Function of images with their channels last, which returns
            them as the network is to see them; `None` for as they are.
        fixed: What is observed of something else than the target, a dictionary
            of arrays.
        state: What a backend has to remember from one trace to the next.
    """

    extractor: FeatureExtractor
    prepare: Callable[[Tensor], Tensor] | None = None
    fixed: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    state: dict[str, Any] = dataclasses.field(default_factory=dict)

    encodes = True

    @property
    def settings(self) -> tuple[Any, ...]:
        """All but the network that decides what is observed, for JSON."""
        return ()

    @functools.cached_property
    def channels(self) -> tuple[int, ...] | None:
        """Numbers of channels that images may have; `None` for any."""
        return self.extractor.channels

    @property
    def network(self) -> keras.Model:
        """The frozen network."""
        return self.extractor.network

    @property
    def identity(self) -> list[Any]:
        """All that decides what is observed, for JSON."""
        extractor = self.extractor
        return [
            self.owner,
            extractor.identity,
            extractor.pooling,
            extractor.layers,
            *self.settings,
        ]

    def observe(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns what the network sees."""
        return self.see(self.stage(images), mask)

    def stage(self, images: Tensor) -> Tensor:
        """Returns images as the network is to see them."""
        images = self.channels_last(images)
        return images if self.prepare is None else self.prepare(images)

    def keep(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns what is kept of target images: no gradient, no more."""
        kept = self.observe(ops.stop_gradient(images), mask)
        return {
            name: ops.stop_gradient(x)
            for name, x in kept.items()
            if name not in self.fixed
        }

    def observe_target(
        self, y_true: Tensor, mask: Tensor | None, pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns what is kept of targets, which may be encoded."""
        # The target takes a pass of its own: it needs no gradient.
        if len(y_true.shape) == 4:
            kept = self.keep(y_true, mask)
        else:
            like = {k: x for k, x in pred.items() if k not in self.fixed}
            kept = decode(self, ops.stop_gradient(y_true), like)
        fixed = {k: ops.convert_to_tensor(x) for k, x in self.fixed.items()}
        return {**kept, **fixed}

    @abc.abstractmethod
    def see(
        self, images: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns what is kept of images that have their channels last."""


class WindowedDistance(FeatureDistance):
    """Compares what a frozen network sees, also window by window.

    A subclass implements how the terms are collected from windows.
    """

    @abc.abstractmethod
    def start(self, zeros: Tensor) -> dict[str, Any]:
        """Returns what is known of each term before the first window.

        Args:
            zeros: A zero for each image.
        """

    @abc.abstractmethod
    def add_window(
        self, name: str, state: Any, true: Tensor, pred: Tensor, own: Own
    ) -> Any:
        """Returns what is known of a term after one window more.

        Args:
            name: Name of the term.
            state: What is known before.
            true: What is seen of the targets in the window.
            pred: What is seen of the predictions.
            own: Function of rows, columns and stride, as `fold_windows` has it.
        """

    @abc.abstractmethod
    def finish(self, states: Mapping[str, Any]) -> dict[str, Tensor]:
        """Returns the terms of the distance, each shaped `(batch,)`.

        Args:
            states: What is known of each after the last window.
        """


class MappedDistance(Protocol):
    """A `Distance` that has a map of where images differ."""

    @property
    def network(self) -> Any:
        """The frozen network, if any."""

    @property
    def data_format(self) -> DataFormat:
        """Where the channels of images are."""

    def observe(self, images: Tensor) -> dict[str, Tensor]:
        """Returns what is kept of images."""

    def observe_target(
        self, y_true: Tensor, mask: None, pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns what is kept of targets."""

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns how much each position of a layer adds."""


def terms(
    distance: Distance,
    y_true: Tensor,
    y_pred: Tensor,
    mask: Tensor | None = None,
) -> dict[str, Tensor]:
    """Returns the terms of a distance between images.

    Args:
        distance: A `Distance`.
        y_true: Floating-point targets, or what stands for them.
        y_pred: Floating-point batch of images.
        mask: Weights of the pixels, or `None`.

    Returns:
        A dictionary from names to tensors shaped `(batch,)`.
    """
    known = None
    if distance.network is not None:
        # What a network takes the largest of, or the nearest, leaves NaN out:
        # of the value, and of the gradient as well.
        known = _known(y_true, y_pred)
        y_pred = y_pred * ops.reshape(known, (-1, 1, 1, 1))
    pred = distance.observe(y_pred, mask)
    true = distance.observe_target(y_true, mask, pred)
    found = distance.compare(true, pred, mask)
    if known is None:
        return found
    return {name: known * x for name, x in found.items()}


def spatial_map(
    distance: MappedDistance, y_true: Tensor, y_pred: Tensor
) -> Tensor:
    """Returns where images differ.

    Args:
        distance: A `Distance` that has a map.
        y_true: As for `terms`.
        y_pred: As for `terms`.

    Returns:
        A tensor shaped `(batch, height, width)`: the maps of all terms,
        enlarged to the size of the images (bilinear) and summed.
    """
    pred = distance.observe(y_pred)
    maps = distance.map(distance.observe_target(y_true, None, pred), pred)
    axis = 1 if distance.data_format == "channels_last" else 2
    size = ops.shape(y_pred)[axis : axis + 2]
    found = sum(
        # Pixels have the size of the images.
        x if name == "pixels" else resize_maps(x, *size)
        for name, x in maps.items()
    )
    if distance.network is None:
        return found
    return found * ops.reshape(_known(y_true, y_pred), (-1, 1, 1))


def measure_in_windows(
    distance: WindowedDistance, y_true: Tensor, y_pred: Tensor, size: int
) -> Tensor:
    """Returns a distance that is collected from windows, without a gradient.

    Args:
        distance: A `WindowedDistance`.
        y_true: Floating-point batch of images, at least one.
        y_pred: Tensor shaped as `y_true`.
        size: Integer, the largest height and width of a window.

    Returns:
        A tensor shaped `(batch,)`.
    """
    images = [distance.stage(ops.stop_gradient(x)) for x in (y_true, y_pred)]

    def look(
        state: Mapping[str, Any], windows: Sequence[Tensor], own: Own
    ) -> dict[str, Any]:
        true, pred = (distance.see(x) for x in windows)
        return {
            name: distance.add_window(name, state[name], true[name], x, own)
            for name, x in pred.items()
        }

    # One zero for each image, of whatever batch.
    zeros = 0 * images[0][:, 0, 0, 0]
    found = fold_windows(look, distance.start(zeros), images, size)
    total = sum(distance.finish(found).values())
    return _known(y_true, y_pred) * total


def _known(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Returns 1 for each pair without NaN, and NaN for others."""
    return one_or_nan(y_true) * one_or_nan(y_pred)
