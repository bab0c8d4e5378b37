"""The types that the annotations of this package are made of.

A word out of a few is listed next to the constant that it is checked against,
in the module that knows what it means.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import keras


class Array(Protocol):
    """An array of NumPy, or a tensor or variable of any backend."""

    @property
    def shape(self) -> Any:
        """The sizes along the axes."""

    @property
    def dtype(self) -> Any:
        """The type of the numbers."""


# What Keras computes with, which it has no type for: each backend has its own.
Tensor: TypeAlias = Any
# What can be made a tensor.
ArrayLike: TypeAlias = Array | list[Any] | tuple[Any, ...]
# Images that a loss takes as targets, alone or in a pair with their mask.
Targets: TypeAlias = ArrayLike | tuple[ArrayLike, ArrayLike]
# Sizes along the axes, `None` where they are not known.
Shape: TypeAlias = tuple[int | None, ...]
# The lowest and the highest value that a pixel can have; a list in files.
ValueRange: TypeAlias = tuple[float, float] | list[float]
if TYPE_CHECKING:
    # The name of a type or a policy, a policy of Keras, or its configuration.
    DType: TypeAlias = str | keras.DTypePolicy | dict[str, Any]
else:
    # Tables in files can be read where there is no Keras.
    DType = Any
PathLike: TypeAlias = str | os.PathLike[str]

DataFormat: TypeAlias = Literal["channels_last", "channels_first"]
Reduction: TypeAlias = (
    Literal[
        "sum_over_batch_size",
        "sum",
        "mean",
        "mean_with_sample_weight",
        "none",
    ]
    | None
)

# What `check_range` can be.
RangePolicy: TypeAlias = Literal["warn", "raise", "off", "clip"]

# How slopes are found, and what is compared of them.
SlopeOperator: TypeAlias = Literal[
    "sobel", "scharr", "prewitt", "central", "forward"
]
EdgeOperator: TypeAlias = Literal[
    SlopeOperator, "laplacian", "laplacian_pyramid"
]
EdgeMode: TypeAlias = Literal["component", "magnitude", "gdl", "angle"]
EdgeNorm: TypeAlias = Literal["l1", "l2", "charbonnier"] | float
Components: TypeAlias = Literal["mean", "sum"]
Padding: TypeAlias = Literal["reflect", "replicate", "valid"]
Downsampling: TypeAlias = Literal["average", "stride", "gaussian"]
VariationNorm: TypeAlias = Literal["l1", "l2", "isotropic"]

# What the weights of a sum of losses follow.
Balance: TypeAlias = Literal["gradient"]

# What is compared of features.
FeatureDifference: TypeAlias = Literal[
    "mse", "mae", "charbonnier", "cosine", "lost"
]
GramNormalization: TypeAlias = Literal["chw", "hw", "none"]
# How far apart colors are said to be.
ColorDifference: TypeAlias = Literal["ciede2000", "cie76", "oklab"]
Blur: TypeAlias = Literal["image"] | int
Wavelet: TypeAlias = Literal["haar", "db2", "db4", "sym4", "sym7"]
# Names of layers, with a weight for each where they are to count unlike.
Layers: TypeAlias = Sequence[str] | Mapping[str, float]
Pooling: TypeAlias = Literal["max", "average", "l2"]

# Of red, green and blue, the lowest and the highest value of a table.
Domain: TypeAlias = tuple[
    tuple[float, float, float], tuple[float, float, float]
]
# How tables are read, and along which axes they rise.
CubeInterpolation: TypeAlias = Literal["linear", "tetrahedral"]
CurveInterpolation: TypeAlias = Literal["linear", "nearest"]
Interpolation: TypeAlias = Literal["linear", "tetrahedral", "nearest"]
Extrapolation: TypeAlias = Literal["clamp", "linear"]
TableAxes: TypeAlias = Literal["own", "all"]
# Where the entries of a cube lie in a picture.
CubeLayout: TypeAlias = Literal["hald", "tiles", "tiles_bottom_up"]

# What the configuration of a loss asks for of published losses.
PerceptualPreset: TypeAlias = Literal[
    "johnson2016_style",
    "johnson2016_super_resolution",
    "srgan_vgg54",
    "esrgan",
    "gatys2016",
    "pix2pixhd",
    "film",
    "tensorflow_style_transfer",
]
EdgePreset: TypeAlias = Literal["densedepth", "midas", "mprnet", "gdl"]

# What Keras makes objects of: a name, a configuration, or the object.
Regularizer: TypeAlias = str | dict[str, Any] | Callable[[Tensor], Tensor]
Constraint: TypeAlias = str | dict[str, Any] | Callable[[Tensor], Tensor]
Initializer: TypeAlias = str | dict[str, Any] | Callable[..., Tensor]

# What the gradient check does about a gradient that is missing or not finite,
# and about one of zeros.
GradientPolicy: TypeAlias = Literal["raise", "warn", "ignore"]
ZeroPolicy: TypeAlias = Literal["auto", GradientPolicy]
# What the monitor does about a training that breaks.
NonfinitePolicy: TypeAlias = Literal["stop", "warn", "skip"]
GradientStatus: TypeAlias = Literal[
    "ok", "missing", "zero", "nonfinite", "ignored", "untracked"
]

# What Keras tells callbacks.
Logs: TypeAlias = dict[str, Any] | None
