"""A loss between images as a layer, so that a model can be made of it."""

from collections.abc import Sequence
from typing import Any, Self

import keras

from keras_perceptual import validation
from keras_perceptual.configuration import Configured
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.typing import DType, Shape, Tensor
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
class ImageDistance(Configured, keras.layers.Layer):
    """Returns how far apart the images of two batches are, by a loss.

    A model with this layer carries a loss to where Keras is not: exported, it
    is a graph of two images that gives the numbers of the loss.

    Args:
        loss: A loss of this package between two batches of images, such as
            `LPIPS()` or `DISTS()`. Its `data_format` and `value_range` are
            those of the inputs.
        name: String. Defaults to the name of the layer.
        dtype: As in `keras.layers.Layer`; the loss has a type of its own.

    Call arguments:
        inputs: Pair of batches of images of equal shapes, `(batch, height,
            width, channels)`: the references, then those that are compared
            with them. Values are not looked at, whatever the `check_range` of
            the loss; `"clip"` still moves them into the range.

    Returns:
        A tensor shaped `(batch,)`, the loss of each pair, float32 or the
        type of the loss. Gradients flow to the second batch alone where they
        do so in the loss.

    Raises:
        ValueError: If `loss` is not a loss between images; if the inputs are
            not two batches that it can compare.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> pair = [keras.Input((None, None, 3)), keras.Input((None, None, 3))]
    >>> lpips = keras.Model(pair, kp.ImageDistance(kp.LPIPS())(pair))
    >>> photo = np.random.default_rng(0).uniform(size=(2, 64, 64, 3))
    >>> lpips.predict([photo, photo], verbose=0).tolist()
    [0.0, 0.0]

    On disk: `lpips.export("lpips.onnx", format="onnx")`, or one of Keras's
    other formats.

    Notes:
        The frozen network of the loss belongs to the layer: unlike the loss
        in `compile`, it is saved with a model.

    Reference:
        https://keras.io/api/models/model_saving_apis/export/
    """

    def __init__(
        self,
        loss: ImageLoss,
        *,
        name: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        # The loss casts the images itself, and no shorter than to float32.
        super().__init__(name=name, dtype=dtype, autocast=False)
        owner = type(self).__name__
        if not isinstance(loss, ImageLoss):
            raise ValueError(
                f"{owner} compares images by a loss of this package between "
                "two batches of images. Give it one, such as `LPIPS()`. "
                f"Received: loss={validation.show(loss)}"
            )
        self.loss = loss
        # Tracked, so that it goes along into what is exported.
        self.network = loss._distance.network

    @property
    def trainable(self) -> bool:
        """Always `False`: the distance is one to rely on."""
        return False

    @trainable.setter
    def trainable(self, value: bool) -> None:
        # A model sets it for all its layers.
        pass

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Returns the distance of each pair of images."""
        owner = type(self).__name__
        if not isinstance(inputs, list | tuple) or len(inputs) != 2:
            raise ValueError(
                f"{owner} compares two batches of images. Call it with a "
                f"list of the two. Received: inputs={inputs!r}"
            )
        return self.loss.compare(*inputs)

    def compute_output_shape(
        self, input_shape: Sequence[Sequence[int | None]]
    ) -> Shape:
        """Returns the shape of the distances."""
        return (input_shape[0][0],)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Revives the layer and its loss."""
        loss = Checker(cls.__name__).revive(config, "loss")
        return cls(**{**config, "loss": loss})
