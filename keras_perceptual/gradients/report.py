"""What a gradient check found out, one record for each variable."""

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Any

from keras_perceptual.gradients import message, plots, tables
from keras_perceptual.gradients.places import Place

STATUSES = ("ok", "missing", "zero", "nonfinite", "untracked", "ignored")


@dataclasses.dataclass(frozen=True)
class GradientRecord:
    """What is known about the gradient of one variable.

    Attributes:
        path: The path of the variable, as in `variable.path`.
        status: `"ok"`, `"missing"` (there is no gradient), `"zero"` (it was
            zero everywhere in every checked batch), `"nonfinite"` (it held
            NaN or infinity), `"untracked"` (the step computes with it, but
            the model does not know of it and nothing trains it) or
            `"ignored"` (the caller asked not to judge it).
        norm: The largest Euclidean norm among the gradients that were given,
            without the loss scale of mixed precision; `None` where none
            was, or none was finite.
        shape: The shape of the variable.
        layer: The name of the layer that the variable belongs to.
        layer_class: The name of the class of that layer.
        reason: What is the matter, in a few words that stay the same, such
            as `"cut off from the loss"`; `""` where no more is known than the
            status.
        culprits: Where it got lost, if that is known: a tuple of `Place`, the
            most likely one first.
        ratio: `norm` divided by the norm of the weights as they were when
            first looked at; `None` where there is none, or no weight.
        note: One sentence of particulars, such as which part of the data
            holds NaN, or `""`.

    Example:

    >>> from keras_perceptual.gradients import GradientRecord
    >>> record = GradientRecord("hidden/bias", "zero", 0.0, (8,), "hidden")
    >>> record.status
    'zero'
    >>> record.culprit is None
    True
    """

    path: str
    status: str
    norm: float | None = None
    shape: tuple[int, ...] = ()
    layer: str = ""
    layer_class: str = ""
    reason: str = ""
    culprits: tuple[Place, ...] = ()
    ratio: float | None = None
    note: str = ""

    @property
    def culprit(self) -> Place | None:
        """The most likely `Place`, or `None` where none is known."""
        return self.culprits[0] if self.culprits else None

    @property
    def source(self) -> str:
        """Its file and line, such as `"train.py:41"`, or `""`."""
        return self.culprits[0].source if self.culprits else ""


@dataclasses.dataclass(frozen=True)
class GradientReport:
    """The outcome of a gradient check. Printed, it is a table.

    Attributes:
        records: A tuple of `GradientRecord`, in the order of the model's
            trainable variables, and behind them one for each variable that
            the model should train but does not know of.
        batches: How many batches were looked at.
        of_function: Whether it is about a function rather than the training
            step of a model.

    Example:

    >>> from keras_perceptual.gradients import GradientRecord, GradientReport
    >>> report = GradientReport(
    ...     records=(
    ...         GradientRecord("hidden/kernel", "ok", 0.25, (4, 8), "hidden"),
    ...         GradientRecord("hidden/bias", "zero", 0.0, (8,), "hidden"),
    ...     ),
    ...     batches=3,
    ... )
    >>> [record.path for record in report.zero]
    ['hidden/bias']
    >>> report["hidden/kernel"].norm
    0.25
    >>> print(report)
    Gradients after 3 batches: 1 ok, 1 zero
    variable       shape   layer      status  norm  ratio
    hidden/kernel  (4, 8)  hidden ()  ok      0.25  -
    hidden/bias    (8,)    hidden ()  zero    0     -
    """

    records: tuple[GradientRecord, ...] = ()
    batches: int = 0
    of_function: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def ok(self) -> tuple[GradientRecord, ...]:
        """The records of variables with a gradient that is not zero."""
        return self.with_status("ok")

    @property
    def missing(self) -> tuple[GradientRecord, ...]:
        """The records of variables without a gradient."""
        return self.with_status("missing")

    @property
    def zero(self) -> tuple[GradientRecord, ...]:
        """The records of variables whose gradient was zero everywhere."""
        return self.with_status("zero")

    @property
    def nonfinite(self) -> tuple[GradientRecord, ...]:
        """The records of variables with NaN or infinity in the gradient."""
        return self.with_status("nonfinite")

    @property
    def untracked(self) -> tuple[GradientRecord, ...]:
        """The records of variables that the model does not know of."""
        return self.with_status("untracked")

    @property
    def ignored(self) -> tuple[GradientRecord, ...]:
        """The records of variables that were not to be judged."""
        return self.with_status("ignored")

    def with_status(self, status: str) -> tuple[GradientRecord, ...]:
        """Returns the records of one status, as a tuple."""
        return tuple(r for r in self.records if r.status == status)

    def with_path(self, path: str) -> tuple[GradientRecord, ...]:
        """Returns the records of all variables that have a path, as a tuple.

        Mostly there is one. Keras lets layers have the same name, and then
        variables have the same path.
        """
        return tuple(r for r in self.records if r.path == path)

    def __iter__(self) -> Iterator[GradientRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, path: str) -> GradientRecord:
        """Returns the record of a variable, of several the first."""
        found = self.with_path(path)
        if found:
            return found[0]
        paths = [record.path for record in self.records]
        close = difflib.get_close_matches(str(path), paths, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise KeyError(
            f"The report has no variable of this path, as in `variable.path`. "
            f"{hint}Received: {path!r}"
        )

    def __str__(self) -> str:
        return tables.as_text(self)

    def _repr_html_(self) -> str:
        return tables.as_html(self)

    def explain(self) -> str:
        """Returns what is the matter, where, and how to mend it, as text.

        Example:

        >>> from keras import Variable, ops
        >>> from keras_perceptual.gradients import check_gradients
        >>> scale = Variable(2.0, name="scale")
        >>> report = check_gradients(lambda: ops.round(scale), [scale])
        >>> "staircase" in report.explain()
        True
        """
        return message.explain(self)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as dictionaries, lists, texts and numbers."""
        return {
            "batches": self.batches,
            "records": [
                {
                    **dataclasses.asdict(record),
                    "shape": list(record.shape),
                    "culprits": [
                        dataclasses.asdict(place) for place in record.culprits
                    ],
                    "source": record.source,
                }
                for record in self.records
            ],
        }

    def to_dataframe(self) -> Any:
        """Returns a `pandas.DataFrame` with a row for each variable.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "`to_dataframe` needs pandas. Install it, for example by `pip "
                f"install pandas`, or use `to_dict`. Received: {error}"
            ) from error
        table = pandas.DataFrame(self.to_dict()["records"])
        table["culprits"] = [
            "; ".join(map(str, record.culprits)) for record in self
        ]
        return table

    def plot(self, axes: Any = None) -> Any:
        """Draws the norms of the gradients, in the order of the variables.

        Args:
            axes: Matplotlib axes to draw on. Defaults to a new figure.

        Returns:
            The axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return plots.plot_report(self, axes)
