"""One gradient check, from the beginning of a `fit` to its verdict."""

import warnings

import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.gradients import judging, message, reasons
from keras_perceptual.gradients.error import GradientSanityError
from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    find_owners,
    variables_of,
)
from keras_perceptual.gradients.observer import GradientObserver
from keras_perceptual.gradients.report import GradientRecord, GradientReport


class FitCheck:
    """Watches the first batches of a `fit` and judges their gradients.

    For each batch to be watched, `arm` puts another train function in the
    place of the model's. The moment that function is called it puts the
    model's own back, so that nothing stays when the step fails.

    Args:
        owner: The name of the object that checks, for the messages.
        model: The model being fitted.
        policy: The `judging.Policy`.
        update: Whether the watched steps train the model.
    """

    def __init__(self, owner, model, policy, *, update=True):
        self.owner = owner
        self.policy = policy
        self.report = None
        self.active = True
        self._model = model
        self._history = getattr(model, "history", None)
        self._observer = GradientObserver(
            model, when_refused=self._when_refused, update=update
        )
        self._batches = 0
        self._in_flight = 0
        self._overflows = 0
        self._warned = set()
        self._values = {}
        self._disconnected = set()
        self._error = None
        self._plain = _new_train_function(model)
        recorder = self._observer.recorder
        with _backend.load("gradients").fresh_train_step(model, recorder):
            self._observed = _new_train_function(model)
        model.train_function = self._plain

    def start(self):
        """Judges what can be judged before the first batch."""
        # A model without any weights may create them in its first step.
        if self._model.weights and not self._model.trainable_variables:
            self._nothing_to_train()

    def arm(self):
        """Has the next step of the model watched."""
        self._model.train_function = self._watched_step

    def _watched_step(self, *args, **kwargs):
        model, plain = self._model, self._plain
        model.train_function = plain
        if not self.active or getattr(model, "history", None) is not (
            self._history
        ):
            # Left over from a `fit` that was interrupted before the step.
            return plain(*args, **kwargs)
        try:
            with self._observer.watch():
                outputs = self._observed(*args, **kwargs)
        except Exception as error:
            if self._error is None:
                says_so = _backend.load("gradients").says_nothing_is_connected
                if not self._observer.called and says_so(error):
                    self._when_refused(
                        reasons.CUT_LOSS, model.trainable_variables, error
                    )
            if self._error is not None:
                self.close()
                # What a trace makes of an error may not be the error itself.
                raise self._error from self._error.__cause__
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        self._in_flight += 1
        return outputs

    def close(self):
        """Lets go of the model; the report stays."""
        if self.active:
            self.active = False
            if self._model.train_function == self._watched_step:
                self._model.train_function = self._plain
            self._model = self._observer = None
            self._plain = self._observed = None
            self._values.clear()

    def collect(self, *, last=False):
        """Judges what was seen since the last time.

        Args:
            last: Whether no more batches will come.
        """
        if not self.active or not (self._in_flight or last):
            return
        model = self._model
        first = self._batches == 0
        if not model.trainable_variables:
            self._nothing_to_train()
            return
        statistics = self._observer.read()
        overflows = max((s.overflowed for s in statistics.values()), default=0)
        new_overflows = overflows - self._overflows
        self._overflows = overflows
        batches = self._in_flight * model.steps_per_execution
        # Steps that loss scaling skipped say nothing about zeros.
        self._batches += max(batches - new_overflows, 0)
        self._in_flight = 0
        if first:
            self._look_for_unmatched_patterns()
        self._look_for_disconnected(statistics)
        finished = last or self._batches >= self.policy.steps
        self.report = self._make_report(statistics, finished=finished)
        try:
            self._act(statistics, finished=finished)
        finally:
            if finished or self._error is not None:
                self.close()

    def _act(self, statistics, *, finished):
        unexplained = {
            variable.path
            for variable in self._model.trainable_variables
            if id(variable) in statistics and statistics[id(variable)].nonfinite
        }
        to_raise, to_warn = judging.decide(
            self.report,
            self.policy,
            finished=finished,
            unexplained=unexplained,
        )
        if to_raise.records:
            self._error = self._make_error(to_raise)
            raise self._error
        self._warn(to_warn)

    def _warn(self, offenders):
        """Warns about what was not warned about before."""
        new = tuple(
            record
            for record in offenders
            if (record.path, record.status) not in self._warned
        )
        self._warned.update((r.path, r.status) for r in new)
        if new:
            offenders = GradientReport(new, offenders.batches)
            warnings.warn(
                message.describe(self.owner, offenders, len(self.report)),
                stacklevel=2,
            )

    def _make_error(self, offenders):
        return GradientSanityError(
            message.describe(self.owner, offenders, len(self.report)),
            self.report,
        )

    def _nothing_to_train(self):
        """Speaks up about a model of which everything is frozen."""
        name = self._model.name
        self.report = GradientReport((), self._in_flight)
        self.close()
        text = message.describe_all_frozen(self.owner, name)
        if self.policy.on_missing == "raise":
            self._error = GradientSanityError(text, self.report)
            raise self._error
        if self.policy.on_missing == "warn":
            warnings.warn(text, stacklevel=2)

    def _when_refused(self, reason, variables, cause=None):
        """Raises in place of an optimizer that is about to refuse."""
        ours = {id(v) for v in self._model.trainable_variables}
        owners = find_owners(self._model)
        self.report = GradientReport(
            tuple(
                self._make_record(v, "missing", reason, None, owners)
                for v in variables
                if id(v) in ours
            ),
            self._batches + 1,
        )
        offenders = self.report.missing
        if offenders and self.policy.on_missing == "raise":
            self._error = self._make_error(
                GradientReport(offenders, self.report.batches)
            )
            self._error.__cause__ = cause
            raise self._error

    def _look_for_unmatched_patterns(self):
        paths = [v.path for v in self._model.trainable_variables]
        patterns = self.policy.unmatched(paths)
        if patterns:
            warnings.warn(
                message.describe_unmatched(self.owner, patterns, paths),
                stacklevel=2,
            )

    def _look_for_disconnected(self, statistics):
        """Finds out which zeros mean that there is no gradient at all."""
        zeros = [
            key
            for key, found in statistics.items()
            if found.calls and not found.nonzero
        ]
        if zeros and not self._disconnected:
            self._disconnected = self._observer.find_disconnected(zeros)

    def _make_report(self, statistics, *, finished):
        model, observer = self._model, self._observer
        variables = model.trainable_variables
        strange = self._has_stranger(variables)
        owners = find_owners(model)
        records = []
        for variable in variables:
            found = statistics.get(id(variable))
            status, reason = judging.judge_variable(
                found,
                handed=id(variable) in observer.handed,
                connected=id(variable) in observer.connected,
                disconnected=id(variable) in self._disconnected,
                stranger=strange,
            )
            if reason == reasons.NOT_HANDED:
                status, reason = self._look_at_value(variable, reason)
            records.append(
                self._make_record(variable, status, reason, found, owners)
            )
        return GradientReport(tuple(records), max(self._batches, 1))

    def _make_record(self, variable, status, reason, found, owners):
        owner = owners.get(id(variable))
        ignored = status != "ok" and self.policy.ignores(variable.path)
        has_norm = found is not None and found.calls > (
            found.nonfinite + found.overflowed
        )
        return GradientRecord(
            path=variable.path,
            status="ignored" if ignored else status,
            norm=found.norm if has_norm else None,
            shape=tuple(variable.shape),
            layer=getattr(owner, "name", ""),
            layer_class=type(owner).__name__ if owner is not None else "",
            reason=reason,
        )

    def _has_stranger(self, variables):
        """Whether an optimizer trains in place of these variables others."""
        ours = {id(v) for v in variables}
        return any(
            not ours & {id(v) for v in variables_of(optimizer)}
            for optimizer in self._observer.called
        )

    def _look_at_value(self, variable, reason):
        """Excuses a variable that changes without a Keras optimizer."""
        value = ops.convert_to_numpy(variable.value)
        former = self._values.setdefault(id(variable), value)
        if not np.array_equal(former, value, equal_nan=True):
            return "ok", ""
        if self._waits_for_an_optimizer():
            return "missing", reasons.NOT_RUN
        return "missing", reason

    def _waits_for_an_optimizer(self):
        """Whether an optimizer of the model has not had its turn yet.

        `compile` gives every model an optimizer, used or not: with several of
        them, the one it gave does not count.
        """
        held = [
            part
            for part in find_optimizers(self._model)
            if part is not self._model.optimizer
        ]
        called = self._observer.called
        return bool(called) and any(
            not any(part is other for other in called) for part in held
        )


def _new_train_function(model):
    """Returns a train function that is not traced yet."""
    model.train_function = None
    model.make_train_function()
    return model.train_function
