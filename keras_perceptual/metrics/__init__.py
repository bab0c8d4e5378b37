"""Streaming means of losses."""

from keras_perceptual.metrics.dists_metric import DISTSMetric
from keras_perceptual.metrics.image_loss_metric import ImageLossMetric
from keras_perceptual.metrics.kid_metric import KIDMetric
from keras_perceptual.metrics.loss_terms import LossTerms
from keras_perceptual.metrics.lpips_metric import LPIPSMetric
from keras_perceptual.metrics.ms_ssim_metric import MSSSIMMetric
from keras_perceptual.metrics.perceived_distance_metric import (
    PerceivedDistanceMetric,
)
from keras_perceptual.metrics.psnr_metric import PSNRMetric
from keras_perceptual.metrics.ssim_metric import SSIMMetric

__all__ = [
    "DISTSMetric",
    "ImageLossMetric",
    "KIDMetric",
    "LPIPSMetric",
    "LossTerms",
    "MSSSIMMetric",
    "PSNRMetric",
    "PerceivedDistanceMetric",
    "SSIMMetric",
]


def __dir__() -> list[str]:
    return __all__
