"""A layer that reads colors from a table that it learns."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, Self, cast

import keras
import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.configuration import Configured
from keras_perceptual.docstrings import fill
from keras_perceptual.io.color_table import (
    DEFAULT_DOMAIN,
    ColorTable,
    check_table,
)
from keras_perceptual.io.cube import read_cube, write_cube
from keras_perceptual.io.table_plots import plot_entries
from keras_perceptual.layers.table_checks import (
    check_channels,
    check_entries,
    check_shaper,
    check_size,
    check_table_domain,
    get_initializer,
)
from keras_perceptual.layers.table_files import (
    from_color_table,
    moved,
    to_color_table,
)
from keras_perceptual.layers.table_reading import Reading, read_colors
from keras_perceptual.layers.table_sources import (
    GivenTable,
    OwnTable,
    TableSource,
)
from keras_perceptual.ops.color_lookup import identity_cube, identity_curves
from keras_perceptual.range_check import RangeCheck
from keras_perceptual.typing import (
    ArrayLike,
    Constraint,
    DataFormat,
    Domain,
    Extrapolation,
    Initializer,
    Interpolation,
    PathLike,
    RangePolicy,
    Regularizer,
    Shape,
    Tensor,
    ValueRange,
)
from keras_perceptual.validation import Checker

DIMENSIONS = (1, 3)
# What can be asked for, by the number of dimensions.
INTERPOLATIONS: dict[int, tuple[str, ...]] = {
    1: ("linear", "nearest"),
    3: ("linear", "tetrahedral", "nearest"),
}
EXTRAPOLATIONS = ("clamp", "linear")


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class LookupColorLayer(Configured, keras.layers.Layer):
    """Replaces every color by the one a trainable table holds for it.

    This is the look-up table (LUT) of film and photography as a layer: a tone
    curve for each channel (`dimensions=1`), or a cube of colors in which red,
    green and blue are looked up together (`dimensions=3`). Use it where a
    model is to learn a color grade, the look of a camera or a film, or the
    inverse of one. The cost is a few reads for each pixel, however elaborate
    the grade. It starts out changing nothing. Called with `[images, table]`, it
    has no weight and reads from that table, which a network may have made: one
    for all images, or one for each.

    Why can a look-up be trained at all? No color is rounded to an entry of
    the table; it is blended from the entries around it. In one dimension, with
    `u` the color on a scale from 0 to `size - 1`,

    ```
    i = min(floor(u), size - 2)
    output = (1 - (u - i)) * table[i] + (u - i) * table[i + 1]
    ```

    For a given color the output is linear in the entries, and their gradients
    are the blending weights. For a given table it is a line between two
    entries, and the gradient of the color is its slope. Which entries are
    read jumps from cell to cell, yet the output does not: only the slope
    changes there, as that of a ReLU does at zero. At an entry the slope is
    that of the cell above, at the last entry that of the last cell. With
    `interpolation="nearest"` all this is not so: the output is an entry, the
    table still learns, and layers before this one get no gradient through it.

    Images are RGB in `value_range`, default `(0, 1)`. A fourth channel is
    taken for transparency and passed through. A single channel is gray, three
    equal ones: three curves make colors of it (a colormap), one curve keeps it
    gray.

    Args:
        size: Integer of at least 2. The number of entries of a curve, up to
            300000, or along each edge of the cube, up to 256, as files of
            tables have them; of a cube also three, for red, green and blue.
            Defaults to 33.
        dimensions: 1 for a curve for each channel, 3 for a cube. Defaults
            to 3.
        interpolation: `"linear"` blends the two entries around a value, in a
            cube the eight around a color. `"tetrahedral"`, for a cube alone,
            blends four: it is faster, and grays stay gray if the diagonal of
            the cube is. `"nearest"` takes the nearest entry, halfway the
            upper one: for pictures of few colors, and not for training what
            comes before. Defaults to `"linear"`.
        shared: Boolean, whether all channels have one curve. Defaults to
            `False`.
        shaper_size: Integer from 2 to 300000, the number of entries of curves
            that the colors go through before the cube, one for each channel:
            they put the entries of the cube where they are needed, as films
            and cameras with a logarithmic curve have it. Interpolated
            linearly, and trained with the cube. Defaults to none.
        value_range: Pair of numbers, the lowest and the highest value that a
            pixel can have, going in and coming out. Defaults to `(0, 1)`.
        output_range: Pair of numbers, what 0 and 1 in the table stand for in
            what comes out, where that is not `value_range`: labels from 0 to 7
            that become colors, with `value_range=(0, 7)`, `output_range=(0,
            1)`. Defaults to `None`, for `value_range`.
        {check_range}
        extrapolate: What happens to values outside `value_range`. `"clamp"`
            reads the end of the table, and the gradient of the image is zero
            there; at the very ends it is the slope of the inside.
            `"linear"` goes on with the slope at the end, along each axis; not
            with `"tetrahedral"`, whose slopes jump from cell to cell, so that
            the result would too, nor with `"nearest"`, which has no slope.
            Defaults to `"clamp"`.
        table_initializer: `"identity"` for the table that changes nothing, or
            a Keras initializer. To start from a table of your own, see
            `set_table`. Defaults to `"identity"`.
        table_regularizer: Optional Keras regularizer of the table, such as
            `keras_perceptual.TableSmoothness`.
        table_constraint: Optional Keras constraint of the table, such as
            `keras_perceptual.MonotonicTable`.
        shaper_regularizer: Optional Keras regularizer of the shaper.
        shaper_constraint: Optional Keras constraint of the shaper.
            `keras_perceptual.MonotonicTable` keeps it from folding colors
            over each other.
        curves_domain: Pair of three numbers each, the red, green and blue that
            the first and the last entry of curves, or of the shaper, stand for
            in files. `from_table` sets it and `to_table` gives it back. The
            lowest number of the domain is the low end of `value_range`, and
            the highest number the high end: channels that differ from each
            other do so in the layer, too. Defaults to `None`, for
            `((0, 0, 0), (1, 1, 1))`.
        cube_domain: The same for a cube. Behind a shaper it is about files
            alone, for the layer has places in the cube there.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`
            and `trainable`.

    Attributes:
        table: The weight, shaped `(size, size, size, 3)` and indexed
            `[r, g, b]`, or `(size, 3)` for curves, `(size, 1)` for a shared
            one. Its values are in (0, 1) whatever the `value_range`, so that
            the same learning rate does for all, and may leave (0, 1) in
            training. The output is not clipped.
        shaper: The curves before a cube, a weight shaped `(shaper_size, 3)`,
            or `None`. Its values are places in the cube, from 0 to 1.

    Input shape:
        `(batch, height, width, 3)`, or `(batch, 3, height, width)` with
        `"channels_first"`, or 4 or 1 in place of 3. More axes or fewer in
        place of batch, height and width will do. Integer images are cast. Or a
        list of images and a table, shaped as `table` or with the batch in
        front; of a shared curve also `(size,)` and `(batch, size)`.

    Output shape:
        As the images; of gray ones 3 in place of 1, but with one curve for
        all channels and one domain. The type is the compute dtype of the layer.

    Raises:
        ValueError: If an argument is unknown or does not go with another, if
            the images have neither one nor three nor four channels, if a table
            has another shape, or, with `check_range="raise"`, if the images are
            not in `value_range`.

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
        - On TensorFlow, on machines without an accelerator, the look-up is
          compiled by XLA in training, also where the model is not: it is four
          times faster, for half a second at the first step. This needs images
          of a known size, and exported models are free of it.
        - Where a pixel is NaN, so is the output: that channel with curves,
          all three with a cube. Infinite pixels are clamped as others are;
          with `extrapolate="linear"` they become infinite or NaN. No value
          reads outside the table.
        - The gradient of the table is dense, although few entries are read,
          so that every optimizer and gradient clipping treat it as they
          treat other weights.
        - In mixed precision the table and the arithmetic are in float32, and
          the output is in the compute dtype. A table that a network makes is
          in the type that the network computes in.
    """

    def __init__(
        self,
        size: int | Sequence[int] = 33,
        dimensions: Literal[1, 3] = 3,
        *,
        interpolation: Interpolation = "linear",
        shared: bool = False,
        shaper_size: int | None = None,
        value_range: ValueRange = (0, 1),
        output_range: ValueRange | None = None,
        check_range: RangePolicy = "warn",
        extrapolate: Extrapolation = "clamp",
        table_initializer: Initializer | ArrayLike = "identity",
        table_regularizer: Regularizer | None = None,
        table_constraint: Constraint | None = None,
        shaper_regularizer: Regularizer | None = None,
        shaper_constraint: Constraint | None = None,
        curves_domain: Domain | None = None,
        cube_domain: Domain | None = None,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check = Checker(self)
        self.dimensions = int(
            check.choice("dimensions", dimensions, DIMENSIONS)
        )
        self.size = check_size(check.owner, size, self.dimensions)
        self.interpolation = Checker(
            f"{check.owner} with dimensions={dimensions}"
        ).choice(
            "interpolation",
            interpolation,
            INTERPOLATIONS[dimensions],
        )
        self.value_range = check.value_range(value_range)
        self.output_range = output_range
        if output_range is not None:
            self.output_range = check.value_range(output_range, "output_range")
        self.extrapolate = check.choice(
            "extrapolate", extrapolate, EXTRAPOLATIONS
        )
        self.data_format = check.data_format(data_format)
        self._range_check = RangeCheck(
            check.owner,
            check_range,
            self.value_range,
            self.data_format,
            channels=3,
            clamped=extrapolate == "clamp" or check_range == "clip",
        )
        if extrapolate == "linear" and interpolation != "linear":
            raise ValueError(
                f"{check.owner} can only go on beyond the table from the slope "
                "at its end. Tetrahedra have slopes that jump from cell to "
                "cell, and the colors out there would too; the nearest entry "
                'has none. Use interpolation="linear" or extrapolate="clamp". '
                f"Received: interpolation={interpolation!r}, "
                f"extrapolate={extrapolate!r}"
            )
        self.shared = check.boolean("shared", shared)
        if self.shared and self.dimensions != 1:
            raise ValueError(
                f"{check.owner} shares a curve between channels, and a cube "
                "has none. Use dimensions=1, or leave out `shared`. Received: "
                f"shared={shared!r}, dimensions={dimensions!r}"
            )
        self.shaper_size = check_shaper(
            check.owner,
            shaper_size,
            self.dimensions,
            regularizer=shaper_regularizer,
            constraint=shaper_constraint,
        )
        self.table_initializer = get_initializer(check.owner, table_initializer)
        self.table_regularizer = keras.regularizers.get(table_regularizer)
        self.table_constraint = keras.constraints.get(table_constraint)
        self.shaper_regularizer = keras.regularizers.get(shaper_regularizer)
        self.shaper_constraint = keras.constraints.get(shaper_constraint)
        self.curves_domain, self.cube_domain = (
            check_table_domain(
                check.owner,
                kind,
                domain,
                shaper_size=self.shaper_size,
                dimensions=self.dimensions,
            )
            for kind, domain in (
                ("curves", curves_domain),
                ("cube", cube_domain),
            )
        )
        self.shaper: keras.Variable | None = None
        given = GivenTable(
            owner=check.owner,
            name=self.name,
            size=self.size,
            dimensions=self.dimensions,
            shape=self.table_shape,
            regularizer=self.table_regularizer,
            constraint=self.table_constraint,
        )
        self._given: GivenTable = given
        self._source: TableSource = given
        self.supports_masking = True

    @property
    def check_range(self) -> RangePolicy:
        """What is done about images that are not in `value_range`."""
        return self._range_check.policy

    @property
    def table_shape(self) -> tuple[int, ...]:
        """The shape of the table."""
        if self.dimensions == 1:
            return (cast(int, self.size), 1 if self.shared else 3)
        return (*np.broadcast_to(self.size, 3).tolist(), 3)

    def build(self, input_shape: Sequence[Any]) -> None:
        """Creates the table, unless one is given with the images."""
        image_shape, table_shape = _split(input_shape)
        check_channels(type(self).__name__, image_shape, self.data_format)
        if self.shaper_size is not None:
            self.shaper = self.add_weight(
                name="shaper",
                shape=(self.shaper_size, 3),
                initializer=self._identity,
                regularizer=self.shaper_regularizer,
                constraint=self.shaper_constraint,
                autocast=False,
            )
        if table_shape is not None:
            self._given.check(table_shape)
            return
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
        self._source = OwnTable(self.table, self._given)

    def _identity(
        self, shape: Sequence[int], dtype: str | None = None
    ) -> Tensor:
        if len(shape) == 2:
            table = identity_curves(*shape)
        else:
            table = identity_cube(shape[:3])
        return ops.cast(table, dtype or self.variable_dtype)

    def call(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Returns the images in the colors of the table."""
        images: Tensor = inputs
        table = None
        if isinstance(inputs, list | tuple):
            images, table = inputs
        check_channels(
            type(self).__name__, tuple(images.shape), self.data_format
        )
        if not _backend.is_exporting(images):
            self._range_check({"input": images})
        table = self._source.read(table)
        shaper = None
        if self.shaper is not None:
            shaper = ops.convert_to_tensor(self.shaper.value)
        return read_colors(self._reading(), images, table, shaper)

    def _reading(self) -> Reading:
        """Returns how the colors are read from the table."""

        def rounded(bounds: Sequence[float]) -> tuple[float, ...]:
            # The ends as the colors know them: in their own precision.
            if self.compute_dtype == "float64":
                return tuple(bounds)
            return tuple(float(np.float32(bound)) for bound in bounds)

        domain = moved(self._domains[0], self.value_range)
        is_one = all(len(set(end)) == 1 for end in domain)
        return Reading(
            dimensions=self.dimensions,
            interpolation=self.interpolation,
            extrapolate=(
                "clamp" if self.check_range == "clip" else self.extrapolate
            ),
            data_format=self.data_format,
            value_range=cast(Any, rounded(self.value_range)),
            domain=None if is_one else cast(Any, tuple(map(rounded, domain))),
            dtype=self.compute_dtype,
            output_range=cast(
                Any, self.output_range and rounded(self.output_range)
            ),
        )

    @property
    def _domains(self) -> tuple[Domain, Domain]:
        """The domains of what comes first, and of a cube behind a shaper."""
        curves, cube = (
            domain or DEFAULT_DOMAIN
            for domain in (self.curves_domain, self.cube_domain)
        )
        if self.dimensions == 3 and self.shaper_size is None:
            return cube, DEFAULT_DOMAIN
        return curves, cube

    def set_table(
        self, table: ArrayLike, shaper: ArrayLike | None = None
    ) -> None:
        """Replaces the table, for example by one that was measured.

        Args:
            table: Array of the shape of `table`, with values in (0, 1) for
                the range of the pixels; of a shared curve also `(size,)`.
            shaper: Array of shape `(shaper_size, 3)` that replaces the
                shaper, with values in (0, 1) for the edges of the cube.
                Defaults to leaving it as it is.

        Raises:
            ValueError: If an array is of another shape, or holds values that
                are not finite, or if there is no shaper.
        """
        if self.shared and np.shape(table) == self.table_shape[:1]:
            table = keras.ops.convert_to_numpy(table)[:, None]
        check = functools.partial(
            check_entries,
            type(self).__name__,
            size=self.size,
            dimensions=self.dimensions,
        )
        table = check("table", table, self.table_shape)
        if shaper is not None:
            if self.shaper_size is None:
                raise ValueError(
                    f"{type(self).__name__} has no shaper to replace. Make "
                    "the layer with `shaper_size`, or leave the shaper out. "
                    f"Received: shaper of type {type(shaper).__name__}"
                )
            shaper = check("shaper", shaper, (self.shaper_size, 3))
        if not self.built:
            self.build(
                (None, None, None, 3)
                if self.data_format == "channels_last"
                else (None, 3, None, None)
            )
        self._source.weight.assign(table)
        if self.shaper is not None and shaper is not None:
            self.shaper.assign(shaper)

    @classmethod
    def from_table(cls, table: ColorTable, **arguments: Any) -> Self:
        """Makes a layer of a color table, such as one from a file.

        The layer can be trained, and `to_table` returns the table again, over
        the domain that it came with. Curves before a cube become the shaper.

        Args:
            table: `keras_perceptual.io.ColorTable`. For what can be read from
                files, see `keras_perceptual.io.read_table`.
            **arguments: Arguments of the layer but `size`, `dimensions`,
                `shared`, `shaper_size` and the domains, which the table knows.
                `value_range` defaults to the domain, from the lowest number
                of all channels to the highest, mostly (0, 1); with another,
                the ends of that range stand for these numbers.

        Returns:
            A `LookupColorLayer` that holds the table.

        Raises:
            ValueError: If an argument is not one of the layer, or is known
                from the table.
            TypeError: If `table` is no `ColorTable`.

        Example:

        >>> from keras_perceptual import LookupColorLayer
        >>> from keras_perceptual.io import ColorTable
        >>> domain = ((0, 0, 0), (1, 1, 4))
        >>> table = ColorTable(
        ...     curves=[[0, 0, 0], [1, 0.5, 4]], curves_domain=domain
        ... )
        >>> layer = LookupColorLayer.from_table(table)
        >>> layer.value_range
        (0.0, 4.0)
        >>> layer.to_table().curves_domain
        ((0.0, 0.0, 0.0), (1.0, 1.0, 4.0))
        """
        owner = f"{cls.__name__}.from_table"
        known, entries, shaper = from_color_table(check_table(owner, table))
        taken = {"shared", "shaper_size", "curves_domain", "cube_domain"}
        taken = (taken | known.keys()) - {"value_range"}
        taken &= arguments.keys()
        if taken:
            raise ValueError(
                f"{owner} takes the size, the kind and the domain from the "
                "table. Leave them out. "
                f"Received: {', '.join(sorted(taken))}"
            )
        layer = cls(**{**known, **arguments})
        layer.set_table(entries, shaper)
        return layer

    def to_table(
        self, *, title: str = "", domain: ValueRange | None = None
    ) -> ColorTable:
        """Returns the table as files hold it.

        For writing it, see `keras_perceptual.io.write_table`.

        Args:
            title: String. Defaults to none.
            domain: Pair of numbers, what the ends of `value_range` become.
                Defaults to `None`: the domain that the table came with, a
                domain for each channel if that is what it was, else (0, 1).

        Returns:
            A `keras_perceptual.io.ColorTable`, with curves and a cube where
            the layer has a shaper.

        Raises:
            ValueError: If the layer has no table yet, if the edges of the
                cube differ, or if the domain is none.
            TypeError: If the title is not a string.

        Example:

        >>> from keras_perceptual import LookupColorLayer
        >>> layer = LookupColorLayer(2, dimensions=1)
        >>> layer.set_table([[0, 0, 0], [1, 0.75, 0.5]])
        >>> layer.to_table(title="Warm")
        ColorTable(curves=(2, 3), title='Warm')
        """
        owner = f"{type(self).__name__}.to_table"
        first, second = self._domains
        if domain is not None:
            first = moved(first, Checker(owner).value_range(domain))
        table = ops.convert_to_numpy(self._source.read(None))
        shaper = None
        if self.shaper is not None:
            shaper = ops.convert_to_numpy(self.shaper.value)
        return to_color_table(owner, table, shaper, (first, second), title)

    @classmethod
    def from_cube(cls, path: PathLike, **arguments: Any) -> Self:
        r"""Makes a layer of the table in a `.cube` file.

        This is `from_table` of what `keras_perceptual.io.read_cube` returns.

        Args:
            path: String or path-like object, the file. For what is read, see
                `keras_perceptual.io.read_cube`.
            **arguments: Arguments of the layer as for `from_table`.

        Returns:
            A `LookupColorLayer` that holds the table.

        Raises:
            ValueError: If the file is no `.cube` file, or if an argument is
                not one of the layer.
            OSError: If the file cannot be read.

        Example:

        >>> import pathlib
        >>> import tempfile
        >>> from keras_perceptual import LookupColorLayer
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "warm.cube")
        ...     _ = path.write_text("LUT_1D_SIZE 2\n0 0 0\n1 0.75 0.5\n")
        ...     layer = LookupColorLayer.from_cube(path)
        >>> layer.get_weights()[0].tolist()
        [[0.0, 0.0, 0.0], [1.0, 0.75, 0.5]]
        """
        return cls.from_table(read_cube(path), **arguments)

    def to_cube(
        self,
        path: PathLike,
        *,
        title: str = "",
        domain: ValueRange | None = None,
    ) -> None:
        """Writes the table to a `.cube` file, for a film or photo tool.

        This is `keras_perceptual.io.write_cube` of what `to_table` returns.

        Args:
            path: String or path-like object, the file to write. A file of
                that name is replaced.
            title: String, up to 241 printable ASCII characters. Defaults to
                none.
            domain: Pair of numbers, the range of the colors that the file is
                for; the lowest and highest color of `value_range` become
                these. Defaults to `None`: the domain that the table came
                with, else (0, 1), which is what tools expect.

        Raises:
            ValueError: If the layer has no table yet, if the edges of the
                cube differ, or if the title or the domain cannot be written.
            OSError: If the file cannot be written.

        Example:

        >>> import pathlib
        >>> import tempfile
        >>> from keras_perceptual import LookupColorLayer
        >>> layer = LookupColorLayer(2, dimensions=1)
        >>> layer.set_table([[0, 0, 0], [1, 0.75, 0.5]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "warm.cube")
        ...     layer.to_cube(path, title="Warm")
        ...     print(path.read_text())
        TITLE "Warm"
        LUT_1D_SIZE 2
        0.0 0.0 0.0
        1.0 0.75 0.5
        """
        write_cube(path, self.to_table(title=title, domain=domain))

    def plot(self, image: ArrayLike | None = None, axes: Any = None) -> Any:
        """Draws the table, and what it makes of an image.

        Curves are a line for each channel, with the identity dashed. Of a
        cube, some points are drawn where their colors have gone, in red,
        green and blue, with the edges and the grays as lines; dashed is where
        all that would be in a cube that changes nothing. Both are in (0, 1),
        as `table` is.

        Args:
            image: Array, one image as the layer takes it, without a batch:
                its before and after are drawn beside the table, without
                transparency. Defaults to none.
            axes: Matplotlib axes to draw on, for a cube with
                `projection="3d"`, and with an image two more, for before and
                after. Defaults to a new figure.

        Returns:
            The axes; with an image a NumPy array of all three.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If the layer has no table yet, if the image is not one
                image, or if the axes are too few, too many or of the wrong
                kind.

        Example:

        >>> from keras_perceptual import LookupColorLayer
        >>> layer = LookupColorLayer(2, dimensions=1)
        >>> layer.set_table([[0, 0, 0], [1, 0.75, 0.5]])
        >>> axes = layer.plot()
        >>> [line.get_label() for line in axes.lines[1:]]
        ['red', 'green', 'blue']
        """
        owner = f"{type(self).__name__}.plot"
        entries = ops.convert_to_numpy(self._source.read(None))
        pictures = {}
        if image is not None:
            image = ops.convert_to_numpy(image)
            if image.ndim != 3:
                raise ValueError(
                    f"{owner} draws one image, of three axes. Take one out of "
                    "a batch, as in `images[0]`. "
                    f"Received: image.shape={image.shape}"
                )
            ends = self.value_range, self.output_range or self.value_range
            images = ("before", image), ("after", self(image))
            for (title, shown), (low, high) in zip(images, ends, strict=True):
                shown = ops.convert_to_numpy(shown).astype("float32")
                if self.data_format == "channels_first":
                    shown = np.moveaxis(shown, 0, -1)
                shown = np.broadcast_to(shown[..., :3], (*shown.shape[:2], 3))
                pictures[title] = (shown - low) / (high - low)
        return plot_entries(owner, entries, self.name, pictures, axes)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Returns the mask of the images."""
        if isinstance(previous_mask, list | tuple):
            return previous_mask[0]
        return previous_mask

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Shape:
        """Returns the shape of the images; gray ones may become colors."""
        image_shape, _ = _split(input_shape)
        check_channels(type(self).__name__, image_shape, self.data_format)
        shape = list(image_shape)
        axis = -1 if self.data_format == "channels_last" else -3
        if shape[axis] == 1:
            keeps = self.shared and self._reading().domain is None
            shape[axis] = 1 if keeps else 3
        return tuple(shape)


def _split(shape: Sequence[Any]) -> tuple[Shape, Shape | None]:
    """Returns the shapes of the images and of a table, or `None`."""
    if shape and isinstance(shape[0], list | tuple):
        image_shape, table_shape = shape
        return tuple(image_shape), tuple(table_shape)
    return tuple(shape), None
