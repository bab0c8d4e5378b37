"""Taking the steps of a training again, for TensorFlow."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_perceptual.gradients.replay import Moment
from keras_perceptual.gradients.snapshots import (
    put_slots_back,
    variables_of_training,
)
from keras_perceptual.gradients.statistics import update_rows
from keras_perceptual.gradients.tracers.tensorflow.iterators import (
    batches_again,
)
from keras_perceptual.gradients.tracers.tensorflow.norms import exact_norms
from keras_perceptual.gradients.tracers.tensorflow.tracer import Tracer


class Steps:
    """Takes steps of a model again, see `tracers.Steps`."""

    def __init__(self, model: keras.Model, tracer: Tracer) -> None:
        # The train function holds the tracer, and that holds these.
        self._reference = weakref.ref(model)
        self._tracer = tracer
        self._programs: dict[Any, tuple[Any, Any]] = {}
        self._empty: Any = None

    @property
    def _model(self) -> Any:
        return self._reference()

    @property
    def can_record(self) -> bool:
        """Whether batches and states of this training can be kept."""
        return self._tracer.keeps_batches

    def copy(self, arguments: tuple[Any, ...]) -> Any:
        """Returns what a step begins with."""
        variables = variables_of_training(self._model)
        return variables, _read(variables)

    def put(self, state: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Has the next step begin with a state."""
        for variable, value in zip(*state, strict=True):
            variable.value.assign(value)
        put_slots_back(self._model, state[0])
        return arguments

    def covers(self, state: Any) -> bool:
        """Whether a state has all variables but those of optimizers."""
        known = {id(variable) for variable in state[0]}
        return all(id(v) in known for v in self._model.variables)

    def bytes_of(self, parts: Any) -> int:
        """Returns how much memory a state or a batch takes."""
        tensors = tf.nest.flatten(parts, expand_composites=True)
        return sum(
            tensor.shape.num_elements() * tensor.dtype.size
            for tensor in tensors
            if isinstance(tensor, tf.Tensor)
        )

    def start(self) -> None:
        """Keeps the batches from here on, and forgets those before."""
        self._tracer.batches.start()

    def stop(self) -> None:
        """Keeps no batches."""
        self._tracer.batches.stop()

    def hear(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns arguments whose batches are kept when they are used."""
        (self._empty,) = arguments
        return arguments

    def taken(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Returns the batches of each step since `start`."""
        found = self._tracer.batches.taken()
        count = self._model.steps_per_execution
        return [found[i : i + count] for i in range(0, len(found), count)]

    def take(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        batches: Sequence[Any],
    ) -> tuple[Any, tuple[Any, ...]]:
        """Takes a step, and returns what it returns and the next arguments."""
        return function(batches_again(batches, self._empty)), arguments

    def after(
        self, outputs: Any, arguments: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Returns arguments of the step after one."""
        return arguments

    def outputs(self, outputs: Any, arguments: tuple[Any, ...]) -> Any:
        """Returns what a step returns that leaves a state."""
        return outputs

    def specs(self) -> list[Any] | None:
        """Returns the shapes that a step was traced with, if it has others."""
        spec = getattr(self._empty, "element_spec", None)
        if spec is None:
            return None
        return [
            None if part.shape.rank is None else part.shape.as_list()
            for part in tf.nest.flatten(spec)
            if isinstance(part, tf.TensorSpec)
        ]

    def expect(self, batches: list[Any], specs: list[Any] | None) -> list[Any]:
        """Returns batches from a file as a step takes them.

        Args:
            batches: The batches of one step, made of NumPy arrays.
            specs: What `specs` returned in the training.
        """
        batches = tf.nest.map_structure(
            lambda leaf: None if leaf is None else tf.convert_to_tensor(leaf),
            batches,
        )
        tensors = tf.nest.flatten(batches[0])
        self._empty = iter(())
        if specs is None or len(specs) != len(tensors) or None in tensors:
            return batches
        flat = [
            tf.TensorSpec(shape, tensor.dtype)
            for shape, tensor in zip(specs, tensors, strict=True)
        ]
        dataset = tf.data.Dataset.from_tensors(batches[0])
        self._empty = iter(
            tf.data.experimental.from_variant(
                tf.data.experimental.to_variant(dataset),
                tf.nest.pack_sequence_as(batches[0], flat),
            )
        )
        return batches

    def weights(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Returns copies of the trainable variables before a step."""
        return list(self._program()[0]())

    def measure(
        self, before: list[Any] | None, arguments: tuple[Any, ...]
    ) -> np.ndarray:
        """Returns the rows of `update_rows` of the trainable variables.

        Args:
            before: What `weights` returned before, or `None` to compare what
                they hold with itself.
            arguments: Those of the next step.
        """
        if before is None:
            before = self.weights(arguments)
        return self._program()[1](before).numpy()

    def _program(self) -> tuple[Any, Any]:
        """Returns what reads the weights, and what compares with them.

        Each is a single call: to read variables one by one takes long.
        """
        variables = list(self._model.trainable_variables)
        key = tuple(map(id, variables))
        if key not in self._programs:

            def compare(before: list[Any]) -> Any:
                return update_rows(before, _read(variables), exact_norms)

            functions = [
                tf.function(function, autograph=False)
                for function in (lambda: _read(variables), compare)
            ]
            for function in functions:
                # That each model has its own is no mistake to warn of.
                function._omit_frequent_tracing_warning = True
            # They hold the variables, so that no other has their `id`.
            self._programs = {key: (functions[0], functions[1])}
        return self._programs[key]

    def logs(self, outputs: Any) -> Any:
        """Returns the logs of a step."""
        return outputs

    def moment(self, state: Any, batch: Any) -> Moment:
        """Returns what a step begins with, for a `Tracer`."""
        return Moment(batch, _by_id(state))

    def arrays(self, state: Any) -> list[np.ndarray]:
        """Returns a state as NumPy arrays."""
        return [value.numpy() for value in state[1]]

    def from_arrays(self, arrays: Sequence[np.ndarray]) -> Any:
        """Returns the state that `arrays` gave."""
        return variables_of_training(self._model), list(arrays)


def _read(variables: Sequence[Any]) -> list[Any]:
    """Returns what variables hold. TensorFlow copies it upon a write."""
    return [tf.convert_to_tensor(variable.value) for variable in variables]


def _by_id(state: Any) -> dict[int, np.ndarray]:
    return {
        id(variable): np.array(value)
        for variable, value in zip(*state, strict=True)
    }
