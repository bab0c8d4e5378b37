"""What a network's images looked like when its weights were trained.

Each preprocessing is affine: a factor and an offset for each channel of an RGB
image in (0, 1), after which the channels may be put in the order BGR.
"""

import dataclasses

import numpy as np
from keras import ops

from keras_perceptual.ops.value_range import rescale

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
CAFFE_MEAN_RGB = np.array([123.68, 116.779, 103.939])


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """An affine map of RGB images, and the order of the channels after it."""

    scale: np.ndarray
    offset: np.ndarray
    bgr: bool = False

    def __call__(self, images, value_range):
        """Maps RGB images from `value_range` to what the network expects."""
        images = rescale(images, value_range)
        images = images * ops.cast(self.scale, images.dtype)
        images = images + ops.cast(self.offset, images.dtype)
        return ops.flip(images, axis=-1) if self.bgr else images


PREPROCESSING = {
    # torchvision: mean 0 and standard deviation 1 over ImageNet.
    "torch": Preprocessing(1 / IMAGENET_STD, -IMAGENET_MEAN / IMAGENET_STD),
    # keras.applications, mode "caffe": BGR in (0, 255) less the mean.
    "caffe": Preprocessing(np.full(3, 255.0), -CAFFE_MEAN_RGB, bgr=True),
    # keras.applications, mode "tf": (-1, 1).
    "tf": Preprocessing(np.full(3, 2.0), np.full(3, -1.0)),
    # Networks that hold their own preprocessing expect (0, 255).
    "inside": Preprocessing(np.full(3, 255.0), np.zeros(3)),
}
