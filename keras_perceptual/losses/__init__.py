"""Losses between two batches of images."""

from keras_perceptual.losses.charbonnier_loss import (
    CharbonnierLoss as CharbonnierLoss,
)
from keras_perceptual.losses.contextual_loss import (
    ContextualLoss as ContextualLoss,
)
from keras_perceptual.losses.dists import DISTS as DISTS
from keras_perceptual.losses.focal_frequency_loss import (
    FocalFrequencyLoss as FocalFrequencyLoss,
)
from keras_perceptual.losses.lpips import LPIPS as LPIPS
from keras_perceptual.losses.ms_ssim_loss import MSSSIMLoss as MSSSIMLoss
from keras_perceptual.losses.perceptual_loss import (
    PerceptualLoss as PerceptualLoss,
)
from keras_perceptual.losses.sobel_gradient_loss import (
    SobelGradientLoss as SobelGradientLoss,
)
from keras_perceptual.losses.ssim_loss import SSIMLoss as SSIMLoss
from keras_perceptual.losses.total_variation_loss import (
    TotalVariationLoss as TotalVariationLoss,
)
from keras_perceptual.losses.weighted_sum_loss import (
    WeightedSumLoss as WeightedSumLoss,
)
