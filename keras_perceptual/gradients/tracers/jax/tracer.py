"""Watching the training step of a model, for JAX."""

import contextlib
import dataclasses
import functools
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, ClassVar

import jax
import keras
import numpy as np

from keras_perceptual.gradients import snapshots
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.replay import Moment, Replay
from keras_perceptual.gradients.signals import Signal, Signals, measure
from keras_perceptual.gradients.statistics import (
    WIDTH,
    GradientStatistics,
    scaled_norms,
)
from keras_perceptual.gradients.tracers.jax import replay
from keras_perceptual.gradients.tracers.jax.programs import Call, Program
from keras_perceptual.gradients.tracers.jax.reads import reads_noted

# From this version on, Keras stacks the batches of several steps.
STACKS = (3, 16)


class Tracer:
    """Watches the step of one model, see `tracers.Tracer`.

    XLA fuses the arithmetic of a step in another way once something else takes
    a number from the middle of it, and then rounds differently. So the step
    that trains has nothing added: it is traced once into a jaxpr, and of that
    two programs are made. One is the step, the other one computes statistics
    of the gradients in it and runs for the watched batches alone.
    """

    apply_methods: ClassVar[tuple[str, ...]] = ("stateless_apply", "apply")
    zeros_for_none = True

    counts_zeros: bool
    leaves_step_alone: bool
    signals: Signals | None
    is_content: bool
    python_steps: int
    trouble: Exception | None
    values_were_away: bool

    def __init__(self, model: keras.Model) -> None:
        # The train function holds the tracer, and the model both of them.
        self._reference = weakref.ref(model)
        self._listens = False
        self._given: list[Any] | None = None
        self._programs: dict[Any, Any] = {}
        self._totals: dict[Any, Any] = {}
        self._used: dict[Any, Any] = {}
        self.counts_zeros = False
        self.leaves_step_alone = False
        self.signals = None
        self.is_content = False
        self.python_steps = 0
        self.trouble = None
        self.values_were_away = False

    @property
    def _model(self) -> Any:
        return self._reference()

    @property
    def is_traced_once(self) -> bool:
        """Whether the Python code of the step runs once."""
        return self._model.jit_compile and not self._model.run_eagerly

    def make_train_function(self) -> Callable[..., Any]:
        """Returns a train function of the model, traced by nobody yet."""
        model = self._model
        if keras.config.is_nnx_enabled():
            raise NotImplementedError(
                "The gradient check cannot watch models of Flax NNX. Switch "
                "NNX off to check them. Received: nnx_enabled=True"
            )
        step, steps = model.train_step, model.steps_per_execution
        compiled = self.is_traced_once

        @functools.wraps(step)
        def train_step(state: Any, data: Any) -> Any:
            program = self._programs.get(_signature((state, data)))
            if program is None:
                return step(state, data)
            return program.step(state, data)

        with replaced(model, "train_step", train_step):
            model.make_train_function(force=True)
        take_steps = model.train_function

        def train_function(state: Any, iterator: Any) -> Any:
            if not self._listens:
                return take_steps(state, iterator)
            # Where there is no batch, Keras is told so as always.
            first = next(iterator)
            if are_stacked(self._model):
                if compiled:
                    self._try_to_look(step, state, _first_of(first))
                    return take_steps(state, iter([first]))
                batches = _unstacked(first)
            else:
                others = itertools.islice(iterator, steps - 1)
                batches = itertools.chain([first], others)
            for batch in batches:
                if compiled:
                    self._try_to_look(step, state, batch)
                    logs, state = take_steps(state, iter([batch]))
                else:
                    logs, state = self._look_eagerly(step, state, batch)
            return logs, state

        model.train_function = train_function
        return train_function

    def _try_to_look(self, step: Any, state: Any, batch: Any) -> None:
        """Computes the statistics of the gradients of a batch, if it can.

        What is wrong with the step itself shows when it is taken; what is
        wrong with looking must not.
        """
        try:
            self._look(step, state, batch)
        except Exception as error:
            self.trouble = error

    def _look(self, step: Any, state: Any, batch: Any) -> None:
        """Computes the statistics of the gradients of a batch."""
        signature = _signature((state, batch))
        if signature not in self._programs:
            self._programs[signature] = Program(
                functools.partial(self._run, step),
                state,
                batch,
                often=self.leaves_step_alone,
            )
        program = self._programs[signature]
        found, passed = program.statistics(state, batch)
        for keys, numbers in found:
            self._add_rows(keys, numbers)
        if self.signals is not None and program.heard:
            self.signals.keep(program.heard, passed)

    def _look_eagerly(self, step: Any, state: Any, batch: Any) -> Any:
        """Takes a step that is not compiled."""
        outputs, given, heard = self._run(step, state, batch)
        for call in given:
            self._add_rows(call.keys, call.rows())
        if self.signals is not None and heard:
            self.signals.keep(heard, measure(heard))
        return outputs

    def _run(self, step: Any, state: Any, batch: Any) -> Any:
        """Takes a step and returns what it does.

        Returns:
            The outputs, and the `Call`s and the `Signal`s in it.
        """
        self.python_steps += 1
        self._given = []
        heard: list[Signal] = []
        trace = _trace_of(jax.tree.leaves((state, batch)))

        def hear(signal: Signal) -> None:
            tensor = _outermost(signal.tensor, trace)
            if tensor is not None:
                heard.append(dataclasses.replace(signal, tensor=tensor))

        hearing: Any = contextlib.nullcontext()
        if self.signals is not None:
            hearing = self.signals.hearing(hear)
        try:
            with reads_noted(self._note_read, self._note_no_value), hearing:
                outputs = step(state, batch)
            return outputs, self._given, heard
        finally:
            self._given = None

    def _add_rows(self, keys: Any, numbers: Any) -> None:
        if isinstance(numbers, jax.Array) and not numbers.is_fully_addressable:
            numbers = numbers.addressable_data(0)
        for key, row in zip(keys, np.asarray(numbers), strict=True):
            total = self._totals.setdefault(key, np.zeros(WIDTH))
            GradientStatistics.add_rows(total, row)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Has the steps that run inside take note of their gradients."""
        self._listens = True
        try:
            yield
        finally:
            self._listens = False

    def start_anew(self) -> None:
        """Forgets the numbers of an earlier training."""
        self.trouble = None
        self.is_content = False
        self._totals = {}
        if self.signals is not None:
            self.signals.forget()

    def hold(
        self, arguments: tuple[Any, ...]
    ) -> tuple[Moment, tuple[Any, ...]]:
        """Keeps what the next step begins with."""
        state, iterator = arguments
        moment = Moment()
        steps = (
            1 if are_stacked(self._model) else self._model.steps_per_execution
        )
        batches = list(itertools.islice(iterator, steps))
        if batches:
            with contextlib.suppress(Exception):
                moment.state = _copy_state(state)
                moment.values = dict(
                    zip(
                        map(id, self._model.trainable_variables),
                        moment.state[0],
                        strict=True,
                    )
                )
                # Of several steps the first is known to begin with these.
                moment.batch = batches[0]
                if are_stacked(self._model):
                    moment.batch = _first_of(batches[0])
        return moment, (state, iter(batches))

    def _note_no_value(self) -> None:
        self.values_were_away = True

    def _note_read(self, variable: Any) -> None:
        self._used[id(variable)] = variable

    def add(
        self,
        variables: Sequence[Any],
        values: Sequence[Any],
        gradients: Sequence[Any],
        loss_scale: Any,
        is_dynamic: bool,
    ) -> None:
        """Takes note of gradients in the step that computes them."""
        if self._given is not None:
            self._given.append(
                Call(
                    variables,
                    values,
                    gradients,
                    loss_scale,
                    is_dynamic,
                    self.counts_zeros,
                )
            )

    def measure_ahead(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the arguments: the step itself is measured."""
        return arguments

    def measure_behind(self) -> None:
        """Reads nothing: the step itself is measured."""

    def look_again(self, moment: Moment) -> None:
        """Reads what could not be read in the step itself, after it."""

    def read(self) -> dict[int, np.ndarray]:
        """Returns the row of each variable, as NumPy arrays by key."""
        return {key: row.copy() for key, row in self._totals.items()}

    def find_untracked(self, known: Sequence[Any]) -> list[Any]:
        """Returns what the step computes with and nobody trains.

        Args:
            known: The Keras variables of the model and its optimizers.
        """
        known = {id(variable) for variable in known}
        return [
            variable
            for key, variable in self._used.items()
            if key not in known and variable.trainable
        ]

    def replay(
        self, moment: Moment, variables: Sequence[Any], others: Sequence[Any]
    ) -> Replay:
        """Takes a step once more."""
        model = self._model
        if moment.batch is None:
            raise ValueError(
                "The step cannot be taken once more, since its batch was not "
                f"kept. Received: model={model.name!r}"
            )
        with (
            replay.random_numbers_kept(),
            snapshots.attributes_put_back(model, moment.attributes),
            snapshots.values_put_back(snapshots.variables_of_step(model)),
        ):
            return replay.replay_step(
                model.train_step,
                (moment.state, moment.batch),
                variables,
                others,
            )


