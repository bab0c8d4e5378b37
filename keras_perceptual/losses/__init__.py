"""Losses between two batches of images."""

from keras_perceptual.losses.sobel_gradient_loss import (
    SobelGradientLoss as SobelGradientLoss,
)
