"""One gradient check, from the beginning of a `fit` to its verdict."""

import warnings

import keras
import numpy as np
from keras import ops

from keras_perceptual.gradients import judging, message, reasons, tracers
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.error import GradientSanityError
from keras_perceptual.gradients.explain import StepExplainer
from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    find_owners,
    variables_of,
)
from keras_perceptual.gradients.observer import GradientObserver
from keras_perceptual.gradients.report import GradientRecord, GradientReport
from keras_perceptual.gradients.statistics import ratio_of_norms, weight_norm

# A gradient that is smaller beside the weights is looked into.
FAINT = 1e-6
# What a cause that was found for a variable says something about.
EXPLAINED = ("missing", "nonfinite")


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
        when_done: Function of the report, called once when the check ends.
    """

    def __init__(self, owner, model, policy, *, update=True, when_done=None):
        self.owner = owner
        self.policy = policy
        self.report = None
        self.active = True
        self._when_done = when_done
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
        self._causes = {}
        self._weighed = set()
        self._weight_norms = {}
        self._untracked = None
        self._diagnosing = False
        self._refusal = None
        self._stopped = False
        self._error = None
        self._plain = _own_train_function(model)
        self._explainer = StepExplainer(model, self._observer.recorder)
        self._watch_anew()

    def start(self):
        """Judges what can be judged before the first batch."""
        # A model without any weights may create them in its first step.
        if self._model.weights and not self._model.trainable_variables:
            self._nothing_to_train()

    def _watch_anew(self):
        """Has the watched steps traced once more."""
        with self._fresh_train_step():
            self._observed = _new_train_function(self._model)
        self._model.train_function = self._plain

    def _fresh_train_step(self):
        return tracers.load("gradients").fresh_train_step(
            self._model, self._observer.recorder
        )

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
            with self._observer.watch(), self._fresh_train_step():
                outputs = self._observed(*args, **kwargs)
        except Exception as error:
            says_so = tracers.load("gradients").says_nothing_is_connected
            if not self._observer.called and says_so(error):
                self._refusal = (reasons.CUT_LOSS, model.trainable_variables)
            else:
                self._look_for_failure(error)
            refusal = self._refusal and self._explain_refusal(*self._refusal)
            self.close()
            if refusal:
                # What a trace makes of an error may not be the error itself.
                raise refusal from (None if self._stopped else error)
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
            self._model = self._observer = self._explainer = None
            self._plain = self._observed = None
            self._values.clear()
            if self._when_done is not None and self.report is not None:
                self._when_done(self.report)

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
        self._look_for_disconnected(statistics)
        finished = last or self._batches >= self.policy.steps
        self.report = self._make_report(statistics, finished=finished)
        if first:
            self._look_for_unmatched_patterns()
        if not finished:
            self._look_into_zeros(statistics)
        try:
            self._act(statistics, finished=finished)
        finally:
            if finished or self._error is not None:
                self.close()

    def _look_into_zeros(self, statistics):
        """Has the next steps read where gradients become zero."""
        zeros = self._find_zeros(statistics)
        if self._diagnosing or not zeros:
            return
        self._diagnosing = self._observer.recorder.diagnose(zeros)
        if self._diagnosing:
            self._watch_anew()

    def _find_zeros(self, statistics):
        """Returns variables whose gradients are zero, or next to it.

        Where a layer has others that are not, nothing is wrong with what is
        next to zero: rounding is all that reaches a bias before a
        normalization.
        """
        owners = find_owners(self._model)
        zero, faint, lively = [], [], set()
        for variable in self._model.trainable_variables:
            found = statistics.get(id(variable))
            if found is None or found.finite_norm is None:
                continue
            if not found.nonzero:
                zero.append(variable)
            elif found.norm <= FAINT * max(self._weight_norm(variable), 1.0):
                faint.append(variable)
            else:
                lively.add(id(owners.get(id(variable))))
        return zero + [v for v in faint if id(owners.get(id(v))) not in lively]

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
        new = [
            record
            for record in offenders
            if (record.path, record.status) not in self._warned
        ]
        self._warned.update((r.path, r.status) for r in new)
        passing = [
            record
            for record in new
            if record.status == "zero" and self.policy.on_zero == "auto"
        ]
        for records, describe in (
            ([r for r in new if r not in passing], message.describe),
            (passing, message.describe_passing_zeros),
        ):
            if records:
                report = GradientReport(tuple(records), offenders.batches)
                warnings.warn(
                    describe(self.owner, report, self._total()), stacklevel=2
                )

    def _total(self):
        """Returns how many trainable variables there are."""
        return len(self._model.trainable_variables)

    def _make_error(self, offenders):
        return GradientSanityError(
            message.describe(self.owner, offenders, self._total()),
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

    def _when_refused(self, reason, variables):
        """Stops a step in which an optimizer is about to refuse."""
        self._refusal = (reason, variables)
        if self.policy.on_missing == "raise" and self._our(variables):
            self._stopped = True
            raise _StopStep

    def _explain_refusal(self, reason, variables):
        """Reports a step that failed, and returns the error, if it is one."""
        variables = self._our(variables)
        self._look_for_causes(variables, reason)
        owners = find_owners(self._model)
        self.report = GradientReport(
            tuple(
                self._make_record(v, "missing", reason, None, owners)
                for v in variables
            ),
            self._batches + 1,
        )
        offenders = self.report.missing
        if offenders and self.policy.on_missing == "raise":
            self._error = self._make_error(
                GradientReport(offenders, self.report.batches)
            )
        return self._error

    def _look_for_failure(self, error):
        """Finds out whether a step failed in a gradient of Python code."""
        if self._refusal is not None:
            return
        causes = self._explainer.explain_failure(error)
        if causes:
            self._causes.update(causes)
            self._refusal = (
                reasons.FAILS,
                [v for v in self._model.trainable_variables if id(v) in causes],
            )

    def _our(self, variables):
        """Returns those of `variables` that the model trains."""
        ours = {id(v) for v in self._model.trainable_variables}
        return [v for v in variables if id(v) in ours]

    def _look_for_causes(self, variables, reason):
        """Finds out more about variables that miss a gradient.

        A variable that no optimizer was given may get its turn later on, so
        that what this step does with it is not the whole story.
        """
        wanted = [v for v in variables if id(v) not in self._causes]
        if reason not in reasons.UNEXPLAINED or not wanted:
            return
        found = self._explainer.explain_missing(wanted)
        for variable in wanted:
            cause = found.get(id(variable), Cause(reason))
            if reason == reasons.NOT_HANDED and (
                cause.reason not in reasons.UNCERTAIN
            ):
                cause = Cause(reason)
            self._causes[id(variable)] = cause

    def _look_for_unmatched_patterns(self):
        paths = [record.path for record in self.report]
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
        verdicts = []
        for variable in variables:
            status, reason = judging.judge_variable(
                statistics.get(id(variable)),
                handed=id(variable) in observer.handed,
                connected=id(variable) in observer.connected,
                disconnected=id(variable) in self._disconnected,
                stranger=strange,
            )
            if reason == reasons.NOT_HANDED:
                status, reason = self._look_at_value(variable, reason)
            verdicts.append((variable, status, reason))
        for reason in reasons.UNEXPLAINED:
            self._look_for_causes(
                [v for v, _, given in verdicts if given == reason], reason
            )
        self._look_for_penalties([v for v, s, _ in verdicts if s == "ok"])
        self._look_for_suspects(
            [
                v
                for v in variables
                if id(v) in statistics and statistics[id(v)].nonfinite
            ]
        )
        if self._diagnosing:
            self._causes |= self._explainer.explain_zeros(
                self._find_zeros(statistics)
            )
        if self._untracked is None:
            self._untracked = self._find_untracked()
        return GradientReport(
            tuple(
                self._make_record(
                    variable,
                    status,
                    reason,
                    statistics.get(id(variable)),
                    owners,
                )
                for variable, status, reason in verdicts
            )
            + self._untracked,
            max(self._batches, 1),
        )

    def _look_for_suspects(self, variables):
        """Finds what may have made gradients that are not finite."""
        if variables and not any(id(v) in self._causes for v in variables):
            places = self._explainer.suspect_operations(variables)
            self._causes |= {id(v): Cause("", places) for v in variables}

    def _find_untracked(self):
        """Returns records of variables that the model does not know of."""
        records = []
        for variable, place in self._explainer.find_untracked():
            path = getattr(variable, "path", variable.name.split(":")[0])
            shape = tuple(variable.shape)
            # A number that no layer made may be changed by hand.
            is_setting = not isinstance(variable, keras.Variable) and not shape
            certain = place.layer and not is_setting
            records.append(
                GradientRecord(
                    path=path,
                    status=(
                        "ignored" if self.policy.ignores(path) else "untracked"
                    ),
                    shape=shape,
                    layer=place.layer,
                    layer_class=place.layer_class,
                    reason=(
                        reasons.UNTRACKED if certain else reasons.UNTRAINED
                    ),
                    culprits=(place,),
                )
            )
        return tuple(records)

    def _look_for_penalties(self, variables):
        """Finds variables that a penalty on weights alone reaches."""
        known = self._weighed | self._causes.keys()
        new = [v for v in variables if id(v) not in known]
        if new:
            self._weighed |= {id(v) for v in new}
            self._causes |= self._explainer.find_penalized_only(new)

    def _make_record(self, variable, status, reason, found, owners):
        owner = owners.get(id(variable))
        cause = self._causes.get(id(variable))
        if cause is not None and (
            reason in reasons.UNEXPLAINED
            or (status == "ok" and cause.reason == reasons.PENALTY)
        ):
            status, reason = "missing", cause.reason
        elif cause is not None and cause.reason in reasons.PERMANENT:
            status, reason = "zero", cause.reason
        ignored = status != "ok" and self.policy.ignores(variable.path)
        norm = None if found is None else found.finite_norm
        return GradientRecord(
            path=variable.path,
            status="ignored" if ignored else status,
            norm=norm,
            ratio=self._relate(norm, variable),
            shape=tuple(variable.shape),
            layer=getattr(owner, "name", ""),
            layer_class=type(owner).__name__ if owner is not None else "",
            reason=reason,
            culprits=(
                cause.places
                if cause and (status in EXPLAINED or reason == cause.reason)
                else ()
            ),
        )

    def _relate(self, norm, variable):
        """Returns the norm of a gradient as a share of that of the weights."""
        if norm is None:
            return None
        return ratio_of_norms(norm, self._weight_norm(variable))

    def _weight_norm(self, variable):
        """Returns the norm of the weights when they were first looked at."""
        if id(variable) not in self._weight_norms:
            self._weight_norms[id(variable)] = weight_norm(variable)
        return self._weight_norms[id(variable)]

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


class _StopStep(Exception):
    """Leaves a step that is about to fail, wherever it is."""


def _own_train_function(model):
    """Returns the train function that a model has, which may be traced."""
    armed = getattr(model.train_function, "__func__", None)
    if armed is FitCheck._watched_step:
        # Left over from a `fit` that was interrupted before the step.
        return _new_train_function(model)
    model.make_train_function()
    return model.train_function


def _new_train_function(model):
    """Returns a train function that is not traced yet."""
    model.train_function = None
    model.make_train_function()
    return model.train_function
