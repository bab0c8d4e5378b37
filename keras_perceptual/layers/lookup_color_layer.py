"""A layer that reads colours from a table that it learns."""

import keras
import numpy as np
from keras import ops

from keras_perceptual import validation
from keras_perceptual.ops.color_lookup import (
    identity_cube,
    identity_curves,
    look_up_cube,
    look_up_curves,
)
from keras_perceptual.ops.value_range import clamp

DIMENSIONS = (1, 3)
# What can be asked for, by the number of dimensions.
INTERPOLATIONS = {1: ("linear",), 3: ("linear", "tetrahedral")}
EXTRAPOLATIONS = ("clamp", "linear")


@keras.saving.register_keras_serializable(package="keras_perceptual")
class LookupColorLayer(keras.layers.Layer):
    """Replaces every colour by the one a trainable table holds for it.

    This is the look-up table (LUT) of film and photography as a layer: a tone
    curve for each channel (`dimensions=1`), or a cube of colours in which red,
    green and blue are looked up together (`dimensions=3`). Use it where a
    model is to learn a colour grade, the look of a camera or a film, or the
    inverse of one. The cost is a few reads for each pixel, however elaborate
    the grade. It starts out changing nothing.

    Why can a look-up be trained at all? No colour is rounded to an entry of
    the table; it is blended from the entries around it. In one dimension, with
    `u` the colour on a scale from 0 to `size - 1`,

    ```
    i = min(floor(u), size - 2)
    output = (1 - (u - i)) * table[i] + (u - i) * table[i + 1]
    ```

    For a given colour the output is linear in the entries, and their gradients
    are the blending weights. For a given table it is a line between two
    entries, and the gradient of the colour is its slope. Which entries are
    read jumps from cell to cell, yet the output does not: only the slope
    changes there, as that of a ReLU does at zero. At an entry the slope is
    that of the cell above, at the last entry that of the last cell.

    Images are RGB in `value_range`, default `(0, 1)`.

    Args:
        size: Integer of at least 2. The number of entries of a curve, or
            along each edge of the cube. Defaults to 33.
        dimensions: 1 for a curve for each channel, 3 for a cube. Defaults
            to 3.
        interpolation: `"linear"` blends the two entries around a value, in a
            cube the eight around a colour. `"tetrahedral"`, for a cube alone,
            blends four: it is faster, and greys stay grey if the diagonal of
            the cube is. Defaults to `"linear"`.
        value_range: Pair of numbers, the lowest and the highest value that a
            pixel can have, going in and coming out. Defaults to `(0, 1)`.
        extrapolate: What happens to values outside `value_range`. `"clamp"`
            reads the end of the table, and the gradient of the image is zero
            there; at the very ends it is the slope of the inside.
            `"linear"` goes on with the slope at the end, along each axis; not
            with `"tetrahedral"`, whose slopes jump from cell to cell, so that
            the result would too. Defaults to `"clamp"`.
        table_initializer: `"identity"` for the table that changes nothing, or
            a Keras initializer. To start from a table of your own, see
            `set_table`. Defaults to `"identity"`.
        table_regularizer: Optional Keras regularizer of the table.
        table_constraint: Optional Keras constraint of the table.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`
            and `trainable`.

    Attributes:
        table: The weight, shaped `(size, size, size, 3)` and indexed
            `[r, g, b]`, or `(size, 3)` for curves. Its values are in (0, 1)
            whatever the `value_range`, so that the same learning rate does for
            all, and may leave (0, 1) in training. The output is not clipped.

    Input shape:
        `(batch, height, width, 3)`, or `(batch, 3, height, width)` with
        `"channels_first"`. More axes or fewer in place of batch, height and
        width will do. Integer images are cast.

    Output shape:
        As the input. The type is the compute dtype of the layer.

    Raises:
        ValueError: If an argument is unknown, if the images do not have three
            channels, or if a table of another shape is set.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual.layers import LookupColorLayer
    >>> layer = LookupColorLayer(size=2, dimensions=1)
    >>> layer.set_table([[0.5, 0.0, 0.0], [1.0, 1.0, 0.5]])
    >>> image = np.array([[[[0.0, 0.25, 1.0]]]], "float32")
    >>> keras.ops.convert_to_numpy(layer(image)).tolist()
    [[[[0.5, 0.25, 0.5]]]]

    Reference:
        - [Zeng et al., 2020](https://arxiv.org/abs/2009.14468), for cubes
          trained by gradient descent. Here the gradient of the image is that
          of the interpolation, not that of the identity.
        - S. Sakamoto and M. Itooka, US patent 4275413, 1981 (expired), for
          tetrahedral interpolation. Ties are broken red, green, blue.

    Notes:
        - Where a pixel is NaN, so is the output: that channel with curves,
          all three with a cube. Infinite pixels are clamped as others are;
          with `extrapolate="linear"` they become infinite or NaN. No value
          reads outside the table.
        - The gradient of the table is dense, although few entries are read,
          so that every optimizer and gradient clipping treat it as they
          treat other weights.
        - In mixed precision the table and the arithmetic are in float32, and
          the output is in the compute dtype.
    """

    def __init__(
        self,
        size=33,
        dimensions=3,
        *,
        interpolation="linear",
        value_range=(0, 1),
        extrapolate="clamp",
        table_initializer="identity",
        table_regularizer=None,
        table_constraint=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.size = validation.check_integer(owner, "size", size, minimum=2)
        self.dimensions = int(
            validation.check_choice(owner, "dimensions", dimensions, DIMENSIONS)
        )
        self.interpolation = validation.check_choice(
            f"{owner} with dimensions={dimensions}",
            "interpolation",
            interpolation,
            INTERPOLATIONS[dimensions],
        )
        self.value_range = validation.check_value_range(owner, value_range)
        self.extrapolate = validation.check_choice(
            owner, "extrapolate", extrapolate, EXTRAPOLATIONS
        )
        if (interpolation, extrapolate) == ("tetrahedral", "linear"):
            raise ValueError(
                f"{owner} cannot go on beyond the table from tetrahedra: their "
                "slopes jump from cell to cell, and the colours out there "
                'would too. Use interpolation="linear" or extrapolate="clamp". '
                f"Received: interpolation={interpolation!r}, "
                f"extrapolate={extrapolate!r}"
            )
        self.table_initializer = _get_initializer(owner, table_initializer)
        self.table_regularizer = keras.regularizers.get(table_regularizer)
        self.table_constraint = keras.constraints.get(table_constraint)
        self.data_format = validation.standardize_data_format(
            owner, data_format
        )
        self.supports_masking = True

    @property
    def table_shape(self):
        """The shape of the table."""
        return (self.size,) * self.dimensions + (3,)

    def build(self, input_shape):
        """Creates the table."""
        self._check_channels(input_shape)
        initializer = self.table_initializer
        if initializer == "identity":
            initializer = self._identity
        self.table = self.add_weight(
            name="table",
            shape=self.table_shape,
            initializer=initializer,
            regularizer=self.table_regularizer,
            constraint=self.table_constraint,
            # Entries rounded to half precision would be visible steps.
            autocast=False,
        )

    def _identity(self, shape, dtype=None):
        if self.dimensions == 1:
            table = identity_curves(*shape)
        else:
            table = identity_cube(self.size)
        return ops.cast(table, dtype or self.variable_dtype)

    def call(self, images):
        """Returns the images in the colours of the table."""
        self._check_channels(images.shape)
        precise = self.compute_dtype == "float64"
        colors = ops.cast(images, "float64" if precise else "float32")
        if self.data_format == "channels_first":
            colors = ops.moveaxis(colors, -3, -1)
        # The ends as the colours know them: in their own precision.
        low, high = (
            bound if precise else float(np.float32(bound))
            for bound in self.value_range
        )
        if self.extrapolate == "clamp":
            colors = clamp(colors, low, high)
        if self.value_range != (0.0, 1.0):
            # Subtracted first: the lower end is then exactly zero.
            colors = (colors - low) * (1.0 / (high - low))
        table = ops.convert_to_tensor(self.table)
        if self.dimensions == 1:
            colors = look_up_curves(colors, table)
        else:
            colors = look_up_cube(colors, table, self.interpolation)
        if self.value_range != (0.0, 1.0):
            colors = colors * (high - low) + low
        if self.data_format == "channels_first":
            colors = ops.moveaxis(colors, -1, -3)
        return ops.cast(colors, self.compute_dtype)

    def set_table(self, table):
        """Replaces the table, for example by one that was measured.

        Args:
            table: Array of the shape of `table`, with values in (0, 1) for
                the range of the pixels.

        Raises:
            ValueError: If the array is of another shape, or holds values that
                are not finite.
        """
        owner = type(self).__name__
        table = keras.ops.convert_to_numpy(table)
        if table.shape != self.table_shape:
            raise ValueError(
                f"{owner} with size={self.size} and "
                f"dimensions={self.dimensions} needs a table of shape "
                f"{self.table_shape}"
                + (", indexed [r, g, b]. " if self.dimensions == 3 else ". ")
                + "Reshape the table, or make the layer of its size. "
                f"Received: table.shape={table.shape}"
            )
        finite = np.isfinite(table)
        if not np.all(finite):
            raise ValueError(
                f"{owner} needs a table of finite numbers. Repair the entries "
                "that are not, for example with `numpy.nan_to_num`. "
                f"Received: a table with {np.sum(~finite)} entries that are "
                "NaN or infinite"
            )
        if not self.built:
            self.build(
                (None, None, None, 3)
                if self.data_format == "channels_last"
                else (None, 3, None, None)
            )
        self.table.assign(table)

    def _check_channels(self, shape):
        shape = tuple(shape)
        axis, layout, least = {
            "channels_last": (-1, "(batch, height, width, 3)", 1),
            "channels_first": (-3, "(batch, 3, height, width)", 3),
        }[self.data_format]
        if len(shape) < least or shape[axis] != 3:
            raise ValueError(
                f"{type(self).__name__} looks up colours of three channels, "
                f"red, green and blue, in images shaped {layout}. Drop an "
                "alpha channel with `images[..., :3]`, repeat a grey one with "
                "`keras.ops.repeat`, or set `data_format` to the layout that "
                f"the images have. Received: images of shape {shape}"
            )

    def compute_output_shape(self, input_shape):
        """Returns the shape of the images, which stays as it is."""
        self._check_channels(input_shape)
        return tuple(input_shape)

    def get_config(self):
        """Returns every argument of the constructor."""
        config = super().get_config()
        initializer = self.table_initializer
        if initializer != "identity":
            initializer = keras.initializers.serialize(initializer)
        config.update(
            size=self.size,
            dimensions=self.dimensions,
            interpolation=self.interpolation,
            value_range=list(self.value_range),
            extrapolate=self.extrapolate,
            table_initializer=initializer,
            table_regularizer=keras.regularizers.serialize(
                self.table_regularizer
            ),
            table_constraint=keras.constraints.serialize(self.table_constraint),
            data_format=self.data_format,
        )
        return config


def _get_initializer(owner, initializer):
    """Returns a Keras initializer, or "identity", which Keras reads otherwise.

    To Keras, "identity" is the identity matrix.
    """
    # A string first: comparing an array with one gives an array.
    if initializer is None or (
        isinstance(initializer, str) and initializer == "identity"
    ):
        return "identity"
    if hasattr(initializer, "shape") or isinstance(initializer, (list, tuple)):
        raise ValueError(
            f"{owner} takes no array as `table_initializer`, for it would be "
            "written into every config. Make the layer first and pass the "
            "array to its method `set_table`. Received: table_initializer of "
            f"type {type(initializer).__name__}"
        )
    return keras.initializers.get(initializer)
