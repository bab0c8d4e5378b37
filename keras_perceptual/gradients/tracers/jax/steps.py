"""Taking the steps of a training again, for JAX."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np

from keras_perceptual.gradients.replay import Moment
from keras_perceptual.gradients.statistics import scaled_norms, update_rows
from keras_perceptual.gradients.tracers import Tracer
from keras_perceptual.gradients.tracers.handed_batches import HandedBatches
from keras_perceptual.gradients.tracers.jax.tracer import are_stacked


class Steps(HandedBatches):
    """Takes steps of a model again, see `tracers.Steps`.

    A state is what goes through the train function: the values of the
    trainable variables, of the others, of the optimizer and of the metrics.
    """

    def __init__(self, model: keras.Model, tracer: Tracer) -> None:
        super().__init__(model, tracer)
        # Copies, since a step gives the memory of its state away.
        self._copy = jax.jit(lambda tree: jax.tree.map(jax.numpy.copy, tree))
        self._measure = jax.jit(
            lambda before, after: update_rows(before, after, scaled_norms)
        )

    @property
    def can_record(self) -> bool:
        """Whether batches and states of this training can be kept."""
        return jax.process_count() == 1

    def copy(self, arguments: tuple[Any, ...]) -> Any:
        """Returns what a step begins with."""
        return self._copy(arguments[0] if arguments else self._state())

    def put(self, state: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Has the next step begin with a state."""
        if arguments:
            return (self._copy(state), *arguments[1:])
        for variables, values in zip(self._variables(), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return arguments

    def covers(self, state: Any) -> bool:
        """Whether a state has all variables but those of optimizers."""
        return True

    def bytes_of(self, parts: Any) -> int:
        """Returns how much memory a state or a batch takes."""
        return sum(
            getattr(part, "nbytes", 0) for part in jax.tree.leaves(parts)
        )

    def hear(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns arguments whose batches are kept when they are used."""
        if self._kept is None:
            return arguments
        state, iterator = arguments
        count = (
            1 if are_stacked(self._model) else self._model.steps_per_execution
        )
        batches = list(itertools.islice(iterator, count))
        if batches:
            self._kept.append(batches)
        return state, iter(batches)

    def take(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        batches: Sequence[Any],
    ) -> tuple[Any, tuple[Any, ...]]:
        """Takes a step, and returns what it returns and the next arguments."""
        state = arguments[0] if arguments else self._copy(self._state())
        outputs = function(state, iter(batches))
        if not arguments:
            self.put(outputs[1], ())
        return outputs, self.after(outputs, arguments)

    def after(
        self, outputs: Any, arguments: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Returns arguments of the step after one."""
        return (outputs[1], *arguments[1:]) if arguments else ()

    def outputs(self, outputs: Any, arguments: tuple[Any, ...]) -> Any:
        """Returns what a step returns that leaves a state."""
        return (outputs[0], arguments[0]) if arguments else outputs

    def expect(self, batches: list[Any], specs: list[Any] | None) -> list[Any]:
        """Returns batches from a file as a step takes them.

        Args:
            batches: The batches of one step, made of NumPy arrays.
            specs: What `specs` returned in the training.
        """
        return batches

    def weights(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Returns copies of the trainable variables before a step."""
        state = arguments[0] if arguments else self._state()
        return list(self._copy(state[0]))

    def measure(
        self, before: list[Any] | None, arguments: tuple[Any, ...]
    ) -> np.ndarray:
        """Returns the rows of `update_rows` of the trainable variables.

        Args:
            before: What `weights` returned before, or `None` to compare what
                they hold with itself.
            arguments: Those of the next step.
        """
        state = arguments[0] if arguments else self._state()
        after = list(state[0])
        return np.asarray(
            self._measure(after if before is None else before, after)
        )

    def logs(self, outputs: Any) -> Any:
        """Returns the logs of a step."""
        return outputs[0]

    def moment(self, state: Any, batch: Any) -> Moment:
        """Returns what a step begins with, for a `Tracer`."""
        # Between steps, the variables hold nothing that could be replaced.
        # After an epoch they do: who explains a step puts it back.
        self.put(state, ())
        state = jax.tree.map(lambda part: np.array(part, copy=True), state)
        keys = map(id, self._model.trainable_variables)
        return Moment(
            batch, dict(zip(keys, state[0], strict=True)), None, state
        )

    def arrays(self, state: Any) -> list[np.ndarray]:
        """Returns a state as NumPy arrays."""
        return [np.asarray(part) for part in jax.tree.leaves(state)]

    def from_arrays(self, arrays: Sequence[np.ndarray]) -> Any:
        """Returns the state that `arrays` gave."""
        structure = jax.tree.structure(self._state())
        return jax.tree.unflatten(structure, list(arrays))

    def _variables(self) -> tuple[list[Any], ...]:
        model = self._model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )

    def _state(self) -> tuple[list[Any], ...]:
        """Returns the state that Keras would hand to a step."""
        return tuple(
            [variable.value for variable in variables]
            for variables in self._variables()
        )
