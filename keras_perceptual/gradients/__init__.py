"""What is known about the gradients of a training step."""

from keras_perceptual.gradients.check import check_gradients
from keras_perceptual.gradients.error import GradientSanityError
from keras_perceptual.gradients.report import GradientRecord, GradientReport

__all__ = [
    "GradientRecord",
    "GradientReport",
    "GradientSanityError",
    "check_gradients",
]


def __dir__() -> list[str]:
    return __all__
