"""What broke a step: the operation, its line, and the samples of the batch."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_perceptual.gradients import diagnoses, tracers, ways
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    operations_by_name,
)
from keras_perceptual.gradients.replay import Moment, Replay
from keras_perceptual.gradients.tracers import Tracer

# How often a step is taken with a part of its batch to find samples.
MOST_REPLAYS = 32


@dataclasses.dataclass(frozen=True)
class Blame:
    """What broke a step.

    Attributes:
        cause: The `Cause`.
        samples: The places in the batch of the samples that break the step
            alone, `()` where none or all of them do, or where it is not known.
    """

    cause: Cause
    samples: tuple[int, ...] = ()


def find_blame(
    model: keras.Model, tracer: Tracer, moments: Sequence[Moment]
) -> tuple[int, Blame]:
    """Finds out what broke a step.

    Args:
        model: The model.
        tracer: Its `Tracer`.
        moments: What the step began with; several where the train function
            takes several batches at once, the same but for the batch.

    Returns:
        The place of the moment that breaks, and the `Blame`.
    """
    # What explains is imported when it is needed, not with the package.
    from keras_perceptual.gradients import nonfinite

    for place, moment in enumerate(moments):
        replay = _take(model, tracer, moment)
        if is_broken(replay, model):
            cause = nonfinite.find_cause(
                replay,
                [id(variable) for variable in model.trainable_variables],
                operations_by_name(model),
                tracers.load("tracer").public_functions(),
            )
            if cause.diagnosis is diagnoses.DIVERGED:
                cause = nonfinite.explain_divergence(
                    model.optimizer, cause.note
                )

            def breaks(part: Any, moment: Moment = moment) -> bool:
                taken = _take(
                    model, tracer, dataclasses.replace(moment, batch=part)
                )
                return is_broken(taken, model)

            return place, Blame(cause, find_samples(moment.batch, breaks))
    # Its gradients are well, so it is the update that is too large.
    return 0, Blame(nonfinite.explain_divergence(model.optimizer))


def _take(model: keras.Model, tracer: Tracer, moment: Moment) -> Replay:
    from keras_perceptual.gradients.explain import idle_optimizers

    followed = list(model.trainable_variables)
    keys = {id(variable) for variable in followed}
    others = [*model.variables, *model.metrics_variables]
    for optimizer in find_optimizers(model):
        others += optimizer.variables
    with idle_optimizers(model):
        return tracer.replay(
            moment, followed, [v for v in others if id(v) not in keys]
        )


def is_broken(replay: Replay, model: keras.Model) -> bool:
    """Whether a loss or a gradient of a step is NaN or infinite."""
    keys = [id(variable) for variable in model.trainable_variables]
    holders = [
        k for found in ways.values_of(replay, keys).values() for k in found
    ]
    return any(
        not numbers.finite
        for derivative in replay.derivatives
        for numbers in (
            *(replay.values.get(t) for t in derivative.targets),
            *(derivative.gradients.get(key) for key in holders),
        )
        if numbers is not None
    )


def find_samples(batch: Any, breaks: Callable[[Any], bool]) -> tuple[int, ...]:
    """Returns the samples of a batch that break a step on their own.

    Args:
        batch: The batch.
        breaks: Whether a part of it breaks the step.
    """
    size = batch_size(batch)
    if size < 2:
        return ()

    def range_breaks(first: int, last: int) -> bool:
        return breaks(
            keras.tree.map_structure(
                lambda leaf: None if leaf is None else leaf[first:last], batch
            )
        )

    found = bisect(range_breaks, size, MOST_REPLAYS)
    return () if len(found) == size else tuple(found)


def batch_size(batch: Any) -> int:
    """Returns how many samples a batch has, 0 where its parts disagree."""
    leaves = [x for x in keras.tree.flatten(batch) if x is not None]
    shapes = [tuple(getattr(leaf, "shape", ())) for leaf in leaves]
    sizes = {shape[0] if shape else 0 for shape in shapes}
    return int(sizes.pop()) if len(sizes) == 1 else 0


def bisect(
    breaks: Callable[[int, int], bool], size: int, most: int
) -> list[int]:
    """Returns the numbers that break something on their own.

    Args:
        breaks: Whether the numbers from one up to another one break it
            together.
        size: How many there are, which break it together.
        most: How often `breaks` may be called. What is not found by then is
            left out.
    """
    found, open_parts = [], [(0, size)]
    while open_parts and most > 0:
        first, last = open_parts.pop(0)
        middle = math.ceil((first + last) / 2)
        for part in ((first, middle), (middle, last)):
            most -= 1
            if part[0] == part[1] or not breaks(*part):
                continue
            if part[1] - part[0] == 1:
                found.append(part[0])
            else:
                open_parts.append(part)
    return sorted(found)


def broken_samples(batch: Any) -> list[int]:
    """Returns the samples of a batch that hold NaN or infinity."""
    size, found = batch_size(batch), set()
    for leaf in keras.tree.flatten(batch):
        if leaf is None or not size:
            continue
        array = np.asarray(keras.ops.convert_to_numpy(leaf))
        if array.dtype.kind in "fc":
            flat = np.isfinite(array).reshape(size, -1)
            found.update(np.flatnonzero(~flat.all(axis=1)).tolist())
    return sorted(found)
