"""Looking at the gradients that a training step hands to its optimizers."""

import contextlib
import functools
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    variables_of,
)
from keras_perceptual.gradients.tracers import Tracer


class StopStep(Exception):
    """Leaves a step that is about to fail, wherever it is."""


class GradientObserver:
    """Takes note of what the optimizers of a model are given.

    Only inside `with observer.watch():` do the optimizers carry wrappers.
    Nothing that goes wrong in taking note reaches the step.

    Args:
        model: The model whose optimizers are watched.
        tracer: The `Tracer` of its step, which counts the gradients.
        when_refused: Called with a `Diagnosis` and the variables in question
            when an optimizer is about to refuse a call: it is given nothing
            but missing gradients, or variables that it was not built for. May
            raise `StopStep`.
        update: Whether the optimizers do their work. If not, they only take
            note of the gradients and nothing is trained.
        quiet: Whether they are kept from warning of missing gradients.

    Attributes:
        handed: The variables that an optimizer was given, by `id`; holding
            them keeps the ids from being used again.
        connected: The `id` of those that came with a gradient.
        called: The optimizers that were called.
        frames: The Python frames of the call that each was given in last, by
            `id`.
        trouble: What went wrong in taking note, if anything.
    """

    def __init__(
        self,
        model: keras.Model,
        tracer: Tracer,
        *,
        when_refused: Callable[[Diagnosis, Sequence[Any]], None] | None = None,
        update: bool = True,
        quiet: bool = True,
    ) -> None:
        self.handed: dict[int, Any] = {}
        self.connected: set[int] = set()
        self.called: list[Any] = []
        self.frames: dict[int, tuple[Any, ...]] = {}
        self.trouble: Exception | None = None
        self._model = model
        self._tracer = tracer
        self._when_refused = when_refused
        self._update = update
        self._quiet = quiet
        self._optimizers: list[Any] | None = None
        # Replicas run in threads of their own, which take turns.
        self._local = threading.local()

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Puts wrappers around the optimizers and takes them off again."""
        with contextlib.ExitStack() as stack:
            # To walk through a model takes as long as many a step. Who judges
            # looks each time: a step may create an optimizer.
            if self._optimizers is None or self._quiet:
                self._optimizers = find_optimizers(self._model)
            for optimizer in self._optimizers:
                for name in self._tracer.apply_methods:
                    wrapper = self._wrap(optimizer, name)
                    stack.enter_context(replaced(optimizer, name, wrapper))
            yield

    def _wrap(self, optimizer: Any, name: str) -> Callable[..., Any]:
        original = getattr(optimizer, name)
        ways: dict[str, Callable[..., Any]] = {
            "apply": self._observe_apply,
            "stateless_apply": self._observe_stateless_apply,
        }
        observe = ways[name]

        @functools.wraps(original)
        def observed(*args: Any, **kwargs: Any) -> Any:
            # An optimizer that calls another one or itself is one call.
            if getattr(self._local, "busy", False):
                return original(*args, **kwargs)
            self._local.busy = True
            try:
                return observe(optimizer, original, *args, **kwargs)
            finally:
                self._local.busy = False

        return observed

    def _observe_apply(
        self,
        optimizer: Any,
        original: Callable[..., Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any] | None = None,
    ) -> Any:
        gradients = list(grads)
        variables = (
            variables_of(optimizer)
            if trainable_variables is None
            else list(trainable_variables)
        )
        if len(gradients) != len(variables) or not gradients:
            return original(gradients, trainable_variables)
        if self._update and not optimizer.built:
            # As the optimizer would, but before the missing ones are dropped.
            with keras.name_scope(optimizer.name, caller=optimizer):
                optimizer.build(variables)
            optimizer.built = True
        with self._safely():
            values = [getattr(v, "value", v) for v in variables]
            self._look(optimizer, gradients, variables, values)
        if not self._update:
            return None
        if not self._quiet:
            return original(gradients, trainable_variables)
        present = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        ]
        if not present:
            return original(gradients, variables)
        # Without the missing ones, about which the optimizer would warn.
        return original([g for g, _ in present], [v for _, v in present])

    def _observe_stateless_apply(
        self,
        optimizer: Any,
        original: Callable[..., Any],
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> Any:
        gradients, values = list(grads), list(trainable_variables)
        variables = variables_of(optimizer)
        if len(gradients) == len(variables) == len(values):
            with self._safely():
                state = dict(
                    zip(
                        map(id, optimizer.variables),
                        optimizer_variables,
                        strict=False,
                    )
                )
                self._look(optimizer, gradients, variables, values, state)
        else:
            with self._safely():
                self._refuse(
                    diagnoses.STRANGER, self._model.trainable_variables
                )
        if not self._update:
            return trainable_variables, optimizer_variables
        return original(optimizer_variables, gradients, trainable_variables)

    @contextlib.contextmanager
    def _safely(self) -> Iterator[None]:
        """Keeps what goes wrong inside from the step."""
        try:
            yield
        except StopStep:
            raise
        except Exception as error:
            self.trouble = self.trouble or error

    def _look(
        self,
        optimizer: Any,
        gradients: Sequence[Any],
        variables: Sequence[Any],
        values: Sequence[Any],
        state: Any = None,
    ) -> None:
        """Takes note of one call."""
        if not any(optimizer is other for other in self.called):
            self.called.append(optimizer)
        frames = tuple(
            reversed(
                traceback.StackSummary.extract(
                    traceback.walk_stack(None), lookup_lines=False
                )
            )
        )
        variables = [self._keras_variable(v) for v in variables]
        self.handed.update((id(v), v) for v in variables)
        self.frames |= dict.fromkeys(map(id, variables), frames)
        present = [i for i, g in enumerate(gradients) if g is not None]
        self.connected.update(id(variables[i]) for i in present)
        strangers = self._strangers(optimizer, variables)
        if strangers:
            self._refuse(diagnoses.STRANGER, strangers)
        if not present:
            self._refuse(diagnoses.NONE, variables)
            return
        scale, is_dynamic = _loss_scale(optimizer, state)
        self._tracer.add(
            [variables[i] for i in present],
            [values[i] for i in present],
            [gradients[i] for i in present],
            scale,
            is_dynamic,
        )

    def _refuse(self, diagnosis: Diagnosis, variables: Sequence[Any]) -> None:
        if self._when_refused is not None:
            self._when_refused(diagnosis, variables)

    def _strangers(self, optimizer: Any, variables: Sequence[Any]) -> list[Any]:
        """Returns those of `variables` that an optimizer does not know."""
        known = {id(self._keras_variable(v)) for v in variables_of(optimizer)}
        return [v for v in variables if known and id(v) not in known]

    def _keras_variable(self, variable: Any) -> Any:
        """Returns the variable of the model behind a native one."""
        if not isinstance(variable, keras.Variable):
            for candidate in self._model.trainable_variables:
                if candidate.value is variable:
                    return candidate
        return variable


def _loss_scale(
    optimizer: Any, values: Mapping[int, Any] | None = None
) -> tuple[Any, bool]:
    """Returns the loss scale of an optimizer and whether it adapts."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        if not optimizer.built:
            return optimizer.initial_scale, True
        scale = optimizer.dynamic_scale
        return (values or {}).get(id(scale), scale), True
    return optimizer.loss_scale_factor, False