def _version(text: str) -> tuple[int, ...]:
    """Returns the first two numbers of a version."""
    return tuple(int(number) for number in text.split(".")[:2])


def _unstacked(batches: Any) -> list[Any]:
    """Returns the batches that Keras hands over as one.

    At the end of an epoch there may be too few to stack. They come as a list
    of a type of its own: a plain one is a batch, as PyTorch's loaders make it.
    """
    if _are_apart(batches):
        return list(batches)
    count = len(jax.tree.leaves(batches)[0])
    return [_step_of(batches, index) for index in range(count)]


def _first_of(batches: Any) -> Any:
    """Returns the first of the batches that Keras hands over as one."""
    return batches[0] if _are_apart(batches) else _step_of(batches, 0)


def _are_apart(batches: Any) -> bool:
    return isinstance(batches, list) and type(batches) is not list


def _step_of(batches: Any, index: int) -> Any:
    return jax.tree.map(lambda x: x[index], batches)


def _signature(arguments: tuple[Any, ...]) -> Any:
    """Returns what the computation of a step depends on, as a key."""
    leaves, structure = jax.tree.flatten(arguments)
    return structure, tuple(
        (np.shape(leaf), jax.dtypes.result_type(leaf)) for leaf in leaves
    )


def _trace_of(leaves: Sequence[Any]) -> Any:
    """Returns what traces a step, `None` where it is not traced."""
    traced = [leaf for leaf in leaves if isinstance(leaf, jax.core.Tracer)]
    return getattr(traced[0], "_trace", None) if traced else None


