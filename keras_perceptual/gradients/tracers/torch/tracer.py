"""Watching the training step of a model, for PyTorch."""

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
import torch

from keras_perceptual.gradients import snapshots
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.replay import Moment, Replay
from keras_perceptual.gradients.signals import Signal, Signals, measure
from keras_perceptual.gradients.statistics import (
    WIDTH,
    GradientStatistics,
    scaled_norms,
    statistics_rows,
)
from keras_perceptual.gradients.tracers.torch import replay, untracked


class Tracer:
    """Watches the step of one model, see `tracers.Tracer`.

    Every step runs as Python does, so nothing of the tracer stays in the
    train function: it looks on while it listens.
    """

    apply_methods: ClassVar[tuple[str, ...]] = ("apply",)
    values_were_away = False
    zeros_for_none = True

    counts_zeros: bool
    leaves_step_alone: bool
    signals: Signals | None
    is_content: bool
    python_steps: int
    trouble: Exception | None

    def __init__(self, model: keras.Model) -> None:
        self._reference = weakref.ref(model)
        self._waiting: list[Any] = []
        self._totals: dict[Any, Any] = {}
        self._used: dict[Any, Any] = {}
        self.counts_zeros = False
        self.leaves_step_alone = False
        self.signals = None
        self._heard: list[tuple[Signal, Any]] = []
        self.is_content = False
        self.python_steps = 0
        self.trouble = None

    @property
    def _model(self) -> Any:
        return self._reference()

    @property
    def is_traced_once(self) -> bool:
        """Whether the Python code of the step runs once."""
        return False

    def make_train_function(self) -> Callable[..., Any]:
        """Returns the train function of the model."""
        self._model.make_train_function()
        return self._model.train_function

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Has the steps that run inside take note of their gradients."""
        model = self._model
        step = model.train_step

        @functools.wraps(step)
        def train_step(data: Any) -> Any:
            self.python_steps += 1
            return step(data)

        with (
            replaced(model, "train_step", train_step),
            untracked.leaves_noted(self._note_leaves),
            self._hearing(),
        ):
            yield

    def _hearing(self) -> AbstractContextManager[None]:
        # What is heard inside of a compiled step would be compiled with it.
        if self.signals is None or self._model.jit_compile:
            return contextlib.nullcontext()
        return self.signals.hearing(self._hear)

    def _hear(self, signal: Signal) -> None:
        with torch.no_grad():
            number = measure([signal])[0]
        self._heard.append((dataclasses.replace(signal, tensor=None), number))

    def start_anew(self) -> None:
        """Forgets the numbers of an earlier training."""
        self.trouble = None
        self.is_content = False
        self._waiting, self._totals = [], {}
        self._heard = []
        if self.signals is not None:
            self.signals.forget()
        self._used = {}

    def hold(
        self, arguments: tuple[Any, ...]
    ) -> tuple[Moment, tuple[Any, ...]]:
        """Keeps what the next step begins with."""
        moment = Moment()
        with contextlib.suppress(Exception):
            moment.values = snapshots.copy_values(
                snapshots.variables_of_step(self._model)
            )
            # The train function is given a list of one batch.
            moment.batch = arguments[0][0]
        return moment, arguments

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _note_leaves(self, leaves: Any) -> None:
        self._used.update((id(leaf), leaf) for leaf in leaves)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def add(
        self,
        variables: Sequence[Any],
        values: Sequence[Any],
        gradients: Sequence[Any],
        loss_scale: Any,
        is_dynamic: bool,
    ) -> None:
        """Takes note of gradients in the step that computes them."""
        keys = tuple(id(variable) for variable in variables)
        penalties = {
            place: _penalty_gradient(variable, values[place])
            for place, variable in enumerate(variables)
            if getattr(variable, "regularizer", None) is not None
        }
        gradients = [_stored_values(gradient) for gradient in gradients]
        with torch.no_grad():
            rows = statistics_rows(
                gradients,
                norms,
                loss_scale,
                is_dynamic,
                penalties,
                self.counts_zeros,
            )
        self._waiting.append((keys, rows))

    def measure_ahead(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the arguments: the step itself is measured."""
        return arguments

    def measure_behind(self) -> None:
        """Reads nothing: the step itself is measured."""

    def look_again(self, moment: Moment) -> None:
        """Reads what could not be read in the step itself, after it."""

    def read(self) -> dict[int, np.ndarray]:
        """Returns the row of each variable, as NumPy arrays by key."""
        for keys, rows in self._waiting:
            for key, row in zip(keys, rows.cpu().numpy(), strict=True):
                total = self._totals.setdefault(key, np.zeros(WIDTH))
                GradientStatistics.add_rows(total, row)
        self._waiting.clear()
        if self.signals is not None:
            for signal, number in self._heard:
                self.signals.keep([signal], [float(number)])
        self._heard = []
        return {key: row.copy() for key, row in self._totals.items()}

    def find_untracked(self, known: Sequence[Any]) -> list[Any]:
        """Returns what the step computes with and nobody trains.

        Args:
            known: The Keras variables of the model and its optimizers.
        """
        return untracked.find_untracked(list(self._used.values()), known)

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
            snapshots.values_put_back(
                snapshots.variables_of_step(model), moment.values
            ),
        ):
            # Arrays, as `train_on_batch` hands them on, are data too.
            batch = keras.tree.map_structure(_as_tensor, moment.batch)
            return replay.replay_step(
                model.train_step, (batch,), variables, others
            )


