"""Streaming means of losses."""

from keras_perceptual.metrics.loss_terms import LossTerms as LossTerms
