"""Taking the steps of a training again, for PyTorch."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import torch

from keras_perceptual.gradients.replay import Moment
from keras_perceptual.gradients.snapshots import (
    put_slots_back,
    variables_of_training,
)
from keras_perceptual.gradients.statistics import update_rows
from keras_perceptual.gradients.tracers.handed_batches import HandedBatches
from keras_perceptual.gradients.tracers.torch.tracer import norms


class Steps(HandedBatches):
    """Takes steps of a model again, see `tracers.Steps`."""

    can_record = True

    def copy(self, arguments: tuple[Any, ...]) -> Any:
        """Returns what a step begins with."""
        variables = variables_of_training(self._model)
        values = [v.value.detach().clone() for v in variables]
        return variables, values, _random_state()

    def put(self, state: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Has the next step begin with a state."""
        variables, values, numbers = state
        with torch.no_grad():
            for variable, value in zip(variables, values, strict=True):
                variable.value.copy_(value)
        put_slots_back(self._model, variables)
        if numbers is not None:
            torch.set_rng_state(numbers[0])
            if numbers[1] is not None:
                torch.cuda.set_rng_state_all(numbers[1])
        return arguments

    def covers(self, state: Any) -> bool:
        """Whether a state has all variables but those of optimizers."""
        known = {id(variable) for variable in state[0]}
        return all(id(v) in known for v in self._model.variables)

    def bytes_of(self, parts: Any) -> int:
        """Returns how much memory a state or a batch takes."""
        return sum(
            part.nbytes
            for part in keras.tree.flatten(parts)
            if isinstance(part, (torch.Tensor, np.ndarray))
        )

    def hear(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns arguments whose batches are kept when they are used."""
        if self._kept is not None:
            self._kept.append(list(arguments[0]))
        return arguments

    def take(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        batches: Sequence[Any],
    ) -> tuple[Any, tuple[Any, ...]]:
        """Takes a step, and returns what it returns and the next arguments."""
        return function(list(batches)), arguments

    def after(
        self, outputs: Any, arguments: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Returns arguments of the step after one."""
        return arguments

    def outputs(self, outputs: Any, arguments: tuple[Any, ...]) -> Any:
        """Returns what a step returns that leaves a state."""
        return outputs

    def expect(self, batches: list[Any], specs: list[Any] | None) -> list[Any]:
        """Returns batches from a file as a step takes them.

        Args:
            batches: The batches of one step, made of NumPy arrays.
            specs: What `specs` returned in the training.
        """
        return keras.tree.map_structure(
            lambda leaf: None if leaf is None else torch.as_tensor(leaf),
            batches,
        )

    def weights(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Returns copies of the trainable variables before a step."""
        return [
            variable.value.detach().clone()
            for variable in self._model.trainable_variables
        ]

    def measure(
        self, before: list[Any] | None, arguments: tuple[Any, ...]
    ) -> np.ndarray:
        """Returns the rows of `update_rows` of the trainable variables.

        Args:
            before: What `weights` returned before, or `None` to compare what
                they hold with itself.
            arguments: Those of the next step.
        """
        after = [v.value.detach() for v in self._model.trainable_variables]
        with torch.no_grad():
            rows = update_rows(
                after if before is None else before, after, norms
            )
        return rows.cpu().numpy()

    def logs(self, outputs: Any) -> Any:
        """Returns the logs of a step."""
        return {
            name: getattr(value, "detach", lambda value=value: value)()
            for name, value in outputs.items()
        }

    def moment(self, state: Any, batch: Any) -> Moment:
        """Returns what a step begins with, for a `Tracer`."""
        values = dict(zip(map(id, state[0]), self.arrays(state), strict=True))
        return Moment(batch, values)

    def arrays(self, state: Any) -> list[np.ndarray]:
        """Returns a state as NumPy arrays."""
        return [_to_array(value) for value in state[1]]

    def from_arrays(self, arrays: Sequence[np.ndarray]) -> Any:
        """Returns the state that `arrays` gave."""
        variables = variables_of_training(self._model)
        return variables, [torch.as_tensor(array) for array in arrays], None


def _random_state() -> tuple[Any, Any]:
    """Returns the state of the generators of all PyTorch."""
    cuda = torch.cuda.is_initialized()
    on_devices = torch.cuda.get_rng_state_all() if cuda else None
    return torch.get_rng_state(), on_devices


def _to_array(value: Any) -> np.ndarray:
    """Returns a NumPy array, of float32 where NumPy has no such type."""
    value = torch.as_tensor(value).detach().cpu()
    value = value.float() if value.dtype == torch.bfloat16 else value
    return np.array(value.numpy(), copy=True)
