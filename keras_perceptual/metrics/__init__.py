"""Streaming means of losses."""

from keras_perceptual.metrics.dists_metric import DISTSMetric
from keras_perceptual.metrics.image_loss_metric import ImageLossMetric
from keras_perceptual.metrics.loss_terms import LossTerms
from keras_perceptual.metrics.lpips_metric import LPIPSMetric
from keras_perceptual.metrics.perceived_distance_metric import (
    PerceivedDistanceMetric,
)

__all__ = [
    "DISTSMetric",
    "ImageLossMetric",
    "LPIPSMetric",
    "LossTerms",
    "PerceivedDistanceMetric",
]


def __dir__() -> list[str]:
    return __all__
