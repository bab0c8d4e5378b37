"""What is known about the gradients of a training step."""

from keras_perceptual.gradients.check import check_gradients as check_gradients
from keras_perceptual.gradients.error import (
    GradientSanityError as GradientSanityError,
)
from keras_perceptual.gradients.report import GradientRecord as GradientRecord
from keras_perceptual.gradients.report import GradientReport as GradientReport
