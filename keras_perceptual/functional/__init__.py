"""Losses and similarities as functions of two batches of images."""

from keras_perceptual.functional.feature_comparisons import (
    contextual_loss,
    dists,
    lpips,
    perceived_distance,
    perceptual_loss,
)
from keras_perceptual.functional.pixel_comparisons import (
    charbonnier_loss,
    color_difference,
    focal_frequency_loss,
    haar_psi,
    mdsi,
    ms_ssim,
    sobel_gradient_loss,
    ssim,
    total_variation,
    wavelet_loss,
)

__all__ = [
    "charbonnier_loss",
    "color_difference",
    "contextual_loss",
    "dists",
    "focal_frequency_loss",
    "haar_psi",
    "lpips",
    "mdsi",
    "ms_ssim",
    "perceived_distance",
    "perceptual_loss",
    "sobel_gradient_loss",
    "ssim",
    "total_variation",
    "wavelet_loss",
]


def __dir__() -> list[str]:
    return __all__
