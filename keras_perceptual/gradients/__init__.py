"""What is known about the gradients of a training step."""

from keras_perceptual.gradients.error import (
    GradientSanityError as GradientSanityError,
)
from keras_perceptual.gradients.report import GradientRecord as GradientRecord
from keras_perceptual.gradients.report import GradientReport as GradientReport
