"""Taking a step of a loop again, of which the function of the loss is known."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_perceptual.gradients import nonfinite, snapshots, tracers
from keras_perceptual.gradients.model_parts import operations_by_name
from keras_perceptual.gradients.recorder import blame, incident
from keras_perceptual.gradients.recorder.blame import Blame

# A function of a batch that returns the loss.
LossOfBatch = Callable[[Any], Any]


@contextlib.contextmanager
def standing_at(
    model: keras.Model, values: Mapping[int, np.ndarray]
) -> Iterator[None]:
    """Has a model be what it was before a step, and what it is afterwards.

    Args:
        model: The model.
        values: The values of variables by their `id`.
    """
    with (
        tracers.load("replay").random_numbers_kept(),
        snapshots.attributes_put_back(model),
        snapshots.values_put_back(model.variables, values),
    ):
        yield


def state_of(model: keras.Model) -> list[np.ndarray]:
    """Returns the values of all variables of a model."""
    read = tracers.load("variable_values").read_value
    return [np.array(read(variable)) for variable in model.variables]


def which_are_tensors(batch: Any) -> list[bool]:
    """Returns whether each array of a batch is a tensor of the backend."""
    found: list[bool] = []
    _convert(batch, lambda leaf: found.append(keras.ops.is_tensor(leaf)))
    return found


def with_tensors(batch: Any, tensors: list[bool]) -> Any:
    """Returns a batch of arrays with tensors where it had some."""
    answers = iter(tensors)

    def convert(leaf: Any) -> Any:
        if not next(answers):
            return leaf
        return keras.ops.convert_to_tensor(leaf, dtype=leaf.dtype.name)

    return _convert(batch, convert)


def _convert(part: Any, function: Callable[[Any], Any]) -> Any:
    """Returns a batch with other leaves, which come in an order of their own.

    `keras.tree` sorts the keys of dictionaries, or does not.
    """
    if part is None:
        return None
    if isinstance(part, dict):
        return {key: _convert(value, function) for key, value in part.items()}
    if isinstance(part, list | tuple):
        parts = [_convert(value, function) for value in part]
        return parts if isinstance(part, list) else tuple(parts)
    return function(part)


def take(
    model: keras.Model, function: LossOfBatch, batch: Any
) -> tuple[float, str]:
    """Returns the loss of a batch, and a hash of it and of the gradients."""
    loss, gradients = _compute(model, function, batch)
    return loss, incident.digest_of(gradients, loss)


def find_blame(model: keras.Model, function: LossOfBatch, batch: Any) -> Blame:
    """Finds out what breaks a step."""
    variables = list(model.trainable_variables)
    taken = tracers.load("replay").replay_function(
        lambda: function(batch), variables
    )
    cause = nonfinite.find_cause(
        taken,
        [id(variable) for variable in variables],
        operations_by_name(model),
        tracers.load("tracer").public_functions(),
    )

    def breaks(part: Any) -> bool:
        loss, gradients = _compute(model, function, part)
        found = (np.asarray(loss), *gradients)
        return not all(np.isfinite(array).all() for array in found)

    return Blame(cause, blame.find_samples(batch, breaks))


def _compute(
    model: keras.Model, function: LossOfBatch, batch: Any
) -> tuple[float, list[np.ndarray]]:
    """Returns the loss of a batch, and the gradients that there are."""
    gradients = tracers.load("tracer").compute_gradients(
        lambda: function(batch), model.trainable_variables
    )
    found = [_to_numpy(g) for g in gradients if g is not None]
    return float(_to_numpy(function(batch))), found


def _to_numpy(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value))
