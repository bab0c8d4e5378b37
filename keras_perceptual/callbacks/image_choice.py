"""What is shown of some images, and of what a model makes of them."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_perceptual.callbacks.image_sheet import (
    CHANNELS,
    is_batch,
    to_pixels,
)
from keras_perceptual.typing import DataFormat


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ImageChoice:
    """Chooses images to be drawn.

    Attributes:
        owner: String, who draws, for messages.
        inputs: Structure of NumPy arrays, what the model is called with.
        targets: NumPy array of as many images, or `None`.
        output: Name or place of the output to show, or `None` for the only
            one.
        value_range: Pair of numbers, what is black and what is white.
        data_format: Where the images have their channels.

    Raises:
        ValueError: If there are not as many targets as inputs, or no images.
    """

    owner: str
    inputs: Any
    targets: np.ndarray | None
    output: str | int | None
    value_range: tuple[float, float]
    data_format: DataFormat

    def __post_init__(self) -> None:
        arrays = keras.tree.flatten(self.inputs)
        if self.targets is not None:
            arrays.append(self.targets)
        shapes = [x.shape for x in arrays]
        received = f"Received: arrays of shapes {shapes}"
        if len({shape[0] for shape in shapes}) != 1 or not shapes[0][0]:
            raise ValueError(
                f"{self.owner} needs a target for each input, and one input at "
                "least. Take the same images of both. "
                f"{received}"
            )
        if self.targets is not None:
            self._check_batch("targets", self.targets)

    def columns(self, predicted: Any) -> dict[str, np.ndarray]:
        """Returns pixels by title: inputs, prediction and targets.

        Args:
            predicted: What the model makes of the inputs.

        Raises:
            ValueError: If the output is not among those of the model, or is
                no batch of images.
        """
        # Found out first, as it is what can be wrong.
        shown = self._shown(predicted)
        columns = {
            title: self._pixels(x)
            for title, x in self._named_inputs().items()
            if is_batch(np.shape(x), self.data_format)
        }
        columns["prediction"] = shown
        if self.targets is not None:
            columns["target"] = self._pixels(self.targets)
        return columns

    def _named_inputs(self) -> dict[str, Any]:
        if isinstance(self.inputs, dict):
            return self.inputs
        inputs = keras.tree.flatten(self.inputs)
        several = len(inputs) > 1
        return {
            f"input {place}" if several else "input": x
            for place, x in enumerate(inputs, start=1)
        }

    def _shown(self, predicted: Any) -> np.ndarray:
        """Returns the prediction to be drawn, as pixels."""
        predicted = self._chosen(predicted)
        count = len(keras.tree.flatten(self.inputs)[0])
        # Each of several replicas has predicted all.
        predicted = np.asarray(predicted)[:count]
        self._check_batch("a prediction", predicted)
        return self._pixels(predicted)

    def _chosen(self, predicted: Any) -> Any:
        """Returns one output of those of the model."""
        names: list[Any]
        if hasattr(predicted, "shape"):
            names, outputs = [0], [predicted]
        elif isinstance(predicted, dict):
            names, outputs = list(predicted), list(predicted.values())
        else:
            names, outputs = list(range(len(predicted))), list(predicted)
        if self.output is None and len(names) == 1:
            return outputs[0]
        if self.output not in names:
            raise ValueError(
                f"{self.owner} shows one output, and the model has "
                f"{len(names)}. Pass the name or the place of one as `output`, "
                f"of these: {names}. Received: output={self.output!r}"
            )
        return outputs[names.index(self.output)]

    def _check_batch(self, what: str, images: Any) -> None:
        """Refuses what is no batch of images, as many as there are inputs."""
        shape = np.shape(images)
        if not is_batch(shape, self.data_format):
            raise ValueError(
                f"{self.owner} draws batches of images with "
                f"{', '.join(map(str, CHANNELS[:-1]))} or {CHANNELS[-1]} "
                f"channels, in the layout {self.data_format}. Pass the "
                "`data_format` that the model has, or leave the callback out. "
                f"Received: {what} of shape {shape}"
            )

    def _pixels(self, images: Any) -> np.ndarray:
        return to_pixels(images, self.value_range, self.data_format)


def take_first(owner: str, images: Any, count: int) -> np.ndarray:
    """Returns the first images of an array, as a NumPy array.

    Args:
        owner: String, who asks, for the message.
        images: Array with the images along the first axis.
        count: Integer, how many at most.

    Raises:
        ValueError: If it is no array of that kind.
    """
    if not hasattr(images, "shape") or not len(images.shape):
        raise ValueError(
            f"{owner} needs arrays with the images along the first axis. Take "
            "a batch out of a dataset, and stack images that are in a list. "
            f"Received: something of type {type(images).__name__}"
        )
    return np.array(ops.convert_to_numpy(images[:count]))
