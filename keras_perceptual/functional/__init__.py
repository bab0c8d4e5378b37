"""Losses and similarities as functions of two batches of images."""

from keras_perceptual.functional.comparisons import (
    charbonnier_loss as charbonnier_loss,
)
from keras_perceptual.functional.comparisons import (
    contextual_loss as contextual_loss,
)
from keras_perceptual.functional.comparisons import dists as dists
from keras_perceptual.functional.comparisons import (
    focal_frequency_loss as focal_frequency_loss,
)
from keras_perceptual.functional.comparisons import lpips as lpips
from keras_perceptual.functional.comparisons import ms_ssim as ms_ssim
from keras_perceptual.functional.comparisons import (
    perceptual_loss as perceptual_loss,
)
from keras_perceptual.functional.comparisons import (
    sobel_gradient_loss as sobel_gradient_loss,
)
from keras_perceptual.functional.comparisons import ssim as ssim
from keras_perceptual.functional.comparisons import (
    total_variation as total_variation,
)
