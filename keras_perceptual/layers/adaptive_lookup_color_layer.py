"""A layer that reads colors from a table that it makes for each image."""

import math
from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_perceptual import _backend, validation
from keras_perceptual.configuration import Configured
from keras_perceptual.docstrings import fill
from keras_perceptual.image_validation import ImageChecker
from keras_perceptual.io.color_table import CUBE_SIZES
from keras_perceptual.layers.lookup_color_layer import LookupColorLayer
from keras_perceptual.layers.mixing_network import build_mixing_network
from keras_perceptual.ops.color_lookup import identity_cube
from keras_perceptual.ops.table_mixing import mix_tables
from keras_perceptual.ops.value_range import clamp
from keras_perceptual.range_check import RangeCheck
from keras_perceptual.typing import (
    Array,
    Constraint,
    CubeInterpolation,
    DataFormat,
    Extrapolation,
    RangePolicy,
    Regularizer,
    Shape,
    Tensor,
    ValueRange,
)
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class AdaptiveLookupColorLayer(Configured, keras.layers.Layer):
    """Replaces the colors of each image by those of a table made for it.

    One color table is one look for all images. Enhancing photographs needs
    more: a dark one is to become brighter, a pale one more colorful. This
    layer learns a few cubes of colors and, from a small network that looks at
    the image, how much of each goes into the table of that image:

    ```
    weights = head(backbone(image))
    table = weights[0] * tables[0] + weights[1] * tables[1] + ...
    output = look_up(image, table)
    ```

    The network sees a small copy, so that the cost for a large photograph is
    that of a `LookupColorLayer`, which does the look-up here too: range,
    layout, transparency and extrapolation are as described there.

    It starts out changing nothing, for any image and backbone: the first table
    is the identity and the others are zero, all weights have a bias of 1, and
    what the image adds to the first of them starts at zero. What it adds to
    the others is random, so that the tables become different. It follows that
    the backbone learns from the second step on; before, no weight of it
    matters.

    Args:
        size: Integer of at least 2, the number of entries along each edge of
            a cube, or three of them, for red, green and blue. Defaults to 33.
        num_tables: Integer of at least 1, the number of cubes that are mixed.
            Together they have at most as many entries as the largest cube.
            Defaults to 3.
        backbone: Keras layer or model that looks at the images. It is called
            with the red, green and blue as they are, in `value_range` and
            `data_format` and of any size, and in the compute dtype; resizing
            and rescaling are up to it. It returns features of shape
            `(batch, n)`, or a feature map, which is averaged over height and
            width. It is trained with the layer, unless it is frozen, and saved
            with it. Defaults to the network of Zeng et al.: images of 256 x
            256 pixels, five convolutions with a stride of 2, instance
            normalization and dropout.
        interpolation: `"linear"`, `"tetrahedral"` or `"nearest"`, as in
            `LookupColorLayer`. Defaults to `"linear"`.
        value_range: Pair of numbers, the lowest and the highest value that a
            pixel can have, going in and coming out. Defaults to `(0, 1)`.
        {check_range}
        extrapolate: `"clamp"` or `"linear"`, what happens to values outside
            `value_range`, as in `LookupColorLayer`. Defaults to `"clamp"`.
        table_regularizer: Optional Keras regularizer of each table, such as
            `keras_perceptual.TableSmoothness`. The costs are added up.
        table_constraint: Optional Keras constraint of each table, such as
            `keras_perceptual.MonotonicTable`. A mix of tables that rise does
            so too where no weight is negative.
        mix_regularizer: Optional Keras regularizer of the weights that the
            images were given, of shape `(batch, num_tables)`. Its result is
            divided by how many these are: `keras.regularizers.L2(1e-4)` costs
            1e-4 times their mean square.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`
            and `trainable`.

    Attributes:
        tables: List of `num_tables` weights shaped `(size, size, size, 3)`,
            indexed `[r, g, b]`, once the layer is built. The mixed table has
            values in (0, 1) whatever the `value_range`; these may have any.
        backbone: The network that looks at the images.
        head: The dense layer that makes weights of its features.

    Input shape:
        `(batch, height, width, 3)`, or `(batch, 3, height, width)` with
        `"channels_first"`, or 4 in place of 3: a fourth channel is taken for
        transparency and passed through. Of video, the frames come after the
        batch, and each has a table of its own. Integer images are cast.

    Output shape:
        As the images. The type is the compute dtype of the layer.

    Raises:
        ValueError: If an argument is unknown or does not go with another, if
            the images have neither three nor four channels, or if the backbone
            returns something other than features or a map.
        TypeError: If the backbone is no Keras layer.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_perceptual import AdaptiveLookupColorLayer
    >>> layer = AdaptiveLookupColorLayer(
    ...     9, backbone=keras.layers.GlobalAveragePooling2D()
    ... )
    >>> photos = np.random.default_rng(0).uniform(0, 1, (2, 40, 60, 3))
    >>> graded = layer(photos.astype("float32"))
    >>> bool(np.allclose(keras.ops.convert_to_numpy(graded), photos, atol=1e-6))
    True
    >>> len(layer.tables), tuple(layer.tables_of(photos).shape)
    (3, (2, 9, 9, 9, 3))

    Reference:
        [Zeng et al., 2020](https://arxiv.org/abs/2009.14468), who train with
        Adam and a learning rate of 1e-4, `table_regularizer` being
        `TableSmoothness(1e-4)` and `TableMonotonicity(10, axes="all")` in one,
        and `mix_regularizer` `L2(1e-4)`. With the default arguments the layer
        has as many weights as theirs, 593,516. Theirs starts near the
        identity, not at it: there the image adds something random to all
        weights.

    Notes:
        - Train the default network with the learning rate of the paper, 1e-4.
          A weight is the sum of its 8192 features, so that with 1e-3, Keras's
          default for Adam, each step changes it too much to learn anything.
        - In mixed precision the tables, their weights and the look-up are in
          float32. The backbone computes as its own dtype says.
        - A config holds the architecture of the backbone, a saved model its
          weights, too.
    """

    def __init__(
        self,
        size: int | Sequence[int] = 33,
        num_tables: int = 3,
        *,
        backbone: keras.Layer | None = None,
        interpolation: CubeInterpolation = "linear",
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        extrapolate: Extrapolation = "clamp",
        table_regularizer: Regularizer | None = None,
        table_constraint: Constraint | None = None,
        mix_regularizer: Regularizer | None = None,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check = Checker(self)
        # Tables and weights in half precision would be visible steps.
        precise = "float64" if self.compute_dtype == "float64" else "float32"
        self.reader = LookupColorLayer(
            size,
            interpolation=interpolation,
            value_range=value_range,
            check_range="off",
            extrapolate=extrapolate,
            data_format=data_format,
            dtype=precise,
            name="reader",
        )
        self.size = self.reader.size
        self.interpolation = self.reader.interpolation
        self.value_range = self.reader.value_range
        self.extrapolate = self.reader.extrapolate
        self.data_format = self.reader.data_format
        self._range_check = RangeCheck(
            check.owner,
            check_range,
            self.value_range,
            self.data_format,
            channels=3,
            clamped=extrapolate == "clamp" or check_range == "clip",
        )
        self.num_tables = check.integer("num_tables", num_tables, minimum=1)
        _check_entries(check.owner, self.num_tables, self.reader.table_shape)
        self.table_regularizer = keras.regularizers.get(table_regularizer)
        self.table_constraint = keras.constraints.get(table_constraint)
        self.mix_regularizer = keras.regularizers.get(mix_regularizer)
        self._has_default_backbone = backbone is None
        if backbone is None:
            backbone = build_mixing_network(
                self.value_range, self.data_format, self.dtype_policy
            )
        self.backbone = _check_backbone(check.owner, backbone)
        self.head = keras.layers.Dense(
            self.num_tables,
            kernel_initializer=_zero_for_the_first,
            bias_initializer="ones",
            dtype=precise,
            name="head",
        )
        self.supports_masking = True

    @property
    def check_range(self) -> RangePolicy:
        """What is done about images that are not in `value_range`."""
        return self._range_check.policy

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates the tables, and what the network lacks."""
        self._check_images(input_shape)
        table_shape = self.reader.table_shape
        seen = list(input_shape)
        if len(seen) == 5:
            seen = [None, *seen[2:]]
        self.reader.build((tuple(seen), (None, *table_shape)))
        seen[-1 if self.data_format == "channels_last" else 1] = 3
        features = self.backbone(
            keras.KerasTensor(seen, dtype=self.compute_dtype)
        )
        self.head.build((None, self._count_features(features)))
        self.tables = [
            self.add_weight(
                name=f"table_{number}",
                shape=table_shape,
                initializer="zeros" if number else _identity,
                regularizer=self.table_regularizer,
                constraint=self.table_constraint,
                autocast=False,
            )
            for number in range(self.num_tables)
        ]

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Returns each image in the colors of its table."""
        self._check_images(tuple(inputs.shape))
        images = _unfold(self._admit(inputs))
        weights = self._weigh(images, training)
        if self.mix_regularizer is not None:
            count = ops.shape(weights)[0] * self.num_tables
            self.add_loss(
                ops.divide_no_nan(
                    self.mix_regularizer(weights),
                    ops.cast(count, weights.dtype),
                )
            )
        tables = mix_tables(self.tables, weights)
        outputs = self.reader([images, tables])
        return ops.cast(_fold(outputs, inputs), self.compute_dtype)

    def mixing_weights(self, images: Array) -> Tensor:
        """Returns how much of each table goes into that of each image.

        Args:
            images: Images as for a call.

        Returns:
            A tensor of shape `(batch, num_tables)`, as in inference; of video
            `(batch, frames, num_tables)`.

        Raises:
            ValueError: If the images have another shape.
        """
        images = ops.convert_to_tensor(images)
        self._check_images(tuple(images.shape))
        if not self.built:
            self.build(tuple(images.shape))
        weights = self._weigh(_unfold(self._admit(images)), training=False)
        return _fold(weights, images)

    def tables_of(self, images: Array) -> Tensor:
        """Returns the table that each image is looked up in.

        For an app or a film tool, which applies it to the large photograph,
        see `keras_perceptual.io.write_cube`.

        Args:
            images: Images as for a call.

        Returns:
            A tensor of shape `(batch, size, size, size, 3)`, indexed `[r, g,
            b]`, with 0 and 1 for the ends of `value_range`; of video with the
            frames after the batch.

        Raises:
            ValueError: If the images have another shape.

        Example:

        >>> import pathlib
        >>> import tempfile
        >>> import keras
        >>> import numpy as np
        >>> from keras_perceptual import AdaptiveLookupColorLayer
        >>> from keras_perceptual.io import ColorTable, write_cube
        >>> layer = AdaptiveLookupColorLayer(
        ...     2, backbone=keras.layers.GlobalAveragePooling2D()
        ... )
        >>> photos = np.zeros((1, 8, 8, 3), "float32")
        >>> (cube,) = keras.ops.convert_to_numpy(layer.tables_of(photos))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "photo.cube")
        ...     write_cube(path, ColorTable(cube=cube, title="Photo"))
        ...     print(path.read_text()[:46])
        TITLE "Photo"
        LUT_3D_SIZE 2
        0.0 0.0 0.0
        1.0 0.
        """
        images = ops.convert_to_tensor(images)
        weights = self.mixing_weights(images)
        weights = ops.reshape(weights, (-1, self.num_tables))
        return _fold(mix_tables(self.tables, weights), images)

    def _admit(self, images: Array) -> Tensor:
        """Looks at the values of images, and clips them if asked to."""
        if not _backend.is_exporting(images):
            self._range_check({"input": images})
        if self.check_range != "clip":
            return images
        return clamp(ops.cast(images, self.reader.dtype), *self.value_range)

    def _weigh(self, images: Array, training: bool | None) -> Tensor:
        """Returns the weights of the tables for each image."""
        colors = ops.cast(images, self.compute_dtype)
        if self.data_format == "channels_last":
            colors = colors[..., :3]
        else:
            colors = colors[:, :3]
        features = self._look(colors, training)
        self._count_features(features)
        features = ops.cast(features, self.head.compute_dtype)
        if len(features.shape) == 4:
            channels_last = self.data_format == "channels_last"
            features = ops.mean(
                features, axis=(1, 2) if channels_last else (2, 3)
            )
        return self.head(features)

    def _look(self, colors: Tensor, training: bool | None) -> Tensor:
        """Returns what the backbone makes of images, or of none."""
        if colors.shape[0] != 0:
            return self.backbone(colors, training=training)
        # Convolutions of TensorFlow's fail without an image: a black one is
        # looked at instead, and not kept. Nothing is to be learned from it.
        black = ops.zeros((1, *ops.shape(colors)[1:]), dtype=colors.dtype)
        return self.backbone(ops.concatenate([colors, black]), training=False)[
            :0
        ]

    def _check_images(self, shape: Sequence[int | None]) -> None:
        of_frame = shape if len(shape) != 5 else (shape[0], *shape[2:])
        ImageChecker(self).image_shape(
            tuple(of_frame),
            channels=(3, 4),
            data_format=self.data_format,
            received=f"Received: images of shape {tuple(shape)}",
        )

    def _count_features(self, features: Any) -> int:
        """Returns the number of features, refusing what is none."""
        shape: Any = getattr(features, "shape", None)
        rank = None if shape is None else len(shape)
        last = rank == 2 or self.data_format == "channels_last"
        count = shape[-1 if last else 1] if rank in (2, 4) else None
        if count is None:
            received = (
                f"a backbone that returns shape {tuple(shape)}"
                if rank is not None
                else f"a backbone that returns a {type(features).__name__}"
            )
            raise ValueError(
                f"{type(self).__name__} needs a backbone that returns one "
                "tensor, features of shape (batch, n) or a feature map in the "
                f"layout {self.data_format}, with a known number of channels. "
                "End the backbone with such a layer, for example "
                "`keras.layers.GlobalAveragePooling2D()`. "
                f"Received: {received}"
            )
        return count

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Returns the shape of the images, which stays as it is."""
        self._check_images(input_shape)
        return tuple(input_shape)

    @property
    def _backbone_config(self) -> dict[str, Any] | None:
        if self._has_default_backbone:
            return None
        return keras.saving.serialize_keras_object(self.backbone)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Creates a layer from what `get_config` returned."""
        if config.get("backbone") is None:
            return super().from_config(config)
        backbone = Checker(cls.__name__).revive(config, "backbone")
        return super().from_config({**config, "backbone": backbone})


def _unfold(images: Tensor) -> Tensor:
    """Returns the frames of video as so many images."""
    if len(images.shape) != 5:
        return images
    batch, frames, *rest = ops.shape(images)
    return ops.reshape(images, (batch * frames, *rest))


def _fold(results: Tensor, images: Tensor) -> Tensor:
    """Returns the results for images, of frames behind a batch of video."""
    if len(images.shape) != 5:
        return results
    batch, frames = ops.shape(images)[:2]
    return ops.reshape(results, (batch, frames, *ops.shape(results)[1:]))


def _identity(shape: Sequence[int], dtype: str | None = None) -> Tensor:
    return ops.cast(identity_cube(shape[:3]), dtype)


def _zero_for_the_first(
    shape: Sequence[int], dtype: str | None = None
) -> Tensor:
    """Returns a kernel by which the first weight depends on no feature.

    The others do: were they alike, so would their tables be for ever.
    """
    kernel = keras.initializers.GlorotNormal()(shape, dtype)
    return ops.concatenate(
        [ops.zeros_like(kernel[:, :1]), kernel[:, 1:]], axis=1
    )


def _check_entries(
    owner: str, num_tables: int, table_shape: tuple[int, ...]
) -> None:
    """Refuses tables that together are larger than the largest one."""
    most, entries = CUBE_SIZES[1] ** 3, math.prod(table_shape[:3])
    if num_tables * entries > most:
        raise ValueError(
            f"{owner} holds up to {most:,} colors in all its tables, as many "
            "as the largest table. Take fewer tables, or smaller ones: 33 "
            "entries along an edge are usual. "
            f"Received: num_tables={validation.show(num_tables)}, with "
            f"{entries:,} colors each"
        )


def _check_backbone(owner: str, backbone: keras.Layer) -> keras.Layer:
    if isinstance(backbone, keras.layers.Layer):
        return backbone
    raise TypeError(
        f"{owner} needs a Keras layer or model as `backbone`, which is trained "
        "and saved with it, or `None` for a small network of its own. Put a "
        "function into a `keras.layers.Layer`. "
        f"Received: backbone={validation.show(backbone)}"
    )
