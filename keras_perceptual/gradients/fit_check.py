"""One gradient check, from the beginning of a `fit` to its verdict."""

import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from keras_perceptual.gradients import (
    diagnoses,
    judging,
    message,
    tracers,
)
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.error import GradientSanityError
from keras_perceptual.gradients.evidence import Evidence
from keras_perceptual.gradients.explain import Explainer
from keras_perceptual.gradients.judging import Policy
from keras_perceptual.gradients.model_parts import can_train_nothing
from keras_perceptual.gradients.observer import GradientObserver, StopStep
from keras_perceptual.gradients.places import locate_frames
from keras_perceptual.gradients.report import GradientReport
from keras_perceptual.gradients.seam import Seam


class FitCheck:
    """Watches the first batches of a `fit` and judges their gradients.

    Nothing that goes wrong in watching or judging ends the training: the check
    then says so in a warning and takes itself out.

    Args:
        owner: The name of the object that checks, for the messages.
        model: The model being fitted.
        policy: The `judging.Policy`.
        update: Whether the watched steps train the model.
        fresh: Whether the train function of the model is known to be traced
            by nobody yet.
        when_done: Function of the report, called once when the check ends.
    """

    def __init__(
        self,
        owner: str,
        model: keras.Model,
        policy: Policy,
        *,
        update: bool = True,
        fresh: bool = False,
        when_done: Callable[[GradientReport], None] | None = None,
    ) -> None:
        self.owner = owner
        self.policy = policy
        self.report: GradientReport | None = None
        self.active: bool = True
        self._when_done = when_done
        self._model: Any = model
        self._in_flight = 0
        # Texts, and pairs of a path and a status.
        self._warned: set[object] = set()
        self._refusal: tuple[Diagnosis, Sequence[Any]] | None = None
        self._stopped = False
        self._said_trouble = False
        # They are let go of at the end.
        self._seam: Any = None
        self._observer: Any = None
        self._explainer: Any = None
        self._evidence: Any = None
        try:
            self._seam = Seam(model, self._watch, update=update, fresh=fresh)
            self._observer = GradientObserver(
                model,
                self._seam.tracer,
                when_refused=self._when_refused,
                update=update,
            )
            self._explainer = Explainer(model, self._seam, self._observer)
            self._evidence = Evidence(
                model, self._seam, self._observer, self._explainer, policy
            )
        except Exception as error:
            self._seam = None
            self._give_up(error)

    def arm(self) -> None:
        """Has the next step of the model watched.

        Raises:
            GradientSanityError: If that step can train nothing.
        """
        if not self._evidence.batches and can_train_nothing(self._model):
            self.report = GradientReport()
            self._end(self._nothing_to_train)
        elif self._seam.removed:
            # A step traced anew would train others than the one that is used.
            self._end(self._judge_stale)
        else:
            self._seam.arm()

    def close(self) -> None:
        """Lets go of the model; the report stays."""
        if not self.active:
            return
        self.active = False
        if self._seam is not None:
            self._seam.disarm()
        self._model = self._seam = None
        self._observer = self._explainer = self._evidence = None
        if self._when_done is not None and self.report is not None:
            self._when_done(self.report)

    def collect(self, *, last: bool = False) -> None:
        """Judges what was seen since the last time.

        Args:
            last: Whether no more batches will come.
        """
        if not self.active:
            return
        try:
            finished = self._look(last)
            error, texts = self._decide(finished)
        except Exception as trouble:
            self._give_up(trouble)
            return
        try:
            self._admit_trouble()
            self._say(error, texts)
        finally:
            if finished or error is not None:
                self.close()

    def _end(
        self,
        judge: Callable[[], tuple[Exception | None, Sequence[str]]],
    ) -> None:
        """Ends a check that needs no step, and says what it has found."""
        try:
            error, texts = judge()
        except Exception as trouble:
            self._give_up(trouble)
            return
        self.close()
        self._say(error, texts)

    def _say(self, error: Exception | None, texts: Iterable[str]) -> None:
        """Raises an error, if there is one, or else gives warnings."""
        if error is not None:
            raise error
        for text in texts:
            warnings.warn(text, stacklevel=3)

    def _look(self, last: bool) -> bool:
        """Reads and judges, and returns whether the check ends here."""
        if self._in_flight:
            self._evidence.gather(
                self._in_flight * self._model.steps_per_execution
            )
            self._in_flight = 0
        elif not last or not self._evidence.batches:
            return last
        trouble = self._observer.trouble or self._seam.tracer.trouble
        if trouble is not None:
            raise trouble
        finished = last or self._evidence.batches >= self.policy.steps
        self.report = self._evidence.judge(finished=finished)
        self._seam.tracer.is_content = self._evidence.is_content(self.report)
        # It holds every number of the step.
        self._explainer.forget()
        return finished

    def _watch(self, take_step: Callable[[], Any]) -> Any:
        """Takes a step under observation."""
        if not self.active:
            return take_step()
        try:
            with self._observer.watch():
                outputs = take_step()
        except Exception as error:
            refusal = self._explain_failure(error)
            self.close()
            if refusal is not None:
                # What a trace makes of an error may not be the error itself.
                raise refusal from (None if self._stopped else error)
            raise
        except BaseException:
            self.close()
            raise
        self._in_flight += 1
        return outputs

    def _decide(self, finished: bool) -> tuple[Exception | None, list[str]]:
        """Returns the error to raise, or `None`, and texts to warn with."""
        if self.report is None:
            return None, []
        if not self._total():
            return self._nothing_to_train()
        to_raise, to_warn = judging.decide(
            self.report,
            self.policy,
            finished=finished,
            unexplained=self._evidence.unexplained(),
        )
        texts = self._texts(to_warn)
        if finished and self.policy.on_missing != "ignore":
            texts += self._describe_uncalled()
        texts = [text for text in texts if text not in self._warned]
        self._warned.update(texts)
        return self._make_error(to_raise), texts

    def _texts(self, offenders: GradientReport) -> list[str]:
        """Returns the warnings about some records, but for those given."""
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
        texts = [
            describe(
                self.owner,
                GradientReport(tuple(records), offenders.batches),
                self._total(),
            )
            for records, describe in (
                ([r for r in new if r not in passing], message.describe),
                (passing, message.describe_passing_zeros),
            )
            if records
        ]
        paths = [record.path for record in self.report or ()]
        patterns = self.policy.unmatched(paths)
        if patterns:
            texts.append(
                message.describe_unmatched(self.owner, patterns, paths)
            )
        return texts

    def _describe_uncalled(self) -> list[str]:
        """Tells of layers that have no variables as nothing calls them."""
        found = [
            (layer, place)
            for layer, place in self._explainer.find_uncalled()
            if not self.policy.ignores(layer.name)
        ]
        return [message.describe_uncalled(self.owner, found)] if found else []

    def _total(self) -> int:
        """Returns how many variables are to be trained."""
        return len(self._evidence.variables())

    def _make_error(
        self, offenders: GradientReport
    ) -> GradientSanityError | None:
        """Returns the error about some records, `None` if there are none."""
        if not offenders.records:
            return None
        seen = [
            record
            for record in (self.report.zero if self.report else ())
            if record not in offenders.records
        ]
        return GradientSanityError(
            message.describe(
                self.owner, offenders, self._total(), seen=seen, raised=True
            ),
            self.report,
        )

    def _nothing_to_train(self) -> tuple[GradientSanityError | None, list[str]]:
        """Speaks up about a model of which everything is frozen."""
        raised = self.policy.on_missing == "raise"
        text = message.describe_all_frozen(
            self.owner, self._model.name, raised=raised
        )
        if raised:
            return GradientSanityError(text, self.report), []
        new = self.policy.on_missing == "warn" and text not in self._warned
        self._warned.add(text)
        return None, [text] if new else []

    def _judge_stale(self) -> tuple[GradientSanityError | None, list[str]]:
        """Speaks up about a step that was made for other variables."""
        added, removed = self._seam.added, self._seam.removed
        if added:
            self.report = self._evidence.refused(diagnoses.STRANGER, added)
            missing = GradientReport(self.report.missing, self.report.batches)
            if self.policy.on_missing == "raise" and missing.records:
                return self._make_error(missing), []
        paths = ([v.path for v in part] for part in (added, removed))
        return None, [message.describe_stale(self.owner, *paths)]

    def _admit_trouble(self) -> None:
        """Says once that something could not be explained."""
        trouble = self._explainer.trouble
        if trouble is not None and not self._said_trouble:
            self._said_trouble = True
            warnings.warn(
                message.describe_trouble(self.owner, trouble), stacklevel=3
            )

    def _give_up(self, error: BaseException) -> None:
        """Ends a check that cannot look, and lets the training go on."""
        warnings.warn(message.describe_trouble(self.owner, error), stacklevel=2)
        self.close()

    def _when_refused(
        self, diagnosis: Diagnosis, variables: Sequence[Any]
    ) -> None:
        """Stops a step in which an optimizer is about to refuse."""
        self._refusal = (diagnosis, variables)
        if self.policy.on_missing == "raise" and self._our(variables):
            self._stopped = True
            raise StopStep

    def _explain_failure(
        self, error: BaseException
    ) -> GradientSanityError | None:
        """Returns what to raise about a step that failed, if anything."""
        try:
            return self._refused(error)
        except Exception as trouble:
            if self._stopped:
                # The step would have failed by itself.
                return GradientSanityError(
                    message.describe_trouble(self.owner, trouble), self.report
                )
            return None

    def _refused(self, error: BaseException) -> GradientSanityError | None:
        """Reports a step that failed for want of gradients."""
        ours = self._model.trainable_variables
        says_so = tracers.load("tracer").says_nothing_is_connected
        if self._refusal is not None:
            diagnosis, variables = self._refusal
            self.report = self._evidence.refused(
                diagnosis, self._our(variables)
            )
        elif not self._observer.called and says_so(error):
            self.report = self._evidence.refused(diagnoses.CUT_LOSS, ours)
        elif self._seam.tracer.values_were_away:
            place = locate_frames("", traceback.extract_tb(error.__traceback__))
            causes = dict.fromkeys(
                map(id, ours), Cause(diagnoses.UNUSED, (place,))
            )
            self.report = self._evidence.failed(causes, ours)
        elif causes := self._explainer.failing(error):
            self.report = self._evidence.failed(
                causes, [v for v in ours if id(v) in causes]
            )
        else:
            return None
        offenders = self.report.missing
        if not offenders or self.policy.on_missing != "raise":
            return None
        return self._make_error(GradientReport(offenders, self.report.batches))

    def _our(self, variables: Sequence[Any]) -> list[Any]:
        """Returns those of `variables` that the model trains."""
        ours = {id(v) for v in self._model.trainable_variables}
        return [v for v in variables if id(v) in ours]