def _outermost(tensor: Any, trace: Any) -> Any:
    """Returns the value in a step of what is differentiated in it.

    Args:
        tensor: What stands for it inside of the derivatives.
        trace: What `_trace_of` returned.

    Returns:
        `None` where it is inside of a loop or of another transformation.
    """
    while isinstance(tensor, jax.core.Tracer):
        if trace is not None and getattr(tensor, "_trace", None) is trace:
            return tensor
        tensor = getattr(tensor, "primal", None)
    return tensor if trace is None else None


def _copy_state(state: Any) -> Any:
    """Returns the state of a step, which gives its memory away, as copies."""
    leaves = jax.tree.leaves(state)
    if sum(leaf.nbytes for leaf in leaves) > snapshots.MOST_BYTES:
        raise MemoryError
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)


def compute_gradients(
    function: Callable[[], Any], variables: Sequence[Any]
) -> list[Any]:
    """Returns the gradients of what `function` returns.

    Args:
        function: Function without arguments that computes with `variables`.
        variables: Keras variables.
    """

    def loss(values: Any) -> Any:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function()

    return jax.grad(loss)([variable.value for variable in variables])


def norms(gradients: Any) -> Any:
    """Returns the Euclidean norms of some tensors in one."""
    # JAX has no float64 unless it is told to.
    return scaled_norms(gradients)


def public_functions() -> tuple[tuple[str, ModuleType], ...]:
    """Returns where the names of public functions are looked up."""
    return (
        ("jax.numpy", jax.numpy),
        ("jax.nn", jax.nn),
        ("jax.lax", jax.lax),
        ("jax.image", jax.image),
        ("jax", jax),
    )


def says_nothing_is_connected(error: BaseException) -> bool:
    """Whether `error` is the backend's word for a loss without gradients."""
    return False


def says_it_left(error: BaseException) -> bool:
    """Whether a step could not be traced as it leaves JAX.

    That is so where it makes a number of Python or an array of NumPy out of a
    tensor.
    """
    return isinstance(
        error,
        (
            jax.errors.ConcretizationTypeError,
            jax.errors.TracerArrayConversionError,
            jax.errors.TracerIntegerConversionError,
        ),
    )


def says_gradient_failed(error: BaseException) -> bool:
    """Whether a step failed in a gradient and does not say in which.

    JAX raises the errors of a gradient where they occur.
    """
    return False


def name_of(variable: Any) -> str:
    """Returns what to call a variable of Keras or of the backend."""
    return variable.path


def are_stacked(model: Any) -> bool:
    """Whether Keras hands over the batches of several steps as one.

    It then takes these steps in one program: what is between them is in there,
    and only the first step can be looked at.
    """
    several = model.steps_per_execution > 1
    return several and _version(keras.version()) >= STACKS
