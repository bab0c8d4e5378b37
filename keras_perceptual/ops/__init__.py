"""The maths, as pure functions of tensors that run on every backend."""

from keras_perceptual.ops.color_lookup import identity_cube as identity_cube
from keras_perceptual.ops.color_lookup import identity_curves as identity_curves
from keras_perceptual.ops.color_lookup import look_up_cube as look_up_cube
from keras_perceptual.ops.color_lookup import look_up_curves as look_up_curves
from keras_perceptual.ops.image_gradients import (
    gradient_magnitude as gradient_magnitude,
)
from keras_perceptual.ops.image_gradients import (
    image_gradients as image_gradients,
)
from keras_perceptual.ops.image_gradients import laplacian as laplacian
from keras_perceptual.ops.pyramids import halve_images as halve_images
from keras_perceptual.ops.pyramids import (
    laplacian_pyramid as laplacian_pyramid,
)