def _as_tensor(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        return keras.ops.convert_to_tensor(part)
    return part


def _stored_values(gradient: Any) -> Any:
    """Returns the numbers that a gradient holds, without making it dense."""
    if gradient.is_sparse:
        return gradient.coalesce().values()
    return gradient


def _penalty_gradient(variable: Any, value: Any) -> Any:
    """Returns the gradient of the penalty on a variable."""
    with torch.enable_grad():
        value = value.detach().requires_grad_()
        penalty = variable.regularizer(value)
        if not penalty.requires_grad:
            return torch.zeros_like(value)
        (gradient,) = torch.autograd.grad(penalty, value)
    return gradient


def compute_gradients(
    function: Callable[[], Any], variables: Sequence[Any]
) -> list[Any]:
    """Returns the gradients of what `function` returns, `None` for none."""
    loss = function()
    if not loss.requires_grad:
        return [None] * len(variables)
    gradients = torch.autograd.grad(
        loss, [variable.value for variable in variables], allow_unused=True
    )
    return [None if g is None else _stored_values(g) for g in gradients]


def norms(gradients: Any) -> Any:
    """Returns the Euclidean norms of some tensors in one."""
    if any(gradient.device.type == "mps" for gradient in gradients):
        return scaled_norms(gradients)
    # Whose squares neither vanish nor overflow in float64.
    return torch.stack(
        [
            torch.linalg.vector_norm(
                gradient,
                dtype=torch.complex128
                if gradient.is_complex()
                else torch.float64,
            )
            for gradient in gradients
        ]
    )


def public_functions() -> tuple[tuple[str, ModuleType], ...]:
    """Returns where the names of public functions are looked up."""
    return (("torch", torch),)


def says_nothing_is_connected(error: BaseException) -> bool:
    """Whether `error` is the backend's word for a loss without gradients."""
    return isinstance(error, RuntimeError) and (
        "does not require grad and does not have a grad_fn" in str(error)
    )


def says_it_left(error: BaseException) -> bool:
    """Whether a step could not be recorded as it leaves PyTorch.

    Leaving is no error here, but an operation like others.
    """
    return False


def says_gradient_failed(error: BaseException) -> bool:
    """Whether a step failed in a gradient and does not say in which.

    PyTorch raises the errors of a gradient where they occur, but for what was
    computed before the step and is differentiated in each of them.
    """
    return "backward through the graph a second time" in str(error)


def name_of(variable: Any) -> str:
    """Returns what to call a variable of Keras or of the backend."""
    return untracked.name_of(variable)
