"""Losses between two batches of images."""

from keras_perceptual.losses.charbonnier_loss import CharbonnierLoss
from keras_perceptual.losses.color_difference_loss import ColorDifferenceLoss
from keras_perceptual.losses.contextual_loss import ContextualLoss
from keras_perceptual.losses.dists import DISTS
from keras_perceptual.losses.focal_frequency_loss import FocalFrequencyLoss
from keras_perceptual.losses.haar_psi_loss import HaarPSILoss
from keras_perceptual.losses.lpips import LPIPS
from keras_perceptual.losses.mdsi_loss import MDSILoss
from keras_perceptual.losses.ms_ssim_loss import MSSSIMLoss
from keras_perceptual.losses.perceived_distance import PerceivedDistance
from keras_perceptual.losses.perceptual_loss import PerceptualLoss
from keras_perceptual.losses.sobel_gradient_loss import SobelGradientLoss
from keras_perceptual.losses.ssim_loss import SSIMLoss
from keras_perceptual.losses.total_variation_loss import TotalVariationLoss
from keras_perceptual.losses.wavelet_loss import WaveletLoss
from keras_perceptual.losses.weighted_sum_loss import WeightedSumLoss

__all__ = [
    "DISTS",
    "LPIPS",
    "CharbonnierLoss",
    "ColorDifferenceLoss",
    "ContextualLoss",
    "FocalFrequencyLoss",
    "HaarPSILoss",
    "MDSILoss",
    "MSSSIMLoss",
    "PerceivedDistance",
    "PerceptualLoss",
    "SSIMLoss",
    "SobelGradientLoss",
    "TotalVariationLoss",
    "WaveletLoss",
    "WeightedSumLoss",
]


def __dir__() -> list[str]:
    return __all__
