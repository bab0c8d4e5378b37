"""Layers."""

from keras_perceptual.layers.lookup_color_layer import (
    LookupColorLayer as LookupColorLayer,
)
