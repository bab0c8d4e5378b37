"""Losses and similarities as functions of two batches of images."""

from keras_perceptual.functional.comparisons import (
    charbonnier_loss,
    color_difference,
    contextual_loss,
    dists,
    focal_frequency_loss,
    lpips,
    ms_ssim,
    perceived_distance,
    perceptual_loss,
    sobel_gradient_loss,
    ssim,
    total_variation,
)

__all__ = [
    "charbonnier_loss",
    "color_difference",
    "contextual_loss",
    "dists",
    "focal_frequency_loss",
    "lpips",
    "ms_ssim",
    "perceived_distance",
    "perceptual_loss",
    "sobel_gradient_loss",
    "ssim",
    "total_variation",
]


def __dir__() -> list[str]:
    return __all__
