"""Losses between two batches of images."""

from keras_perceptual.losses.charbonnier_loss import (
    CharbonnierLoss as CharbonnierLoss,
)
from keras_perceptual.losses.perceptual_loss import (
    PerceptualLoss as PerceptualLoss,
)
from keras_perceptual.losses.sobel_gradient_loss import (
    SobelGradientLoss as SobelGradientLoss,
)
from keras_perceptual.losses.total_variation_loss import (
    TotalVariationLoss as TotalVariationLoss,
)
