"""The batches that Python hands to steps, kept on the way."""

import weakref
from typing import Any

import keras

from keras_perceptual.gradients.tracers import Tracer


class HandedBatches:
    """What the `Steps` of JAX and of PyTorch have in common, see there.

    On both, Python hands its batches to each step, `hear` can keep them on the
    way, and a step takes them in any shape. A graph of TensorFlow takes its
    batches itself.

    Args:
        model: The model.
        tracer: Its `Tracer`, which has no part in it.
    """

    def __init__(self, model: keras.Model, tracer: Tracer) -> None:
        # The train function holds the tracer, and that holds these.
        self._reference = weakref.ref(model)
        self._kept: list[Any] | None = None

    @property
    def _model(self) -> Any:
        return self._reference()

    def start(self) -> None:
        """Keeps the batches from here on, and forgets those before."""
        self._kept = []

    def stop(self) -> None:
        """Keeps no batches."""
        self._kept = None

    def taken(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Returns the batches of each step since `start`."""
        found, self._kept = self._kept or [], None
        return found

    def specs(self) -> list[Any] | None:
        """Returns the shapes that a step was traced with, if it has others."""
        return None
