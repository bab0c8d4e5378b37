"""Watching the training step of a model, for TensorFlow."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_perceptual.gradients import snapshots
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.gradients.replay import Moment, Replay
from keras_perceptual.gradients.signals import Signal, Signals, measure
from keras_perceptual.gradients.tracers.tensorflow import (
    graph_replay,
    replay,
    shadow,
    untracked,
)
from keras_perceptual.gradients.tracers.tensorflow.batches import Batches
from keras_perceptual.gradients.tracers.tensorflow.custom_gradients import (
    forgettable_custom_gradients,
)
from keras_perceptual.gradients.tracers.tensorflow.iterators import (
    as_in_a_step,
    take_ahead,
)
from keras_perceptual.gradients.tracers.tensorflow.norms import exact_norms
from keras_perceptual.gradients.tracers.tensorflow.penalty_gradients import (
    compute_penalties,
    find_penalized,
)
from keras_perceptual.gradients.tracers.tensorflow.statistics_tables import (
    StatisticsTables,
)


class Tracer:
    """Watches the step of one model, see `tracers.Tracer`.

    The step may be eager, traced into a graph or compiled by XLA, so the
    numbers are kept in variables that the step itself updates.
    """

    apply_methods: ClassVar[tuple[str, ...]] = ("apply",)
    values_were_away = False
    zeros_for_none = False

    counts_zeros: bool
    leaves_step_alone: bool
    signals: Signals | None
    is_content: bool
    keeps_batches: bool
    batches: Batches
    python_steps: int
    trouble: Exception | None

    def __init__(self, model: keras.Model) -> None:
        # The train function holds the tracer, and the model both of them.
        self._reference = weakref.ref(model)
        self._strategy = model.distribute_strategy
        self._listens = False
        self._tables = StatisticsTables(self._strategy)
        self._used: dict[Any, Any] = {}
        self._specs = None
        self._calls: list[Any] = []
        self._shadow: Any = None
        self._graph: Any = None
        self._held = Moment()
        self.counts_zeros = False
        self.leaves_step_alone = False
        self.signals = None
        self._heard: list[Signal] = []
        self.is_content = False
        self.python_steps = 0
        self.trouble = None
        self.keeps_batches = False
        # Replicas cannot create variables in the middle of a step.
        with self._strategy.scope():
            self._on = tf.Variable(False, trainable=False, name="watched")
            self.batches = Batches()
            self._tables.make_room([id(v) for v in model.trainable_variables])

    @property
    def _model(self) -> Any:
        return self._reference()

    @property
    def is_traced_once(self) -> bool:
        """Whether the Python code of the step runs once."""
        return not self._model.run_eagerly

    def make_train_function(self) -> Callable[..., Any]:
        """Returns a train function of the model, traced by nobody yet."""
        step = self._model.train_step

        @functools.wraps(step)
        def train_step(data: Any) -> Any:
            if not self._listens:
                return step(data)
            self._note_step(data)
            with (
                intercepted(tf.GradientTape, "gradient", self._heed_tape),
                forgettable_custom_gradients(),
                self._hearing(),
            ):
                return step(data)

        with (
            replaced(self._model, "train_step", train_step),
            self._batches_noted(),
        ):
            self._model.make_train_function(force=True)
        return self._model.train_function

    def _hearing(self) -> AbstractContextManager[None]:
        if self.signals is None or self._strategy.num_replicas_in_sync > 1:
            return contextlib.nullcontext()
        return self.signals.hearing(self._hear)

    def _hear(self, signal: Signal) -> None:
        """Notes what passes by: in a graph, to be computed beside it."""
        if self.signals is not None and tf.executing_eagerly():
            # Detached, or the tape of the step would follow it.
            value = tf.stop_gradient(signal.tensor)
            signal = dataclasses.replace(signal, tensor=value)
            self.signals.keep([signal], measure([signal]))
        elif getattr(signal.tensor, "graph", None) is self._graph:
            # What is in a loop or a branch cannot be had from outside.
            self._heard.append(signal)

    def _batches_noted(self) -> AbstractContextManager[None]:
        """Has a train function that is made inside keep its batches.

        What it converts batches with is the last it does outside of what XLA
        compiles.
        """
        convert = getattr(self._model, "_autoconvert_optionals", None)
        if convert is None or self._strategy.num_replicas_in_sync > 1:
            return contextlib.nullcontext()

        def noting(step: Any) -> Any:
            take = convert(step)

            @functools.wraps(take)
            def take_noted(data: Any) -> Any:
                with contextlib.suppress(Exception):
                    self.batches.note(data)
                return take(data)

            return take_noted

        self.keeps_batches = True
        return replaced(self._model, "_autoconvert_optionals", noting)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Has the steps that run inside take note of their gradients."""
        self._listens = True
        try:
            self._on.assign(True)
            yield
        finally:
            self._listens = False
            self._on.assign(False)

    def start_anew(self) -> None:
        """Forgets the numbers of an earlier training."""
        self.trouble = None
        self.is_content = False
        if self.signals is not None:
            self.signals.forget()
        self._tables.clear()

    def hold(
        self, arguments: tuple[Any, ...]
    ) -> tuple[Moment, tuple[Any, ...]]:
        """Keeps what the next step begins with."""
        moment = Moment()
        batches, arguments = take_ahead(
            arguments, self._model.steps_per_execution
        )
        if not batches:
            return moment, arguments
        with contextlib.suppress(Exception):
            moment.values = snapshots.copy_values(
                snapshots.variables_of_step(self._model)
            )
        # Of several steps in one the first is known to begin with these.
        moment.batch = batches[0]
        return moment, arguments

    def measure_ahead(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Computes the statistics of the next step, if it is traced.

        Args:
            arguments: What the train function is to be called with.

        Returns:
            Arguments that still have the batch.
        """
        self._held = Moment()
        if self._calls:
            self._make_shadow()
        if self._shadow is None:
            if self.is_traced_once and not self.python_steps:
                # There is no graph to copy before the first step.
                self._held, arguments = self.hold(arguments)
            return arguments
        batches, arguments = take_ahead(
            arguments, self._model.steps_per_execution
        )
        if batches:
            self._measure(batches[0])
        return arguments

    def measure_behind(self) -> None:
        """Computes the statistics of the step that was the first, after it."""
        held, self._held = self._held, Moment()
        try:
            self.look_again(held)
        except Exception:
            # A graph that cannot be copied is trained all the same.
            self._calls, self._shadow = [], None

    def _note_step(self, data: Any) -> None:
        self.python_steps += 1
        self._calls, self._heard = [], []
        self._graph = tf.compat.v1.get_default_graph()
        # Data of an unknown kind cannot be traced with, only trained on.
        with contextlib.suppress(TypeError, ValueError):
            self._specs = tf.nest.map_structure(
                lambda x: x if x is None else tf.type_spec_from_value(x), data
            )

    def _heed_tape(
        self, original: Any, tape: Any, *args: Any, **kwargs: Any
    ) -> Any:
        # Whatever happens there must not end a training that is well.
        with contextlib.suppress(Exception):
            self._used.update((id(v), v) for v in tape.watched_variables())
        return original(tape, *args, **kwargs)

    def add(
        self,
        variables: Sequence[Any],
        values: Sequence[Any],
        gradients: Sequence[Any],
        loss_scale: Any,
        is_dynamic: bool,
    ) -> None:
        """Takes note of gradients in the step that computes them."""
        keys = [id(variable) for variable in variables]
        with tf.init_scope():
            self._tables.make_room(keys)
        penalized = {}
        if self._strategy.num_replicas_in_sync == 1:
            penalized = find_penalized(variables, values, gradients)
        penalties = functools.partial(compute_penalties, penalized)
        gradients = [_stored_values(gradient) for gradient in gradients]
        call = shadow.Call(
            keys,
            gradients,
            loss_scale,
            is_dynamic,
            penalties,
            self.counts_zeros,
        )
        if self._is_measured_beside():
            self._calls.append(call)
            return
        if self.leaves_step_alone and not tf.executing_eagerly():
            return

        def keep() -> Any:
            self._tables.add(keys, call.rows(gradients))
            return True

        tf.cond(self._on, keep, lambda: False)

    def _is_measured_beside(self) -> bool:
        """Whether the step that is traced is left alone.

        Otherwise it keeps its statistics itself, and may round differently.
        """
        graph = tf.compat.v1.get_default_graph()
        if tf.executing_eagerly() or graph is not self._graph:
            # Where a loop computes gradients, there is no batch to begin with.
            return False
        variables = snapshots.variables_of_training(self._model)
        return (
            self._strategy.num_replicas_in_sync == 1
            and shadow.can_have_shadow(graph, variables)
        )

    def look_again(self, moment: Moment) -> None:
        """Computes the statistics of a step beside it, if it is traced."""
        if self._calls:
            self._make_shadow()
        if self._shadow is None or moment.batch is None:
            return
        if self.is_content and self._has_finite_weights():
            return
        if moment.values is None:
            # What the weights are now says nearly as much.
            self._measure(moment.batch)
            return
        variables = snapshots.variables_of_step(self._model)
        with snapshots.values_put_back(variables, moment.values):
            self._measure(moment.batch)

    def _has_finite_weights(self) -> bool:
        return all(
            np.all(np.isfinite(variable.value.numpy()))
            for variable in self._model.trainable_variables
        )

    def _measure(self, batch: Any) -> None:
        """Computes the statistics of a batch beside the step."""
        for keys, rows in self._shadow(as_in_a_step(batch)):
            self._tables.add(keys, rows)

    def _make_shadow(self) -> None:
        calls, self._calls, self._shadow = self._calls, [], None
        heard, self._heard = self._heard, []
        variables = snapshots.variables_of_training(self._model)
        self._shadow = shadow.make_shadow(
            calls,
            variables,
            bool(self._model.jit_compile),
            heard,
            self.signals,
        )

    def read(self) -> dict[int, np.ndarray]:
        """Returns the row of each variable, as NumPy arrays by key."""
        return self._tables.read()

    def find_untracked(self, known: Sequence[Any]) -> list[Any]:
        """Returns what the step computes with and nobody trains.

        Args:
            known: The Keras variables of the model and its optimizers.
        """
        return untracked.find_untracked(self._used, known, self._strategy)

    def replay(
        self, moment: Moment, variables: Sequence[Any], others: Sequence[Any]
    ) -> Replay:
        """Takes a step once more."""
        # A thread of its own is outside the scope of any strategy, in which a
        # variable of several devices could not be told from its copies.
        with concurrent.futures.ThreadPoolExecutor(1) as outside:
            return outside.submit(
                self._replay, moment, variables, others
            ).result()

    def _replay(self, moment: Moment, variables: Any, others: Any) -> Replay:
        model = self._model
        with (
            replay.random_numbers_kept(),
            snapshots.attributes_put_back(model, moment.attributes),
            snapshots.values_put_back(
                snapshots.variables_of_step(model), moment.values
            ),
        ):
            if moment.batch is None:
                return graph_replay.trace_replay(
                    model.train_step, (self._specs,), (), variables
                )
            return replay.replay_step(
                model.train_step,
                (as_in_a_step(moment.batch),),
                variables,
                others,
            )


def _stored_values(gradient: Any) -> Any:
    """Returns the numbers that a gradient holds, without making it dense."""
    if isinstance(gradient, tf.IndexedSlices):
        return gradient.values
    return gradient


def compute_gradients(
    function: Callable[[], Any], variables: Sequence[Any]
) -> list[Any]:
    """Returns the gradients of what `function` returns, `None` for none."""
    with tf.GradientTape() as tape:
        loss = function()
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return [None if g is None else _stored_values(g) for g in gradients]


def norms(gradients: Any) -> Any:
    """Returns the Euclidean norms of some tensors in one."""
    return exact_norms(gradients)


def public_functions() -> tuple[tuple[str, ModuleType], ...]:
    """Returns where the names of public functions are looked up."""
    return (
        ("tf", tf),
        ("tf.math", tf.math),
        ("tf.nn", tf.nn),
        ("tf.image", tf.image),
        ("tf.linalg", tf.linalg),
    )


def says_nothing_is_connected(error: BaseException) -> bool:
    """Whether `error` is the backend's word for a loss without gradients."""
    return False


def says_it_left(error: BaseException) -> bool:
    """Whether a step could not be traced as it leaves TensorFlow.

    That is so where it makes a number of Python or an array of NumPy out of a
    tensor.
    """
    return "SymbolicTensor" in str(error) or (
        "symbolic `tf.Tensor`" in str(error)
        or "symbolic tf.Tensor" in str(error)
        or "numpy() is only available" in str(error)
    )


def says_gradient_failed(error: BaseException) -> bool:
    """Whether a step failed while TensorFlow computed gradients."""
    return isinstance(error, tf.errors.OpError) and "gradient" in str(error)


def name_of(variable: Any) -> str:
    """Returns what to call a variable of Keras or of the backend."""
    if isinstance(variable, keras.Variable):
        return variable.path
    return variable.name.partition(":")[0]
