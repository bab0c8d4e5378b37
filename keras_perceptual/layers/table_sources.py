"""Where a layer has its table from: a weight of its own, or with the images."""

import dataclasses
from typing import Any, TypeAlias

import keras
from keras import ops

from keras_perceptual.typing import Shape, Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenTable:
    """A table that comes with the images: one for all, or one for each.

    Attributes:
        owner: String, the class of the layer, for messages.
        name: String, the name of the layer.
        size: The `size` of the layer.
        dimensions: Its `dimensions`.
        shape: Tuple, the shape of one table.
        regularizer: Its `table_regularizer`, of which there can be none.
        constraint: Its `table_constraint`, likewise.
    """

    owner: str
    name: str
    size: int | tuple[int, ...]
    dimensions: int
    shape: tuple[int, ...]
    regularizer: Any
    constraint: Any

    @property
    def weight(self) -> keras.Variable:
        """There is none, which is an error for those who need it."""
        raise ValueError(
            f"{self.owner} was built for tables that come with the images, and "
            "has none of its own. Call it with [images, table], or make "
            f"another layer. Received: {self.name!r} without a table"
        )

    def read(self, table: Tensor | None) -> Tensor:
        """Returns the table that came with images, if it fits the layer."""
        if table is None:
            return self.weight
        shape = tuple(table.shape)
        self.check(shape)
        return table if shape == self._whole(shape) else table[..., None]

    def _whole(self, shape: Shape) -> Shape:
        """Returns a shape with the axis that one curve alone can do without."""
        is_short = self.shape[-1] == 1 and shape[-1:] == self.shape[:1]
        return (*shape, 1) if is_short and len(shape) < 3 else shape

    def check(self, received: Shape) -> None:
        """Refuses a table of a shape that does not fit the layer."""
        shape = self._whole(received)
        single = len(shape) == len(self.shape)
        if (shape if single else shape[1:]) != self.shape:
            raise ValueError(
                f"{self.owner} with size={self.size} and "
                f"dimensions={self.dimensions} reads from a table of shape "
                f"{self.shape}, or from one for each image, of shape "
                f"{('batch', *self.shape)}. Reshape what makes the table, or "
                "give the layer its size. "
                f"Received: table.shape={received}"
            )
        for name in ("regularizer", "constraint"):
            given = getattr(self, name)
            if given is not None:
                raise ValueError(
                    f"{self.owner} has no table of its own to which a {name} "
                    "would apply: the table comes with the images. Leave it "
                    "out, or apply it to what makes the table. "
                    f"Received: table_{name}={given!r}"
                )


@dataclasses.dataclass(frozen=True)
class OwnTable:
    """A weight of the layer, in which all images are looked up.

    Attributes:
        weight: The variable.
        given: What to do with a table that comes with images all the same: it
            is read in place of the weight.
    """

    weight: keras.Variable
    given: GivenTable

    def read(self, table: Tensor | None) -> Tensor:
        """Returns the weight as a tensor, or the table that came along."""
        if table is None:
            return ops.convert_to_tensor(self.weight.value)
        return self.given.read(table)


TableSource: TypeAlias = OwnTable | GivenTable
