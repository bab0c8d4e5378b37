"""Layers."""

from keras_perceptual.layers.adaptive_lookup_color_layer import (
    AdaptiveLookupColorLayer as AdaptiveLookupColorLayer,
)
from keras_perceptual.layers.image_distance import (
    ImageDistance as ImageDistance,
)
from keras_perceptual.layers.lookup_color_layer import (
    LookupColorLayer as LookupColorLayer,
)
