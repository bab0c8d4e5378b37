"""Perceptual losses, edge losses, color tables and a gradient check for Keras.

The public names are listed here by hand. Importing the package reads no
weights, opens no connection and imports no backend but the one Keras runs on.
Without Keras, there is `io` alone, for tables in files.
"""

import typing as _typing

from keras_perceptual import io
from keras_perceptual._version import __version__

try:
    import keras as _keras  # noqa: F401
except ModuleNotFoundError as _error:
    _without_keras = _error
    if not _typing.TYPE_CHECKING:

        def __getattr__(name: str) -> _typing.Any:
            """Says what is missing, where a name needs Keras."""
            if name not in __all__:
                raise AttributeError(
                    f"module {__name__!r} has no attribute {name!r}"
                )
            raise ModuleNotFoundError(
                f"keras_perceptual.{name} needs Keras, which could not be "
                "imported; only keras_perceptual.io works without it. Install "
                f"Keras and a backend. Received: {_without_keras}"
            ) from _without_keras
else:
    from keras_perceptual import (
        callbacks,
        constraints,
        features,
        functional,
        gradients,
        layers,
        losses,
        metrics,
        ops,
        regularizers,
    )
    from keras_perceptual.callbacks import (
        GradientMonitor,
        GradientSanityCallback,
        ImageLogger,
        replay,
    )
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
        HaarPSILoss,
        MDSILoss,
        MSSSIMLoss,
        PerceivedDistance,
        PerceptualLoss,
        SobelGradientLoss,
        SSIMLoss,
        TotalVariationLoss,
        WaveletLoss,
        WeightedSumLoss,
    )
    from keras_perceptual.metrics import (
        DISTSMetric,
        ImageLossMetric,
        KIDMetric,
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
    "GradientMonitor",
    "GradientReport",
    "GradientSanityCallback",
    "GradientSanityError",
    "HaarPSILoss",
    "ImageDistance",
    "ImageLogger",
    "ImageLossMetric",
    "KIDMetric",
    "LPIPSMetric",
    "LookupColorLayer",
    "LossTerms",
    "MDSILoss",
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
    "WaveletLoss",
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
    "replay",
]


def __dir__() -> list[str]:
    return __all__
