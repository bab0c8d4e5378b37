"""The kernel inception distance as a metric."""

from typing import Any

import keras
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.configuration import Configured
from keras_perceptual.docstrings import fill
from keras_perceptual.features.backbones import BACKBONES
from keras_perceptual.features.extractor import FeatureExtractor, usual_layers
from keras_perceptual.image_validation import ImageChecker
from keras_perceptual.ops.kernel_distance import (
    check_features,
    kernel_inception_distance,
)
from keras_perceptual.typing import (
    ArrayLike,
    DataFormat,
    DType,
    PathLike,
    Tensor,
    ValueRange,
)

# Each image is compared with each: 400 megabytes.
LARGEST_SUBSET = 10_000


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class KIDMetric(Configured, keras.metrics.Metric):
    """Compares all predicted images with all targets, as two sets (KID).

    Images need not be pairs: it tells whether what a generator makes looks, as
    a whole, like the real thing. Lower is better; for two sets that are drawn
    alike it is 0 on average, however small they are, and may be below 0.

    It averages the squared maximum mean discrepancy over subsets, as
    torchmetrics does. That package keeps all features and draws subsets at
    random. Here subsets are filled in the order in which images come, each in
    one of them, so that memory does not grow. Shuffle the images, or a subset
    shows only a part of the set.

    Args:
        backbone: String, the network whose features are compared: `"vgg16"`
            and `"alexnet"` come with this package, others are downloaded by
            `keras.applications` (see `FeatureExtractor`). Or `None`: what the
            metric is called with are features, shaped `(batch, features)`.
            Defaults to `"vgg16"`.
        layer: String, the layer that is compared, averaged over its positions.
            Defaults to the last one that `PerceptualLoss` compares.
        weights: As for `FeatureExtractor`.
        subset_size: Integer from 2 to 10000, how many images a subset has: it
            compares each with each. What has not filled a subset counts where
            nothing else does. Defaults to 1000.
        degree: Integer of at least 1, the degree of the kernel. Defaults to 3.
        gamma: Float above zero, what products of features are scaled with.
            Defaults to one by the number of features.
        coef: Float, what is added to them. Defaults to 1.
        {value_range}
        {data_format}
        name: String. Defaults to `"kid"`.
        {sums_dtype}

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`, or features.
        y_pred: As many images, or features, of the same shape.

    Returns:
        From `result()`, the mean over subsets; 0 before the second image.

    Raises:
        ValueError: If an argument is unknown, if the images or features do not
            fit together, or if they have weights.

    Example:

    >>> import numpy as np
    >>> import keras_perceptual as kp
    >>> metric = kp.KIDMetric(None, subset_size=50)
    >>> features = np.random.default_rng(0).normal(size=(2, 100, 8))
    >>> metric.update_state(features[0], features[1] + 1)
    >>> bool(metric.result() > 1)
    True

    Notes:
        - Numbers of different networks, layers and sizes of images cannot be
          compared. Those in papers are of the Inception network of 2015; with
          its features, `backbone=None` gives them.
        - With several devices of `tf.distribute`, each is given the features of
          all, so that the number is that of one device. Processes that train
          with `DistributedDataParallel` each have a number of their own.

    Reference:
        - [Binkowski et al., 2018](https://arxiv.org/abs/1801.01401),
          "Demystifying MMD GANs".
        - [Zaremba et al., 2013](https://arxiv.org/abs/1307.1954), for subsets
          that have no image in common.
    """

    # Where the callbacks of Keras that watch a metric look for it.
    _direction: str = "down"

    def __init__(
        self,
        backbone: str | None = "vgg16",
        layer: str | None = None,
        *,
        weights: PathLike | None = None,
        subset_size: int = 1000,
        degree: int = 3,
        gamma: float | None = None,
        coef: float = 1.0,
        value_range: ValueRange = (0, 1),
        data_format: DataFormat | None = None,
        name: str | None = "kid",
        dtype: DType | None = None,
    ) -> None:
        self._check = check = ImageChecker(self)
        super().__init__(name=check.name(name), dtype=dtype)
        self.subset_size = check.integer(
            "subset_size", subset_size, minimum=2, maximum=LARGEST_SUBSET
        )
        self.degree = check.integer("degree", degree, minimum=1)
        self.coef = check.number("coef", coef)
        self.gamma: float | None = None
        if gamma is not None:
            self.gamma = check.number("gamma", gamma, above=0)
        self.value_range: tuple[float, float] = check.value_range(value_range)
        self.data_format = check.data_format(data_format)
        self.backbone: str | None = backbone
        self.layer: str | None = layer
        self.weights = check.path("weights", weights)
        self._extractor: FeatureExtractor | None = None
        if backbone is not None:
            check.choice("backbone", backbone, BACKBONES)
            self._extractor = FeatureExtractor(
                backbone,
                [layer or usual_layers(backbone, weights)[-1]],
                weights=weights,
                value_range=value_range,
            )
        self._buffers: list[Any] = []
        for kind in ("total", "squares", "subsets"):
            setattr(
                self,
                kind,
                self._add_variable((), kind),
            )
        self._filled = self._add_variable((), "filled", "int32")
        if self._extractor is not None:
            self._build(self._extractor.network.outputs[0].shape[-1])

    def update_state(
        self,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> None:
        """Adds the images of one batch."""
        if sample_weight is not None:
            raise ValueError(
                f"{self._check.owner} compares two sets of images, and has no "
                "weights for them. Put it among the `metrics` and not the "
                "`weighted_metrics`, and leave images out yourself. Received: "
                f"sample_weight of type {type(sample_weight).__name__}"
            )
        true, pred = map(_backend.replica_rows, self._features(y_true, y_pred))
        if true.shape[0] == 0:
            return
        if not self._buffers:
            self._build(true.shape[-1])
        number = true.shape[0]
        if number is None:
            # A graph of TensorFlow that serves batches of any size.
            number = ops.shape(true)[0]
            ops.while_loop(
                lambda start: start < number,
                lambda start: self._add((true, pred), start, number),
                (0,),
            )
        else:
            for start in range(0, number, self.subset_size):
                self._add((true, pred), start, number)

    def result(self) -> Tensor:
        """Returns the mean over subsets."""
        mean = self.total / ops.maximum(self.subsets, 1)
        if not self._buffers:
            return mean
        seen = ops.arange(self.subset_size) < self._filled
        return ops.where(self.subsets > 0, mean, self._estimate(seen))

    def standard_deviation(self) -> Tensor:
        """Returns how far subsets are from their mean, 0 for a single one."""
        count = ops.maximum(self.subsets, 1)
        variance = self.squares / count - ops.square(self.total / count)
        return ops.sqrt(ops.maximum(variance, 0))

    def _add_variable(
        self, shape: tuple[int, ...], name: str, dtype: Any = None
    ) -> Any:
        # All devices have the same in it, as each sees the images of all.
        return self.add_variable(
            shape,
            "zeros",
            dtype=dtype,
            aggregation="only_first_replica",
            name=name,
        )

    def _build(self, features: int) -> None:
        """Makes room for the features of a subset."""
        self._buffers = [
            self._add_variable((self.subset_size, features), kind)
            for kind in ("true_features", "pred_features")
        ]

    def _features(
        self, y_true: ArrayLike, y_pred: ArrayLike
    ) -> tuple[Tensor, Tensor]:
        """Returns the features of two batches, shaped `(batch, features)`."""
        if self._extractor is None:
            pair = [
                ops.convert_to_tensor(x, dtype=self.dtype)
                for x in (y_true, y_pred)
            ]
            check_features(self._check.owner, *pair)
            return pair[0], pair[1]
        self._check.image_pair(
            y_true,
            y_pred,
            channels=self._extractor.channels,
            data_format=self.data_format,
            predicted=False,
        )
        found = []
        for images in (y_true, y_pred):
            x = ops.stop_gradient(ops.convert_to_tensor(images, "float32"))
            if self.data_format == "channels_first":
                x = ops.transpose(x, (0, 2, 3, 1))
            (x,) = self._extractor(x).values()
            axes = tuple(range(1, len(x.shape) - 1))
            found.append(ops.cast(ops.mean(x, axis=axes), self.dtype))
        return found[0], found[1]

    def _estimate(self, seen: Tensor | None = None) -> Tensor:
        """Returns the distance of the features that are kept."""
        return kernel_inception_distance(
            *(x.value for x in self._buffers),
            degree=self.degree,
            gamma=self.gamma,
            coef=self.coef,
            seen=seen,
        )

    def _add(
        self, batch: tuple[Tensor, Tensor], start: Any, number: Any
    ) -> tuple[Any]:
        """Adds the features from `start` on, not more than a subset has.

        Returns:
            Where those begin that are left, in a tuple as loops want it.
        """
        size, filled = self.subset_size, self._filled.value
        count = ops.cast(ops.minimum(number - start, size), "int32")
        self._put(batch, start, count, filled)
        is_full = filled + count >= size
        found = ops.cond(
            is_full, self._estimate, lambda: ops.zeros((), self.dtype)
        )
        self.total.assign_add(found)
        self.squares.assign_add(ops.square(found))
        self.subsets.assign_add(ops.cast(is_full, self.dtype))
        # What is more begins the next subset. Where there is none, the rows
        # are none of the buffer's.
        self._put(batch, start, count, ops.where(is_full, filled - size, size))
        self._filled.assign(ops.where(is_full, filled - size, filled) + count)
        return (start + size,)

    def _put(
        self, batch: tuple[Tensor, Tensor], start: Any, count: Any, first: Any
    ) -> None:
        """Writes features into the rows from `first` on, as far as they go."""
        for buffer, x in zip(self._buffers, batch, strict=True):
            place = ops.arange(self.subset_size) - first
            inside = ops.logical_and(place >= 0, place < count)
            rows = ops.take(x, ops.where(inside, start + place, 0), axis=0)
            buffer.assign(
                ops.where(ops.expand_dims(inside, 1), rows, buffer.value)
            )
