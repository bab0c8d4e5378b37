"""Targets that were observed once, as one row of numbers for each image."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.distances import one_or_nan
from keras_perceptual.typing import Tensor

# How many numbers in front of encoded images say what encoded them.
HEADER = 4


class Encoder(Protocol):
    """What encoding asks of a `FeatureDistance`."""

    @property
    def owner(self) -> str:
        """Name of the object that asks, for messages."""

    @property
    def identity(self) -> list[Any]:
        """All that decides what is observed, for JSON."""

    @property
    def state(self) -> dict[str, Any]:
        """What a backend has to remember from one trace to the next."""

    def keep(self, images: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """Returns what is kept of target images."""


def encode(
    distance: Encoder, images: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Returns what a distance keeps of target images, in rows.

    Args:
        distance: A `FeatureDistance`.
        images: Floating-point batch of images, at least one.
        mask: Weights of the pixels, or `None`.

    Returns:
        A tensor shaped `(batch, n)` of the type of the images.
    """
    kept = distance.keep(images, mask)
    header = ops.convert_to_tensor(_header(distance), dtype=images.dtype)
    batch = ops.shape(images)[0]
    parts = [ops.broadcast_to(header, (batch, HEADER))]
    parts += [ops.reshape(x, (batch, -1)) for x in kept.values()]
    # The header stays, so that it is known whose NaN it is.
    known = ops.expand_dims(one_or_nan(images), 1)
    parts[1:] = [ops.cast(part, images.dtype) * known for part in parts[1:]]
    return ops.concatenate(parts, axis=1)


def decode(
    distance: Encoder, encoded: Tensor, pred: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Returns what `encode` packed.

    Args:
        distance: The `FeatureDistance`.
        encoded: Tensor shaped `(batch, n)`.
        pred: Dictionary of tensors, what is kept of predictions; that of the
            targets is of the same shapes.

    Returns:
        A dictionary as `pred`. Where nothing can be refused, all of what
        another distance encoded is NaN.

    Raises:
        ValueError: If another distance encoded it, or if it is of images of
            another size.
    """
    shapes = {name: ops.shape(x)[1:] for name, x in pred.items()}
    size = HEADER + sum(math.prod(shape) for shape in shapes.values())
    given = encoded.shape[1]
    if isinstance(size, int) and given not in (None, size):
        _refuse(
            distance.owner,
            f"y_true.shape={tuple(encoded.shape)}, where encoded targets "
            f"have the shape (batch, {size})",
        )
    found, start = {}, HEADER
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        found[name] = ops.reshape(encoded[:, start:end], (-1, *shape))
        start = end
    header = ops.convert_to_tensor(_header(distance), dtype=encoded.dtype)
    known = ops.all(encoded[:, :HEADER] == header)
    _backend.call_when(
        ops.logical_not(known),
        lambda values: _refuse(distance.owner, f"y_true[0, :4]={values}"),
        ops.reshape(encoded[:1, :HEADER], (HEADER,)),
        distance.state,
    )
    nan = ops.convert_to_tensor(float("nan"), dtype=encoded.dtype)
    return {name: ops.where(known, x, nan) for name, x in found.items()}


def _header(distance: Encoder) -> list[int]:
    """Returns the configuration as four whole numbers below 1024.

    They are exact in every floating-point type.
    """
    text = json.dumps(distance.identity)
    digest = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return [digest // 1024**i % 1024 for i in range(HEADER)]


def _refuse(owner: str, received: str) -> NoReturn:
    raise ValueError(
        f"{owner} was given encoded targets that it did not encode: they come "
        "from another configuration, or from images of another size than the "
        "predictions. Encode them with `encode` of a loss of the same "
        "configuration, or pass images shaped (batch, height, width, "
        f"channels). Received: {received}"
    )
