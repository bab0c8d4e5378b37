"""The callback that records the gradients of a whole training run."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import keras

from keras_perceptual import _backend, event_file, validation
from keras_perceptual.configuration import Configured
from keras_perceptual.gradients.recorder import pictures, rules
from keras_perceptual.gradients.recorder.readings import Reading, Readings
from keras_perceptual.gradients.recorder.summaries import SummaryWriter
from keras_perceptual.typing import Logs, NonfinitePolicy, PathLike, Tensor
from keras_perceptual.validation import Checker

POLICIES = ("stop", "warn", "skip")
RULES = tuple(rule.name for rule in rules.RULES)
# Readings of a few variables take a gigabyte then.
MOST_KEPT = 1_000_000


@keras.saving.register_keras_serializable(package="keras_perceptual")
class GradientMonitor(Configured, keras.callbacks.Callback):
    """Records a training run, and finds the step and the line that break it.

    Every `every` steps it reads one training step: the norm of the gradient of
    each variable, the share of exact zeros in it, and how much the step changes
    the variable. Between two readings it keeps one copy of the state and the
    batches since then. If the loss or a weight becomes NaN or infinite, it runs
    these steps again and finds the one where that began, with the operation,
    the layer, the line of code and the samples of the batch. A run that does
    not break is the same as without the callback, to the last bit.

    Args:
        every: Integer. Every how many steps one is read, besides the first of
            `fit`, and the last of an epoch that has no other. Defaults to
            100.
        log_dir: A path, the folder for TensorBoard and for the steps that
            broke. Defaults to nowhere.
        keep: Integer. How many readings are kept, the last ones, a million at
            most. Defaults to 1000.
        on_nonfinite: `"stop"`, `"warn"` or `"skip"`. What to do where the
            loss or a weight is NaN or infinite. `"stop"` restores the model
            as it was before that step, and ends `fit`; `"skip"` restores it,
            goes on with the next batch and lists the step in `skipped`;
            `"warn"` changes nothing. All of them report what broke, the first
            time. Defaults to `"stop"`.
        rules: `"default"`, or a list of some of `"exploding"`, `"leaping"`,
            `"died"`, `"silent"`, `"rewritten"` and `"stalled"`: of what to
            warn at the end of an epoch. Defaults to all of them.
        max_bytes: Integer, how much memory the state and the batches may take,
            and how large each folder of a step may be. Where there is too
            little, no steps are kept. Defaults to 2 GiB.

    Attributes:
        readings: A list of the readings, the oldest first. Each has `step`,
            `epoch`, `loss`, `paths`, and an array with one number a variable
            in `norm`, `weights`, `update`, `zeros` and `finite`; `dead`, a
            dictionary from the layers that end in a ReLU to the share of their
            units that are zero for the whole batch; and `terms`, one from the
            terms of the loss to their values.
        skipped: A list of the numbers of the steps that were left out.
        incident_folder: The folder of the step that broke, `None` before one
            did. `keras_perceptual.replay` runs that step again.
        sign_folders: The folders of steps that showed something else, a
            dictionary: with a `log_dir`, the first of a `fit` that the rule
            `"exploding"`, `"leaping"`, `"silent"` or `"stalled"` speaks of.
        note: Why no steps are kept, `""` where they are.

    Raises:
        ImportError: If neither TensorFlow nor TensorBoard is installed, and
            there is a `log_dir`.
        ValueError: If an argument is not one of those above.

    Example:

    One sample of 64 breaks this run:

    >>> import warnings
    >>> import keras
    >>> import numpy as np
    >>> from keras_perceptual.callbacks import GradientMonitor
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.ones((64, 4)), np.ones((64, 1))
    >>> x[37] = np.nan
    >>> monitor = GradientMonitor(every=4)
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     history = model.fit(
    ...         x, y, batch_size=8, shuffle=False, verbose=0,
    ...         callbacks=[monitor],
    ...     )
    >>> lines = str(said[-1].message).splitlines()
    >>> [line for line in lines if "Sample" in line]
    ['Sample 5 of the batch does it alone.']
    >>> bool(np.isfinite(model.layers[0].kernel).all())
    True

    Reference:
        That one looks at norms, at the share of updates in the weights and at
        dead units is the advice of Stanford CS231n, "Babysitting the learning
        process". Each rule names its own source, in
        `keras_perceptual.gradients.recorder.rules`.

    Notes:
        A step is read without changing it: on PyTorch, and where it is eager,
        in the step itself; otherwise by a second program that is made of its
        graph and takes about as long as the step, since compilers round
        differently once something is read from the middle of a step. A
        training is traced once, as without.

        Steps are not kept where several devices of `tf.distribute` share a
        batch, nor for a callback that changes the model after each batch: the
        step that broke is then not known, only that one did. In a graph of
        `tf.distribute`, readings have the updates and no gradients.
        `train_on_batch` calls no callbacks.
    """

    def __init__(
        self,
        *,
        every: int = 100,
        log_dir: PathLike | None = None,
        keep: int = 1000,
        on_nonfinite: NonfinitePolicy = "stop",
        rules: Literal["default"] | Sequence[str] = "default",
        max_bytes: int = 2**31,
    ) -> None:
        super().__init__()
        check = Checker(self)
        self.every = check.integer("every", every, minimum=1)
        self.keep = check.integer("keep", keep, minimum=1, maximum=MOST_KEPT)
        self.on_nonfinite = check.choice("on_nonfinite", on_nonfinite, POLICIES)
        self.rules = _check_rules(check.owner, rules)
        self.max_bytes = check.integer("max_bytes", max_bytes, minimum=1)
        self.log_dir = log_dir
        if log_dir is not None:
            self.log_dir = check.folder(log_dir)
            event_file.check_installed()
        self._readings = Readings(self.keep)
        self._flight: Any = None
        self._function: Any = None
        self._writer: Any = None
        self._loop: Any = None
        self.skipped: list[int] = []
        self.incident_folder: Any = None
        self.sign_folders: dict[str, Any] = {}
        self.note: str = ""
        self._step = self._written = 0

    @property
    def readings(self) -> list[Reading]:
        """The readings, the oldest first."""
        return list(self._readings)

    def set_model(self, model: keras.Model | None = None) -> None:
        """Notes which train function the model has before it trains."""
        validation.check_object(
            GradientMonitor,
            self,
            "callbacks=[keras_perceptual.GradientMonitor()]",
        )
        super().set_model(model)
        self._function = getattr(model, "train_function", None)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Prepares the recording."""
        # What records is imported when it is needed, not with the package.
        from keras_perceptual.gradients.recorder.flight import Flight, Plan

        self._close()
        model = self.model
        plan = Plan(
            every=self.every,
            on_nonfinite=self.on_nonfinite,
            log_dir=self.log_dir if _backend.is_chief(model) else None,
            max_bytes=self.max_bytes,
            rules=self._chosen(),
        )
        self._flight = Flight(
            type(self).__name__,
            model,
            plan,
            self._readings,
            first_step=self._step,
            fresh=self._function is None,
        )
        self._function = model.train_function
        if plan.log_dir is not None:
            self._writer = SummaryWriter(type(self).__name__, plan.log_dir)

    # There is no `on_train_batch_end`: to have one would make JAX wait for
    # every step of the whole run. Nor is `self.model` looked at in a
    # batch, which has JAX write its state back.

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Notes the epoch."""
        self._flight.begin_epoch(epoch)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Has the batch recorded."""
        self._flight.begin_step(batch, self.params.get("steps"))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Says what needs attention, and writes what was read."""
        found = self._flight.end_epoch()
        if logs is not None:
            logs.update({k: v for k, v in found.items() if k in logs})
        self._take_over()
        self._write()
        if self._writer is not None:
            weights = self.model.trainable_variables
            self._writer.write_weights(weights, self._step)
        # What broke has been said, and shows other signs as well.
        if not self._flight.is_broken:
            self._point_out(epoch)

    def on_train_end(self, logs: Logs = None) -> None:
        """Ends the recording; what was read stays."""
        self._close()

    def watch(
        self,
        model: keras.Model,
        loss: Tensor,
        gradients: Sequence[Tensor | None],
        *,
        batch: Any = None,
        function: Callable[[Any], Tensor] | None = None,
        weights: Sequence[Tensor] | None = None,
        terms: Mapping[str, Tensor] | None = None,
        activations: Mapping[str, Tensor] | None = None,
    ) -> bool:
        """Records a step of a loop that is written by hand.

        Call it in each step, outside of what is compiled, and before the
        optimizer where the step leaves you the choice. Every `every` steps it
        reads; in the others it counts. `on_nonfinite="skip"` has it look at
        every step. What `update` says is what was added between this call and
        the next.

        Args:
            model: The model.
            loss: The loss, a scalar.
            gradients: The gradient of each of `model.trainable_variables`,
                without a loss scale; `None` for one that is missing.
            batch: The batch, what `function` is called with.
            function: Function of a batch that calls the model and returns the
                loss. With it, the operation, the line and the samples are
                found that break a step, and with a `log_dir`, the first such
                step is written to a folder for `keras_perceptual.replay`.
            weights: What the trainable variables hold, in a loop of JAX that
                keeps them itself. Defaults to the variables of the model.
            terms: The terms of the loss by name, scalars.
            activations: What layers that end in a ReLU return in this step,
                by name, batch first and with the channels where
                `keras.config.image_data_format` has them. Readings then have
                the share of dead units of each, and the rule `"silent"` goes
                by it.

        Returns:
            Whether to go on: `False` where the loss, a gradient or a weight is
            NaN or infinite, unless `on_nonfinite` is `"warn"`.

        Raises:
            ValueError: If there are not as many gradients as variables.
        """
        from keras_perceptual.gradients.recorder.loop import Given, Loop

        if self._loop is None or self._loop.model is not model:
            self._loop = Loop(
                type(self).__name__,
                model,
                every=self.every,
                policy=self.on_nonfinite,
                chosen=self._chosen(),
                readings=self._readings,
                log_dir=self.log_dir,
                most_bytes=self.max_bytes,
                first_step=self._step,
            )
        weights = list(weights or model.trainable_variables)
        goes_on: bool = self._loop.watch(
            Given(
                loss,
                gradients,
                weights,
                batch,
                function,
                terms or {},
                activations or {},
            )
        )
        self._step = self._loop.step
        self.incident_folder = self._loop.folder or self.incident_folder
        self.skipped, self._loop.skipped = self.skipped + self._loop.skipped, []
        if self.log_dir is not None and self._readings_are_new():
            if self._writer is None:
                name = type(self).__name__
                self._writer = SummaryWriter(name, self.log_dir)
            self._write()
        return goes_on

    def to_dataframe(self) -> Any:
        """Returns the readings as a table of pandas.

        Returns:
            A `pandas.DataFrame` with a row for each variable in each reading
            and the columns `step`, `epoch`, `loss`, `variable`, `norm`,
            `update`, `zeros` and `finite`.

        Raises:
            ImportError: If pandas is not installed.
        """
        return pictures.as_dataframe(self._readings)

    def plot(
        self,
        column: Literal["norm", "update", "zeros", "dead"] = "norm",
        axes: Any = None,
    ) -> Any:
        """Draws one kind of number over time, in color.

        Args:
            column: `"norm"`, `"update"` or `"zeros"` of variables, or `"dead"`,
                the share of dead units in layers. Norms and updates have a
                logarithmic color. Defaults to `"norm"`.
            axes: Matplotlib axes to draw on. Defaults to a new figure.

        Returns:
            The axes.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If there is no such column, or nothing was read.
        """
        return pictures.plot_readings(self._readings, column, axes)

    def __str__(self) -> str:
        """Returns a table of the last reading."""
        return pictures.as_text(self._readings)

    def _repr_html_(self) -> str:
        """Returns a table of the last reading for a notebook."""
        return pictures.as_html(self._readings)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Creates a callback from what `get_config` returned."""
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        """Returns what is kept of it in a file: not the training run."""
        gone = dict.fromkeys(
            ("_flight", "_function", "_writer", "_model", "_loop")
        )
        return {**vars(self), **gone}

    def _chosen(self) -> tuple[str, ...]:
        return RULES if self.rules == "default" else tuple(self.rules)

    def _readings_are_new(self) -> bool:
        return bool(self._readings) and self._readings[-1].step > self._written

    def _take_over(self) -> None:
        """Takes over what the recording knows."""
        flight = self._flight
        self._step, self.note = flight.step, flight.note
        self.skipped = self.skipped + flight.skipped
        flight.skipped = []
        self.incident_folder = flight.folder or self.incident_folder
        if flight.keeper is not None:
            self.sign_folders.update(flight.keeper.folders)

    def _close(self) -> None:
        """Lets go of the model."""
        if self._flight is None:
            return
        self._take_over()
        self._flight.close()
        self._flight = None
        self._write()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self) -> None:
        """Writes what was read since the last time for TensorBoard."""
        new = [r for r in self._readings if r.step > self._written]
        if self._writer is not None:
            self._writer.write(new)
        self._written = max([self._written, *(r.step for r in new)])

    def _point_out(self, epoch: int) -> None:
        """Warns of signs that were not warned of before."""
        from keras_perceptual.gradients.recorder import wording

        found = self._flight.signs.take()
        if found:
            keeper = self._flight.keeper
            text = wording.describe_signs(
                type(self).__name__,
                f"epoch {epoch}",
                found,
                keeper.folders if keeper else {},
                keeper.notes if keeper else {},
            )
            warnings.warn(text, stacklevel=validation.calls_to_user())


def _check_rules(
    owner: str, chosen: Literal["default"] | Sequence[str]
) -> Literal["default"] | tuple[str, ...]:
    """Returns the names of rules."""
    if chosen == "default":
        return "default"
    is_list = isinstance(chosen, (list, tuple))
    if not is_list or not all(name in RULES for name in chosen):
        raise ValueError(
            f'{owner} needs `rules` to be "default" or a list of some of '
            f"{list(RULES)}. Received: rules={validation.show(chosen)}"
        )
    return tuple(chosen)
