"""What is known of the gradients of a model, and the report of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_perceptual.gradients import diagnoses, judging, tracers
from keras_perceptual.gradients.causes import Cause, title_of
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.explain import Explainer
from keras_perceptual.gradients.judging import Policy
from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    find_owners,
    variables_of,
)
from keras_perceptual.gradients.observer import GradientObserver
from keras_perceptual.gradients.report import GradientRecord, GradientReport
from keras_perceptual.gradients.seam import Seam
from keras_perceptual.gradients.statistics import (
    GradientStatistics,
    ratio_of_norms,
    weight_norm,
)

# A variable, its status, and what is the matter with it.
Verdict: TypeAlias = tuple[Any, str, Diagnosis | None]

# A gradient that is smaller beside the weights is looked into, and one that is
# smaller beside the largest one.
FAINT = 1e-6
FAINT_BESIDE_OTHERS = 1e-5
# What else is found out about a variable with a gradient of zeros where the
# backend has zeros for none at all, but does not show that it has none.
CONNECTED = (
    diagnoses.NOT_ASKED,
    diagnoses.NOT_APPLIED,
)
# Why nothing but rounding errors may be left of a gradient.
ROUNDED = (diagnoses.CANCELS, diagnoses.SOFTMAX_OF_ONE)


class Evidence:
    """Collects what the watched steps of a model show.

    Args:
        model: The model being trained.
        seam: The `Seam` that watches its steps.
        observer: The `GradientObserver` of its optimizers.
        explainer: The `Explainer` of its steps.
        policy: The `judging.Policy`.

    Attributes:
        batches: How many batches were seen, without those that loss scaling
            skipped: they say nothing about zeros.
        statistics: The `GradientStatistics` so far, by the `id` of variables.
    """

    def __init__(
        self,
        model: keras.Model,
        seam: Seam,
        observer: GradientObserver,
        explainer: Explainer,
        policy: Policy,
    ) -> None:
        self.batches: int = 0
        self.statistics: dict[int, GradientStatistics] = {}
        self._model = model
        self._seam = seam
        self._observer = observer
        self._explainer = explainer
        self._policy = policy
        self._trained = list(model.trainable_variables)
        self._overflows = 0
        self._values: dict[int, np.ndarray] = {}
        self._causes: dict[int, Cause] = {}
        self._looked_into: set[int] = set()
        self._weight_norms: dict[int, float] = {}
        self._untracked: tuple[GradientRecord, ...] | None = None

    def variables(self) -> list[Any]:
        """Returns what the model trains, or did when the training began."""
        both = [*self._model.trainable_variables, *self._trained]
        return list({id(v): v for v in both}.values())

    def gather(self, steps: int) -> None:
        """Reads what some more steps have left."""
        rows = self._seam.tracer.read()
        self.statistics = {
            key: GradientStatistics.from_row(row) for key, row in rows.items()
        }
        overflows = max(
            (s.overflowed for s in self.statistics.values()), default=0
        )
        self.batches += max(steps - overflows + self._overflows, 0)
        self._overflows = overflows
        self._explainer.forget()

    def unexplained(self) -> set[str]:
        """Returns the paths of what is not finite for no good reason."""
        return {
            v.path
            for v in self.variables()
            if self._of(v).nonfinite or self._of(v).norm > judging.LARGEST
        }

    def is_content(self, report: GradientReport) -> bool:
        """Whether later batches can tell of nothing but NaN in the weights.

        Where each value of a gradient is clipped, infinity leaves none.
        """
        return (
            all(record.status == "ok" for record in report)
            and not self.unexplained()
            and not any(
                getattr(optimizer, "clipvalue", None)
                for optimizer in find_optimizers(self._model)
            )
        )

    def judge(self, *, finished: bool) -> GradientReport:
        """Returns the `GradientReport` so far.

        Args:
            finished: Whether no more batches are to be looked at.
        """
        if self._untracked is None:
            self._untracked = self._find_untracked()
        owners = find_owners(self._model)
        stranger = self._has_stranger()
        verdicts = [(v, *self._judge(v, stranger)) for v in self.variables()]
        self._look_for_causes(verdicts, owners, finished)
        return GradientReport(
            tuple(self._make_record(*v, owners) for v in verdicts)
            + self._untracked,
            max(self.batches, 1),
        )

    def refused(
        self, diagnosis: Diagnosis, variables: Sequence[Any]
    ) -> GradientReport:
        """Returns the report of a step that an optimizer refused."""
        self._explainer.forget()
        if diagnosis.general:
            self._explain(self._explainer.missing, variables)
        elif diagnosis is diagnoses.STRANGER:
            self._explain(self._explainer.strangers, variables)
        owners = find_owners(self._model)
        return GradientReport(
            tuple(
                self._make_record(v, "missing", diagnosis, owners)
                for v in variables
            ),
            self.batches + 1,
        )

    def failed(
        self, causes: dict[int, Cause], variables: Sequence[Any]
    ) -> GradientReport:
        """Returns the report of a step that failed in a gradient."""
        self._causes |= causes
        return self.refused(diagnoses.FAILS, variables)

    def _of(self, variable: Any) -> GradientStatistics:
        return self.statistics.get(id(variable), GradientStatistics())

    def _judge(
        self, variable: Any, stranger: bool
    ) -> tuple[str, Diagnosis | None]:
        """Returns the status of a variable and the `Diagnosis`, if any."""
        observer = self._observer
        status, diagnosis = judging.judge_variable(
            self._of(variable),
            handed=id(variable) in observer.handed,
            connected=id(variable) in observer.connected,
            stranger=stranger,
        )
        if diagnosis is diagnoses.NONE and self._has_changed(variable):
            return status, diagnoses.WRITTEN
        if diagnosis is not diagnoses.NOT_HANDED:
            return status, diagnosis
        if self._has_changed(variable):
            return "ok", None
        if not any(v is variable for v in self._model.trainable_variables):
            return status, diagnoses.FROZEN_IN_STEP
        if self._waits_for_an_optimizer():
            return status, diagnoses.NOT_RUN
        return status, diagnosis

    def _look_for_causes(
        self,
        verdicts: Sequence[Verdict],
        owners: Mapping[int, Any],
        finished: bool,
    ) -> None:
        """Finds out more about what is not as it should be."""
        for variable, status, _ in verdicts:
            cause = self._causes.get(id(variable))
            skipped = cause and cause.diagnosis is diagnoses.SKIPPED
            if skipped and status != "missing":
                # Its turn has come.
                del self._causes[id(variable)]

        def those(wanted: Callable[[Any, str, Any], Any]) -> list[Any]:
            return [
                v for v, status, found in verdicts if wanted(v, status, found)
            ]

        self._explain(
            self._explainer.missing,
            those(
                lambda v, status, found: (
                    status == "missing"
                    and found.general
                    and (finished or not found.later)
                )
            ),
        )
        if finished:
            self._explain(
                self._explainer.not_run,
                those(lambda v, status, found: found is diagnoses.NOT_RUN),
            )
        self._explain(
            self._explainer.frozen,
            those(lambda v, _, found: found is diagnoses.FROZEN_IN_STEP),
        )
        zero = those(lambda v, status, _: status == "zero")
        if self._seam.tracer.zeros_for_none:
            self._explain(
                self._explainer.missing,
                [v for v in zero if id(v) not in self._looked_into],
                lambda cause: cause.diagnosis not in CONNECTED,
            )
            self._looked_into.update(map(id, zero))
        penalized = those(
            lambda v, status, _: (
                status == "ok"
                and self._of(v).only_penalized
                and (finished or id(v) not in self._looked_into)
            )
        )
        self._explain(
            self._explainer.penalized,
            penalized,
            # The next batch may take another branch.
            lambda cause: (
                finished or cause.diagnosis is not diagnoses.CUT_IN_BRANCH
            ),
        )
        self._looked_into.update(map(id, penalized))
        self._explain(
            self._explainer.nonfinite,
            those(lambda v, *_: self._of(v).nonfinite),
        )
        self._explain(
            self._explainer.diverged,
            those(lambda _, __, d: d is diagnoses.DIVERGED),
        )
        if finished:
            self._explain(self._explainer.zeros, zero)
            self._explain(
                self._explainer.zeros,
                self._faint(verdicts, owners),
                lambda cause: cause.diagnosis in ROUNDED,
            )

    def _explain(
        self,
        explain: Callable[[Sequence[Any]], dict[int, Cause]],
        variables: Sequence[Any],
        accept: Callable[[Cause], bool] = lambda cause: True,
    ) -> None:
        """Adds the causes of some variables that have none yet."""
        wanted = [v for v in variables if id(v) not in self._causes]
        if wanted:
            self._causes |= {
                key: cause
                for key, cause in explain(wanted).items()
                if accept(cause)
            }

    def _faint(
        self, verdicts: Sequence[Verdict], owners: Mapping[int, Any]
    ) -> list[Any]:
        """Returns variables whose gradients are next to zero.

        Where a layer has others that are not, nothing is wrong with what is
        added: rounding is all that reaches a bias before a normalization.
        """
        given = {
            id(v): (v, self._of(v).norm)
            for v, status, _ in verdicts
            if status == "ok" and self._of(v).norm
        }
        noise = FAINT_BESIDE_OTHERS * max(
            (norm for _, norm in given.values()), default=0.0
        )
        faint, lively = [], set()
        for key, (variable, norm) in given.items():
            weights = max(self._weight_norm(variable), 1.0)
            if norm <= max(FAINT * weights, noise):
                faint.append(variable)
            else:
                lively.add(id(owners.get(key)))
        return [
            v
            for v in faint
            if not (_is_added(v) and id(owners.get(id(v))) in lively)
        ]

    def _find_untracked(self) -> tuple[GradientRecord, ...]:
        """Returns records of variables that the model does not know of."""
        records = []
        for variable, place in self._explainer.find_untracked():
            path = tracers.load("tracer").name_of(variable)
            shape = tuple(variable.shape)
            # A number that no layer made may be changed by hand.
            is_setting = not isinstance(variable, keras.Variable) and not shape
            certain = place.layer and not is_setting
            diagnosis = diagnoses.UNTRACKED if certain else diagnoses.UNTRAINED
            ignored = self._policy.ignores(path)
            records.append(
                GradientRecord(
                    path=path,
                    status="ignored" if ignored else "untracked",
                    shape=shape,
                    layer=place.layer,
                    layer_class=place.layer_class,
                    reason=diagnosis.title,
                    culprits=(place,),
                )
            )
        return tuple(records)

    def _make_record(
        self,
        variable: Any,
        status: str,
        diagnosis: Diagnosis | None,
        owners: Mapping[int, Any],
    ) -> GradientRecord:
        cause = self._causes.get(id(variable), Cause(diagnosis))
        if cause.diagnosis is not None:
            status = cause.diagnosis.status
        ignored = status != "ok" and self._policy.ignores(variable.path)
        norm = self._of(variable).finite_norm
        owner = owners.get(id(variable))
        return GradientRecord(
            path=variable.path,
            status="ignored" if ignored else status,
            norm=norm,
            ratio=(
                None
                if norm is None
                else ratio_of_norms(norm, self._weight_norm(variable))
            ),
            shape=tuple(variable.shape),
            layer=getattr(owner, "name", ""),
            layer_class="" if owner is None else type(owner).__name__,
            reason=title_of(cause.diagnosis),
            culprits=cause.places,
            note=cause.note,
        )

    def _weight_norm(self, variable: Any) -> float:
        """Returns the norm of the weights when they were first looked at."""
        if id(variable) not in self._weight_norms:
            self._weight_norms[id(variable)] = weight_norm(variable)
        return self._weight_norms[id(variable)]

    def _has_stranger(self) -> bool:
        """Whether an optimizer trains in place of these variables others."""
        # A step may freeze some for a while, as that of a GAN.
        ours = {id(v) for v in (*self.variables(), *self._model.variables)}
        trained = (
            {id(v) for v in variables_of(optimizer)}
            for optimizer in self._observer.called
        )
        # One that is not built knows of no variables yet.
        return any(others and not ours & others for others in trained)

    def _has_changed(self, variable: Any) -> bool:
        """Whether a variable changes without an optimizer of Keras."""
        value = tracers.load("variable_values").read_value(variable)
        before = self._seam.moment.values or {}
        former = self._values.setdefault(
            id(variable), np.array(before.get(id(variable), value))
        )
        return not np.array_equal(former, value, equal_nan=True)

    def _waits_for_an_optimizer(self) -> bool:
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


def _is_added(variable: Any) -> bool:
    """Whether a variable looks like one that a layer adds."""
    return len(variable.shape) < 2 or "bias" in variable.path.split("/")[-1]
