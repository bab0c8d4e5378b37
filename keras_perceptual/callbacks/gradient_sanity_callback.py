"""The callback that checks whether every weight receives a gradient."""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np

from keras_perceptual import event_file, validation
from keras_perceptual.configuration import Configured
from keras_perceptual.gradients import judging, message, summaries
from keras_perceptual.gradients.report import GradientReport
from keras_perceptual.typing import GradientPolicy, Logs, PathLike, ZeroPolicy
from keras_perceptual.validation import Checker


@keras.saving.register_keras_serializable(package="keras_perceptual")
class GradientSanityCallback(Configured, keras.callbacks.Callback):
    """Stops a training run in which weights cannot learn, and says which.

    During the first batches of `fit` it looks at the gradients that the
    training step hands to its optimizers: of the very steps that train the
    model, whether they run eagerly, in a graph or compiled, in a custom
    `train_step`, in mixed precision or with several optimizers. It raises a
    `GradientSanityError` where a trainable variable has no gradient, where
    NaN or infinity is in it, or where nothing in the model receives any other
    gradient than zero; also where a layer computes with weights that the model
    does not know of. The error names what is to blame, if that can be found
    out: an operation without a gradient, a layer that is not called, an output
    without a loss, with the layer and the line of code. After the checked
    batches it takes itself out, and training continues as it would without.

    Args:
        steps: Integer. How many batches a zero may last before it is judged;
            a missing gradient is judged after the first batch. Zeros are
            ordinary at the beginning, for instance below a layer whose
            kernel starts at zero. Defaults to 3.
        on_missing: `"raise"`, `"warn"` or `"ignore"`. What to do about
            trainable variables without a gradient. Defaults to `"raise"`.
        on_zero: `"auto"`, `"raise"`, `"warn"` or `"ignore"`. What to do about
            gradients that are zero everywhere in all checked batches.
            `"auto"` raises where no variable of the model received any other,
            and where no batch can end them, as with a layer that is dead; it
            warns otherwise. Defaults to `"auto"`.
        on_nonfinite: `"raise"`, `"warn"` or `"ignore"`. What to do about NaN
            and infinity. An overflow that dynamic loss scaling answers by
            lowering the scale does not count. Defaults to `"raise"`.
        ignore: A pattern or a list of patterns, as in
            `fnmatch`, of the paths of variables that are not to be judged,
            for example `"*/key/bias"`. Defaults to none.
        log_dir: A path, the folder in which the report is written for
            TensorBoard when the check ends, whatever it found: norms, ratios
            and the table. TensorFlow or TensorBoard writes it. Defaults to
            nowhere.

    Attributes:
        report: The `GradientReport` of the last `fit`, or `None` before the
            first batch. `print(callback.report)` shows a table.

    Raises:
        ImportError: If neither TensorFlow nor TensorBoard is installed, and
            there is a `log_dir`.
        ValueError: If an argument is not one of those above.
        GradientSanityError: During `fit`, as described. Its `.report` holds
            what is known of every variable. It is a `ValueError`.

    Example:

    A layer that is built but left out of the computation:

    >>> import keras
    >>> import numpy as np
    >>> from keras_perceptual.callbacks import GradientSanityCallback
    >>> from keras_perceptual.gradients import GradientSanityError
    >>> inputs = keras.Input((4,))
    >>> used = keras.layers.Dense(1, name="used")(inputs)
    >>> probe = keras.layers.Dense(1, name="probe")(inputs)
    >>> model = keras.Model(inputs, {"used": used, "probe": probe})
    >>> model.compile(loss={"used": "mse"})
    >>> x = np.random.default_rng(0).normal(size=(8, 4))
    >>> y = x[:, :1] ** 2
    >>> try:
    ...     history = model.fit(
    ...         x,
    ...         {"used": y, "probe": y},
    ...         verbose=0,
    ...         callbacks=[GradientSanityCallback()],
    ...     )
    ... except GradientSanityError as error:
    ...     print([record.path for record in error.report.missing])
    ['probe/kernel', 'probe/bias']

    Reference:
        The idea of looking at gradients before a long training is that of
        mltest (Chase Roberts, 2017) and torchtest (Suriyadeepan Ramamoorthy,
        2018). They compare weights before and after one step on a batch of
        their own; here the gradients of the real steps are looked at, which
        tells weights that cannot learn from those that did not happen to.

    Notes:
        The error is raised after the first update of the weights, unless an
        optimizer would have refused that update. Under JAX a variable without
        a gradient receives zeros; it counts as missing where the traced step
        shows that these depend on nothing, which needs a step that JAX can
        trace. Variables that a step trains without an optimizer of Keras are
        accepted if their values change. A training step is traced once, as
        without the check; once more only to explain what is wrong.

        `train_on_batch` calls no callbacks. In a loop of it, call
        `keras_perceptual.check_gradients(model, x, y)` before the first batch.
    """

    def __init__(
        self,
        *,
        steps: int = 3,
        on_missing: GradientPolicy = "raise",
        on_zero: ZeroPolicy = "auto",
        on_nonfinite: GradientPolicy = "raise",
        ignore: Sequence[str] = (),
        log_dir: PathLike | None = None,
    ) -> None:
        super().__init__()
        check = Checker(self)
        self.steps = check.integer("steps", steps, minimum=1)
        policies = judging.POLICIES
        self.on_missing = check.choice("on_missing", on_missing, policies)
        self.on_zero = check.choice("on_zero", on_zero, ("auto", *policies))
        self.on_nonfinite = check.choice("on_nonfinite", on_nonfinite, policies)
        self.ignore = _check_patterns(check.owner, ignore)
        self.log_dir = log_dir
        if log_dir is not None:
            self.log_dir = check.folder(log_dir)
            event_file.check_installed()
        self._check: Any = None
        self._function = None
        self._said_late = False

    def set_model(self, model: keras.Model | None = None) -> None:
        """Notes which train function the model has before it trains."""
        validation.check_object(
            GradientSanityCallback,
            self,
            "callbacks=[keras_perceptual.GradientSanityCallback()]",
        )
        super().set_model(model)
        self._function = getattr(model, "train_function", None)

    @property
    def report(self) -> GradientReport | None:
        """The `GradientReport` of the last `fit`, `None` before a batch."""
        return None if self._check is None else self._check.report

    def on_train_begin(self, logs: Logs = None) -> None:
        """Prepares the check."""
        # What explains is imported when it is needed, not with the package.
        from keras_perceptual.gradients.fit_check import FitCheck

        self._check = None
        self._said_late = False
        self._check = FitCheck(
            type(self).__name__,
            self.model,
            judging.Policy(
                steps=self.steps,
                on_missing=self.on_missing,
                on_zero=self.on_zero,
                on_nonfinite=self.on_nonfinite,
                ignore=self.ignore,
            ),
            # One that the model did not have before is traced by nobody yet.
            fresh=self._function is None,
            when_done=self._write_summaries,
        )
        self._function = self.model.train_function

    # There is no `on_train_batch_end`: to have one would make JAX wait for
    # every step of the whole run.

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Judges the batch before, and has this one watched."""
        if self._check.active:
            self._collect()
        if self._check.active:
            self._check.arm()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Judges the last batch of the epoch, and looks at its loss."""
        if self._check.active:
            self._collect()
        self._look_at_loss(epoch, logs or {})

    def on_train_end(self, logs: Logs = None) -> None:
        """Judges what is left to judge."""
        if self._check.active:
            self._collect(last=True)

    def _collect(self, last: bool = False) -> None:
        # Has JAX put the values of the variables back in their place.
        _ = self.model
        self._check.collect(last=last)

    def _look_at_loss(self, epoch: int, logs: dict[str, Any]) -> None:
        """Says once that the loss broke where no gradient did."""
        try:
            broken = not np.isfinite(float(logs.get("loss", 0.0)))
        except (TypeError, ValueError):
            return
        report = self.report
        # Where the check found it, it has spoken.
        if report is None or report.nonfinite or self.on_nonfinite == "ignore":
            return
        if broken and not self._said_late:
            self._said_late = True
            warnings.warn(
                message.describe_late_nan(type(self).__name__, epoch, report),
                stacklevel=2,
            )

    def _write_summaries(self, report: GradientReport) -> None:
        """Writes the report for TensorBoard, if asked to."""
        if self.log_dir is None:
            return
        # A full disk must neither end the run nor hide what was found.
        try:
            summaries.write_summaries(report, self.log_dir)
        except Exception as error:
            warnings.warn(
                f"{type(self).__name__} could not write its report for "
                "TensorBoard. Make sure that the folder can be written to; "
                "`.report` holds the same. Received: "
                f"log_dir={self.log_dir!r}, {error!r}",
                stacklevel=2,
            )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Creates a callback from what `get_config` returned."""
        return cls(**config)


def _check_patterns(owner: str, ignore: Sequence[str]) -> tuple[str, ...]:
    """Returns the patterns as a tuple of strings."""
    if isinstance(ignore, str):
        ignore = (ignore,)
    is_collection = isinstance(ignore, (list, tuple, set, frozenset))
    if not is_collection or not all(
        isinstance(pattern, str) and pattern for pattern in ignore
    ):
        raise ValueError(
            f"{owner} needs `ignore` to be a pattern of variable paths or a "
            "list of such patterns, for example `['head/*', '*/key/bias']`. "
            f"Received: ignore={validation.show(ignore)}"
        )
    return tuple(ignore)
