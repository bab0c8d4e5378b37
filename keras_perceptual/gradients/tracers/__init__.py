"""The part of the gradient check that talks to TensorFlow, JAX or PyTorch.

Each backend has a package here with the same modules and the same functions
in them; only the one of the backend that Keras runs on is ever imported.
"""

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

import keras
import numpy as np

from keras_perceptual.gradients.replay import Moment, Replay
from keras_perceptual.gradients.signals import Signals


class Tracer(Protocol):
    """What the check asks of a backend, about the step of one model.

    A tracer makes a train function of the model. What is traced of it while
    the tracer listens takes note of gradients, and goes on doing so as long as
    a value on the device says so: the step is traced once for the check and
    for the training.

    Args:
        model: The model.

    Attributes:
        counts_zeros: Whether the share of exact zeros in gradients is found,
            too. Set before the step is traced.
        leaves_step_alone: Whether nothing is added to a step that is traced,
            so that TensorFlow optimizes its graph as it does without, and
            that what computes statistics beside it runs often. Set before the
            step is traced.
        signals: The `Signals` that hear the steps, or `None`. Set before the
            step is traced.
        is_content: Whether all gradients were well in an earlier step. What is
            computed beside a step then waits for one that leaves NaN.
        python_steps: How often the Python code of the step has run.
        trouble: What went wrong in looking, if anything.
        values_were_away: Whether the step read a variable while its value was
            in the state that goes through the step.
    """

    # The methods through which an optimizer is handed gradients.
    apply_methods: ClassVar[tuple[str, ...]]
    # Whether a gradient of zeros may stand for none at all.
    zeros_for_none: ClassVar[bool]
    counts_zeros: bool
    leaves_step_alone: bool
    signals: Signals | None
    is_content: bool
    python_steps: int
    trouble: Exception | None
    values_were_away: bool

    @property
    def is_traced_once(self) -> bool:
        """Whether the Python code of the step runs once, not in each step."""

    def make_train_function(self) -> Callable[..., Any]:
        """Returns a train function of the model, traced by nobody yet."""

    def start_anew(self) -> None:
        """Forgets the numbers of an earlier training."""

    def listening(self) -> AbstractContextManager[None]:
        """Has the steps that run inside take note of their gradients."""

    def hold(
        self, arguments: tuple[Any, ...]
    ) -> tuple[Moment, tuple[Any, ...]]:
        """Keeps what the next step begins with.

        Args:
            arguments: What Keras calls the train function with.

        Returns:
            What was kept, and arguments that still have the batch.
        """

    def measure_ahead(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Reads of a step before it is taken what cannot be read in it.

        Args:
            arguments: What the train function is to be called with.

        Returns:
            Arguments that still have the batch.
        """

    def measure_behind(self) -> None:
        """Reads after a step what could not be read before it."""

    def look_again(self, moment: Moment) -> None:
        """Reads what could not be read in the step itself, after it.

        Args:
            moment: What the step began with.
        """

    def add(
        self,
        variables: Sequence[Any],
        values: Sequence[Any],
        gradients: Sequence[Any],
        loss_scale: Any,
        is_dynamic: bool,
    ) -> None:
        """Takes note of gradients in the step that computes them.

        Args:
            variables: The Keras variables that an optimizer is to change.
            values: What they hold in the step.
            gradients: The gradient of each.
            loss_scale: The factor by which the loss was scaled, if any.
            is_dynamic: Whether the optimizer lowers it upon an overflow.
        """

    def read(self) -> dict[int, np.ndarray]:
        """Returns the row of statistics of each variable by its `id`."""

    def find_untracked(self, known: Sequence[Any]) -> list[Any]:
        """Returns what the step computes with and nobody trains.

        Args:
            known: The Keras variables of the model and its optimizers.
        """

    def replay(
        self,
        moment: Moment,
        variables: Sequence[Any],
        others: Sequence[Any],
    ) -> Replay:
        """Takes a step once more.

        Args:
            moment: What it begins with.
            variables: The variables to follow, the trainable ones first.
            others: All other variables that are known.
        """


class Steps(Protocol):
    """What the monitor asks of a backend: to take the steps of a `fit` again.

    What a train function is called with goes through it as `arguments`, which
    are `()` outside of a `fit`.

    Args:
        model: The model.
        tracer: Its `Tracer`.
    """

    @property
    def can_record(self) -> bool:
        """Whether batches and states of this training can be kept."""

    def copy(self, arguments: tuple[Any, ...]) -> Any:
        """Returns what a step begins with, a state."""

    def put(self, state: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns arguments with which a step begins with a state."""

    def covers(self, state: Any) -> bool:
        """Whether a state has all variables but those of optimizers."""

    def bytes_of(self, parts: Any) -> int:
        """Returns how much memory a state or batches take."""

    def start(self) -> None:
        """Keeps the batches from here on, and forgets those before."""

    def stop(self) -> None:
        """Keeps no batches."""

    def hear(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns arguments whose batches are kept when they are used."""

    def taken(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Returns the batches of each step since `start`."""

    def take(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        batches: Sequence[Any],
    ) -> tuple[Any, tuple[Any, ...]]:
        """Takes a step, and returns what it returns and the next arguments."""

    def after(
        self, outputs: Any, arguments: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Returns the arguments of the step after one."""

    def outputs(self, outputs: Any, arguments: tuple[Any, ...]) -> Any:
        """Returns what a step returns that leaves a state."""

    def specs(self) -> list[Any] | None:
        """Returns the shapes that a step was traced with, if it has others."""

    def expect(self, batches: list[Any], specs: list[Any] | None) -> list[Any]:
        """Returns batches from a file as a step takes them.

        Args:
            batches: The batches of one step, made of NumPy arrays.
            specs: What `specs` returned in the training.
        """

    def weights(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Returns copies of the trainable variables."""

    def measure(
        self, before: list[Any] | None, arguments: tuple[Any, ...]
    ) -> np.ndarray:
        """Returns the rows of `update_rows` of the trainable variables.

        Args:
            before: What `weights` returned before, or `None` to compare what
                they hold with itself.
            arguments: Those of the next step.
        """

    def logs(self, outputs: Any) -> Any:
        """Returns the logs of a step."""

    def moment(self, state: Any, batch: Any) -> Moment:
        """Returns what a step begins with, for a `Tracer`."""

    def arrays(self, state: Any) -> list[np.ndarray]:
        """Returns a state as NumPy arrays."""

    def from_arrays(self, arrays: Sequence[np.ndarray]) -> Any:
        """Returns the state that `arrays` gave."""


def load(topic: str) -> Any:
    """Returns the module `topic` of the backend that Keras runs on."""
    return importlib.import_module(
        f"{__name__}.{keras.backend.backend()}.{topic}"
    )
