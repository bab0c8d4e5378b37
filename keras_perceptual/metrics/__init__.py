"""Streaming means of losses."""

from keras_perceptual.metrics.dists_metric import DISTSMetric
from keras_perceptual.metrics.image_loss_metric import ImageLossMetric
from keras_perceptual.metrics.loss_terms import LossTerms
from keras_perceptual.metrics.lpips_metric import LPIPSMetric

__all__ = [
    "DISTSMetric",
    "ImageLossMetric",
    "LPIPSMetric",
    "LossTerms",
]


def __dir__() -> list[str]:
    return __all__
