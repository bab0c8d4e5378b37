"""Looking at the gradients that a training step hands to its optimizers."""

import contextlib
import functools
import threading

import keras

from keras_perceptual.gradients import reasons, statistics, tracers
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    variables_of,
)


class GradientObserver:
    """Records what the optimizers of a model are given while it watches.

    Only inside `with observer.watch():` do the optimizers carry wrappers. What
    is traced there keeps recording whenever it runs.

    Args:
        model: The model whose optimizers are watched.
        when_refused: Called with a reason and the variables in question when
            an optimizer is about to refuse a call: it is given nothing but
            missing gradients, or variables that it was not built for.
        update: Whether the optimizers do their work. If not, they only take
            note of the gradients and nothing is trained.
    """

    def __init__(self, model, *, when_refused=None, update=True):
        self.model = model
        self.recorder = tracers.load("gradients").GradientRecorder(
            model, sums=statistics.SUMS, width=statistics.WIDTH
        )
        # Variables by `id`; holding them keeps the ids from being used again.
        self.handed = {}
        self.connected = set()
        self.called = []
        self._when_refused = when_refused
        self._update = update
        # Replicas run in threads of their own, which take turns.
        self._local = threading.local()

    @contextlib.contextmanager
    def watch(self):
        """Puts wrappers around the optimizers and takes them off again."""
        with contextlib.ExitStack() as stack:
            for optimizer in find_optimizers(self.model):
                for name in tracers.load("gradients").APPLY_METHODS:
                    wrapper = self._wrap(optimizer, name)
                    stack.enter_context(replaced(optimizer, name, wrapper))
            yield

    def read(self):
        """Returns the statistics of each variable so far, by its `id`."""
        return {
            key: statistics.GradientStatistics.from_row(row)
            for key, row in self.recorder.read().items()
        }

    def find_disconnected(self, keys):
        """Returns those of `keys` whose zero stands for no gradient at all."""
        with self.watch():
            return self.recorder.find_disconnected(keys)

    def _wrap(self, optimizer, name):
        original = getattr(optimizer, name)
        observe = {
            "apply": self._observe_apply,
            "stateless_apply": self._observe_stateless_apply,
        }[name]

        @functools.wraps(original)
        def observed(*args, **kwargs):
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
        self, optimizer, original, grads, trainable_variables=None
    ):
        gradients = list(grads)
        variables = (
            variables_of(optimizer)
            if trainable_variables is None
            else list(trainable_variables)
        )
        if len(gradients) != len(variables) or not gradients:
            return original(grads, trainable_variables)
        if self._update and not optimizer.built:
            # As the optimizer would, but before the missing ones are dropped.
            optimizer.build(variables)
            optimizer.built = True
        strangers = self._strangers(optimizer, variables)
        if strangers:
            self._refused(reasons.STRANGER, strangers)
        scale, is_dynamic = _loss_scale(optimizer)
        pairs = self._record(optimizer, gradients, variables, scale, is_dynamic)
        if not pairs:
            self._refused(reasons.NONE, variables)
        if not self._update:
            return None
        if not pairs:
            return original(gradients, variables)
        # Without the missing ones, about which the optimizer would warn.
        return original([g for g, _ in pairs], [v for _, v in pairs])

    def _observe_stateless_apply(
        self,
        optimizer,
        original,
        optimizer_variables,
        grads,
        trainable_variables,
    ):
        gradients = list(grads)
        variables = variables_of(optimizer)
        if len(gradients) == len(variables):
            scale, is_dynamic = _loss_scale(
                optimizer,
                dict(
                    zip(
                        map(id, optimizer.variables),
                        optimizer_variables,
                        strict=False,
                    )
                ),
            )
            self._record(optimizer, gradients, variables, scale, is_dynamic)
        if not self._update:
            return trainable_variables, optimizer_variables
        return original(optimizer_variables, grads, trainable_variables)

    def _record(self, optimizer, gradients, variables, scale, is_dynamic):
        """Takes note of one call and returns the pairs with a gradient."""
        if not any(optimizer is other for other in self.called):
            self.called.append(optimizer)
        variables = [self._keras_variable(v) for v in variables]
        self.handed.update((id(v), v) for v in variables)
        pairs = [
            (g, v)
            for g, v in zip(gradients, variables, strict=True)
            if g is not None
        ]
        if pairs:
            keys = [id(v) for _, v in pairs]
            self.connected.update(keys)
            present = [g for g, _ in pairs]
            rows = statistics.statistics_rows(present, scale, is_dynamic)
            self.recorder.add(keys, rows, present)
        return pairs

    def _refused(self, reason, variables):
        if self._when_refused is not None:
            self._when_refused(
                reason, [self._keras_variable(v) for v in variables]
            )

    def _strangers(self, optimizer, variables):
        """Returns those of `variables` that an optimizer does not know."""
        known = {id(self._keras_variable(v)) for v in variables_of(optimizer)}
        if not known:
            return []
        return [
            v for v in variables if id(self._keras_variable(v)) not in known
        ]

    def _keras_variable(self, variable):
        """Returns the variable of the model behind a native one."""
        if not isinstance(variable, keras.Variable):
            for candidate in self.model.trainable_variables:
                if candidate.value is variable:
                    return candidate
        return variable


def _loss_scale(optimizer, values=None):
    """Returns the loss scale of an optimizer and whether it adapts."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        if not optimizer.built:
            return optimizer.initial_scale, True
        scale = optimizer.dynamic_scale
        return (values or {}).get(id(scale), scale), True
    return optimizer.loss_scale_factor, False
