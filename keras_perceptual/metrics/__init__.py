"""Streaming means of losses."""

from keras_perceptual.metrics.dists_metric import DISTSMetric as DISTSMetric
from keras_perceptual.metrics.image_loss_metric import (
    ImageLossMetric as ImageLossMetric,
)
from keras_perceptual.metrics.loss_terms import LossTerms as LossTerms
from keras_perceptual.metrics.lpips_metric import LPIPSMetric as LPIPSMetric
