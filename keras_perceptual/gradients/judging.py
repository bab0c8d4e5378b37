"""From statistics to statuses, and from statuses to what is done about it."""

import dataclasses
import fnmatch
from collections.abc import Collection, Iterable

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.report import GradientRecord, GradientReport
from keras_perceptual.gradients.statistics import GradientStatistics

POLICIES = ("raise", "warn", "ignore")
# The square of a larger number overflows in float32.
LARGEST = 2.0**63


@dataclasses.dataclass(frozen=True)
class Policy:
    """What to do about each kind of finding, and what to leave out."""

    steps: int = 3
    on_missing: str = "raise"
    on_zero: str = "auto"
    on_nonfinite: str = "raise"
    ignore: tuple[str, ...] = ()

    def ignores(self, path: str) -> bool:
        """Whether the variable at `path` is not to be judged."""
        return any(fnmatch.fnmatchcase(path, p) for p in self.ignore)

    def unmatched(self, paths: Iterable[str]) -> list[str]:
        """Returns the patterns to ignore that fit none of the variables."""
        return [p for p in self.ignore if not fnmatch.filter(paths, p)]


def judge_variable(
    statistics: GradientStatistics,
    *,
    handed: bool,
    connected: bool,
    stranger: bool = False,
) -> tuple[str, Diagnosis | None]:
    """Returns the status of one variable and the `Diagnosis`, if any.

    Args:
        statistics: The `GradientStatistics`.
        handed: Whether an optimizer was given the variable.
        connected: Whether it ever came with a gradient.
        stranger: Whether the optimizer was built for other variables.
    """
    if not statistics.calls:
        if stranger:
            return "missing", diagnoses.STRANGER
        if not handed:
            return "missing", diagnoses.NOT_HANDED
        if not connected:
            return "missing", diagnoses.NONE
        return "missing", diagnoses.NOT_RUN
    if statistics.nonfinite:
        return "nonfinite", None
    if statistics.overflowed == statistics.calls:
        return "nonfinite", diagnoses.SCALE_EXHAUSTED
    if statistics.norm > LARGEST:
        return "nonfinite", diagnoses.DIVERGED
    return ("ok" if statistics.nonzero else "zero"), None


def zeros_are_fatal(report: GradientReport) -> bool:
    """Whether zeros mean that nothing can learn, rather than a coincidence.

    They do where no variable at all was given a gradient other than zero, and
    where some are known to be there for good.
    """
    return bool(report.zero) and (
        not any(record.norm for record in report)
        or any(_diagnosis(record).permanent for record in report.zero)
    )


def _diagnosis(record: GradientRecord) -> Diagnosis:
    return diagnoses.find(record.reason, record.status)


def due_records(
    report: GradientReport, *, finished: bool, unexplained: Collection[str]
) -> dict[str, tuple[GradientRecord, ...]]:
    """Returns the records that can be judged now, by status.

    Args:
        report: The `GradientReport` so far.
        finished: Whether enough batches were seen, or no more will come.
        unexplained: Paths of the variables whose non-finite gradients dynamic
            loss scaling does not explain.
    """
    return {
        "missing": tuple(
            r for r in report.missing if finished or not _diagnosis(r).later
        ),
        "untracked": report.untracked,
        "zero": report.zero if finished else (),
        "nonfinite": tuple(
            r for r in report.nonfinite if finished or r.path in unexplained
        ),
    }


def decide(
    report: GradientReport,
    policy: Policy,
    *,
    finished: bool,
    unexplained: Collection[str] = (),
) -> tuple[GradientReport, GradientReport]:
    """Decides which records to raise about and which to warn about.

    Args:
        report: The `GradientReport` so far.
        policy: The `Policy` of the check.
        finished: Whether enough batches were seen, or no more will come.
        unexplained: Paths of the variables whose non-finite gradients dynamic
            loss scaling does not explain.

    Returns:
        Two reports, with the records to raise about and to warn about.
    """
    due = due_records(report, finished=finished, unexplained=unexplained)
    actions = {
        "missing": policy.on_missing,
        "untracked": policy.on_missing,
        "zero": policy.on_zero,
        "nonfinite": policy.on_nonfinite,
    }
    if policy.on_zero == "auto":
        actions["zero"] = "raise" if zeros_are_fatal(report) else "warn"
    to_raise, to_warn = [], []
    for status, records in due.items():
        for record in records:
            # The optimizer may run later, a loss may compare with a network
            # that is not meant to be trained, the loss scale may come down.
            certain = _diagnosis(record).certain and (
                status != "nonfinite" or record.path in unexplained
            )
            if actions[status] == "raise" and certain:
                to_raise.append(record)
            elif actions[status] != "ignore":
                to_warn.append(record)
    return (
        GradientReport(tuple(to_raise), report.batches),
        GradientReport(tuple(to_warn), report.batches),
    )
