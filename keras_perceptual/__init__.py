"""Perceptual losses, edge losses, color tables and a gradient check for Keras.

The public names are listed here by hand. Importing the package reads no
weights, opens no connection and imports no backend but the one Keras runs on.
"""

from keras_perceptual import (
    callbacks,
    constraints,
    features,
    functional,
    gradients,
    io,
    layers,
    losses,
    metrics,
    ops,
    regularizers,
)
from keras_perceptual._version import __version__
from keras_perceptual.callbacks import GradientSanityCallback, ImageLogger
from keras_perceptual.constraints import BoundedTable, MonotonicTable
from keras_perceptual.gradients import (
    GradientReport,
    GradientSanityError,
    check_gradients,
)
from keras_perceptual.layers import (
    AdaptiveLookupColorLayer,
    ImageDistance,
    LookupColorLayer,
)
from keras_perceptual.losses import (
    DISTS,
    LPIPS,
    CharbonnierLoss,
    ColorDifferenceLoss,
    ContextualLoss,
    FocalFrequencyLoss,
    MSSSIMLoss,
    PerceivedDistance,
    PerceptualLoss,
    SobelGradientLoss,
    SSIMLoss,
    TotalVariationLoss,
    WeightedSumLoss,
)
from keras_perceptual.metrics import (
    DISTSMetric,
    ImageLossMetric,
    LossTerms,
    LPIPSMetric,
    MSSSIMMetric,
    PerceivedDistanceMetric,
    PSNRMetric,
    SSIMMetric,
)
from keras_perceptual.regularizers import (
    TableMonotonicity,
    TableRange,
    TableSmoothness,
)

__all__ = [
    "DISTS",
    "LPIPS",
    "AdaptiveLookupColorLayer",
    "BoundedTable",
    "CharbonnierLoss",
    "ColorDifferenceLoss",
    "ContextualLoss",
    "DISTSMetric",
    "FocalFrequencyLoss",
    "GradientReport",
    "GradientSanityCallback",
    "GradientSanityError",
    "ImageDistance",
    "ImageLogger",
    "ImageLossMetric",
    "LPIPSMetric",
    "LookupColorLayer",
    "LossTerms",
    "MSSSIMLoss",
    "MSSSIMMetric",
    "MonotonicTable",
    "PSNRMetric",
    "PerceivedDistance",
    "PerceivedDistanceMetric",
    "PerceptualLoss",
    "SSIMLoss",
    "SSIMMetric",
    "SobelGradientLoss",
    "TableMonotonicity",
    "TableRange",
    "TableSmoothness",
    "TotalVariationLoss",
    "WeightedSumLoss",
    "__version__",
    "callbacks",
    "check_gradients",
    "constraints",
    "features",
    "functional",
    "gradients",
    "io",
    "layers",
    "losses",
    "metrics",
    "ops",
    "regularizers",
]


def __dir__() -> list[str]:
    return __all__
