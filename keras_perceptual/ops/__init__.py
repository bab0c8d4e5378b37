"""The maths, as pure functions of tensors that run on every backend."""

from keras_perceptual.ops.color_lookup import (
    identity_cube,
    identity_curves,
    look_up_cube,
    look_up_curves,
)
from keras_perceptual.ops.image_gradients import (
    gradient_magnitude,
    image_gradients,
    laplacian,
)
from keras_perceptual.ops.kernel_distance import kernel_inception_distance
from keras_perceptual.ops.pyramids import halve_images, laplacian_pyramid

__all__ = [
    "gradient_magnitude",
    "halve_images",
    "identity_cube",
    "identity_curves",
    "image_gradients",
    "kernel_inception_distance",
    "laplacian",
    "laplacian_pyramid",
    "look_up_cube",
    "look_up_curves",
]


def __dir__() -> list[str]:
    return __all__
