"""Perceptual losses, edge losses, colour tables and a gradient check for Keras.

The public names are listed here by hand. Importing the package reads no
weights, opens no connection and imports no backend but the one Keras runs on.
"""

from keras_perceptual import callbacks as callbacks
from keras_perceptual import constraints as constraints
from keras_perceptual import features as features
from keras_perceptual import functional as functional
from keras_perceptual import gradients as gradients
from keras_perceptual import io as io
from keras_perceptual import layers as layers
from keras_perceptual import losses as losses
from keras_perceptual import metrics as metrics
from keras_perceptual import ops as ops
from keras_perceptual import regularizers as regularizers
from keras_perceptual._version import __version__ as __version__
from keras_perceptual.callbacks import (
    GradientSanityCallback as GradientSanityCallback,
)
from keras_perceptual.callbacks import ImageLogger as ImageLogger
from keras_perceptual.constraints import BoundedTable as BoundedTable
from keras_perceptual.constraints import MonotonicTable as MonotonicTable
from keras_perceptual.gradients import GradientReport as GradientReport
from keras_perceptual.gradients import (
    GradientSanityError as GradientSanityError,
)
from keras_perceptual.gradients import check_gradients as check_gradients
from keras_perceptual.layers import (
    AdaptiveLookupColorLayer as AdaptiveLookupColorLayer,
)
from keras_perceptual.layers import ImageDistance as ImageDistance
from keras_perceptual.layers import LookupColorLayer as LookupColorLayer
from keras_perceptual.losses import DISTS as DISTS
from keras_perceptual.losses import LPIPS as LPIPS
from keras_perceptual.losses import CharbonnierLoss as CharbonnierLoss
from keras_perceptual.losses import ContextualLoss as ContextualLoss
from keras_perceptual.losses import FocalFrequencyLoss as FocalFrequencyLoss
from keras_perceptual.losses import MSSSIMLoss as MSSSIMLoss
from keras_perceptual.losses import PerceptualLoss as PerceptualLoss
from keras_perceptual.losses import SobelGradientLoss as SobelGradientLoss
from keras_perceptual.losses import SSIMLoss as SSIMLoss
from keras_perceptual.losses import TotalVariationLoss as TotalVariationLoss
from keras_perceptual.losses import WeightedSumLoss as WeightedSumLoss
from keras_perceptual.metrics import DISTSMetric as DISTSMetric
from keras_perceptual.metrics import ImageLossMetric as ImageLossMetric
from keras_perceptual.metrics import LossTerms as LossTerms
from keras_perceptual.metrics import LPIPSMetric as LPIPSMetric
from keras_perceptual.regularizers import TableMonotonicity as TableMonotonicity
from keras_perceptual.regularizers import TableRange as TableRange
from keras_perceptual.regularizers import TableSmoothness as TableSmoothness
