"""The maths, as pure functions of tensors that run on every backend."""

from keras_perceptual.ops.image_gradients import (
    gradient_magnitude as gradient_magnitude,
)
from keras_perceptual.ops.image_gradients import halve_images as halve_images
from keras_perceptual.ops.image_gradients import (
    spatial_gradients as spatial_gradients,
)
