"""One recorded training: where the recorder meets the trainer of Keras."""

import contextlib
import dataclasses
import warnings
from typing import Any

import keras

from keras_perceptual.gradients import message
from keras_perceptual.gradients.recorder import blame, incident, wording
from keras_perceptual.gradients.recorder.incident import Incident
from keras_perceptual.gradients.recorder.keeper import Keeper
from keras_perceptual.gradients.recorder.reader import Reader
from keras_perceptual.gradients.recorder.readings import Readings, to_records
from keras_perceptual.gradients.recorder.signs import Signs
from keras_perceptual.gradients.recorder.window import Retaken, Window
from keras_perceptual.typing import PathLike
from keras_perceptual.validation import calls_to_user


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a recorder is to do, the arguments of `GradientMonitor`."""

    every: int
    on_nonfinite: str
    log_dir: PathLike | None
    max_bytes: int
    rules: tuple[str, ...] = ()


class Flight:
    """Records one `fit` of a model.

    It stands in the place of the train function, which it calls. Nothing that
    goes wrong in it ends the training: it then says so and takes itself out.

    Args:
        owner: The name of the object that records, for messages.
        model: The model.
        plan: The `Plan`.
        readings: The `Readings` to add to.
        first_step: How many steps the model was recorded for before.
        fresh: Whether nobody has traced the train function of the model yet.

    Attributes:
        step: How many steps there were.
        skipped: The numbers of the steps that were left out.
        is_broken: Whether a step broke the training.
        signs: The `Signs` that it has shown.
        incident: The `Incident` of the first step that broke, or `None`.
        folder: Where it was written, or `None`.
        keeper: The `Keeper` of steps that showed a sign, `None` of a recording
            that could not begin.
    """

    def __init__(
        self,
        owner: str,
        model: keras.Model,
        plan: Plan,
        readings: Readings,
        *,
        first_step: int = 0,
        fresh: bool = False,
    ) -> None:
        self.owner = owner
        self.step: int = first_step
        self.skipped: list[int] = []
        self.incident: Incident | None = None
        self.folder: Any = None
        self._first_step = first_step
        self._model: Any = model
        self._plan = plan
        self._readings = readings
        self.signs: Signs = Signs(plan.rules, readings)
        self._history = getattr(model, "history", None)
        self._epoch = 0
        self._is_last = self._looked = self._was_read = False
        self._is_lost = False
        self._message = ""
        self.is_broken: bool = False
        self._was_taken = True
        self._shown: dict[str, list[str]] = {}
        self.keeper: Keeper | None = None
        self._reader: Any = None
        self._window: Any = None
        try:
            self._reader = Reader(model, fresh=fresh)
            self._window = Window(self._reader.steps, plan.max_bytes)
            self.keeper = Keeper(
                model,
                self._reader,
                self._window,
                readings,
                plan.log_dir,
                plan.max_bytes,
            )
        except Exception as error:
            self.give_up(error)

    @property
    def active(self) -> bool:
        """Whether it still records."""
        return self._model is not None

    @property
    def _records(self) -> bool:
        """Whether steps are to be kept: what broke is found once."""
        if self._is_lost:
            return False
        return not self.is_broken or self._plan.on_nonfinite == "skip"

    @property
    def note(self) -> str:
        """Why no steps are kept, or `""`."""
        return self._window.note if self._window is not None else ""

    def begin_epoch(self, epoch: int) -> None:
        """Notes the epoch that begins, in which metrics start anew."""
        self._epoch, self._was_read = epoch, False
        if self._window is not None:
            self._window.close()

    def begin_step(self, batch: int, steps: int | None) -> None:
        """Has the next step recorded, unless somebody else watches it.

        Args:
            batch: How many batches of the epoch came before it.
            steps: How many the epoch has, `None` where it is not known.
        """
        if not self.active:
            return
        if not self._was_taken:
            # Somebody else took the step before.
            self.step += self._model.steps_per_execution
            self._window.close()
        each = self._model.steps_per_execution
        self._is_last = steps is not None and batch + each >= steps
        self._was_taken = False
        if self._model.train_function is self._reader.function:
            self._model.train_function = self._take

    def end_epoch(self) -> dict[str, Any]:
        """Looks at the steps since the last look, and returns new logs."""
        if not self.active or not self._window.is_open or self._looked:
            return {}
        logs: dict[str, Any] = {}
        try:
            if self._reader.is_broken(None, ()):
                self._settle(None, ())
                if self._plan.on_nonfinite != "warn":
                    logs = dict(self._model.get_metrics_result())
        except Exception as error:
            self.give_up(error)
        self._speak()
        return logs

    def close(self) -> None:
        """Takes itself out."""
        if self._model is not None and self._reader is not None:
            if self._model.train_function == self._take:
                self._model.train_function = self._reader.function
            self._window.close()
        self._model = self._reader = self._window = None

    def give_up(self, error: BaseException) -> None:
        """Ends a recording that cannot go on, and lets the training go on."""
        warnings.warn(
            message.describe_trouble(self.owner, error),
            stacklevel=calls_to_user(),
        )
        self.close()

    def _take(self, *arguments: Any) -> Any:
        """Takes a step, in the place of the train function."""
        model, reader = self._model, self._reader
        if getattr(model, "history", None) is not self._history:
            # Left over from a `fit` that was interrupted.
            function = reader.function
            self.close()
            return function(*arguments)
        self._was_taken, self._looked = True, False
        count = model.steps_per_execution
        self.step += count
        done = self.step - self._first_step
        every = self._plan.every
        is_due = done == count or done // every > (done - count) // every
        before = None
        try:
            if not self._window.is_open and self._records:
                self._window.open(arguments)
            # Each epoch has a reading at least, to speak of at its end. Where
            # no steps are kept, only a reading shows what broke.
            if is_due or (
                self._is_last and not (self._was_read and self._window.is_open)
            ):
                self._was_read = True
                before, arguments = reader.prepare(arguments)
            arguments = self._window.hear(arguments)
        except Exception as error:
            self.give_up(error)
        if not self.active:
            return reader.function(*arguments)
        try:
            take = reader.function if before is None else reader.taking
            outputs = take(*arguments)
        except BaseException:
            # Such as that there is no batch any more.
            self.step -= count
            self._window.unhear()
            raise
        if before is None:
            # Before validation and other callbacks see what broke.
            is_looked_at = self._window.is_full or self._is_last
            if not (self._window.is_open and is_looked_at):
                return outputs
            arguments = reader.steps.after(outputs, arguments)
            return self._look(outputs, arguments, None)
        arguments = reader.steps.after(outputs, arguments)
        try:
            reading = reader.read(
                before, outputs, arguments, self.step, self._epoch
            )
            self._readings.add(reading)
            self._shown = self.signs.look()
        except Exception as error:
            self.give_up(error)
            return outputs
        return self._look(outputs, arguments, reading)

    def _look(
        self, outputs: Any, arguments: tuple[Any, ...], reading: Any
    ) -> Any:
        """Looks whether the training broke, and returns the outputs."""
        self._looked = True
        if not self._records:
            return outputs
        try:
            if (
                self._reader.is_broken(outputs, arguments)
                if reading is None
                else self._reader.shows_break(reading, outputs)
            ):
                outputs = self._settle(outputs, arguments)
            elif reading is not None and self._shown and self.keeper:
                arguments = self.keeper.keep(self._shown, outputs, arguments)
                outputs = self._reader.steps.outputs(outputs, arguments)
            elif self._window.is_open and self._window.is_full:
                self._window.open(arguments)
        except Exception as error:
            self.give_up(error)
        self._speak()
        return outputs

    def _settle(self, outputs: Any, arguments: tuple[Any, ...]) -> Any:
        """Finds the step that broke the training, and acts on it.

        Returns:
            What the train function is to return.
        """
        steps, policy = self._reader.steps, self._plan.on_nonfinite
        if not self._window.is_whole:
            note = self.note or "the model was built in the steps since"
            self._lose(note)
            self._stop_if_asked()
            return outputs
        # What the next step begins with: as if nothing had been taken again.
        left = steps.copy(arguments)
        try:
            found, last, arguments = self._retake(arguments)
            if policy == "warn" or not found:
                last = None
            elif policy == "stop":
                left = found[0][0].before
            else:
                left = steps.copy(arguments)
                self.skipped += [number for _, number, _ in found]
            if not found:
                self._lose("no step broke when taken again")
            elif self.incident is None:
                self._report(*found[0], arguments)
        finally:
            # Last: to explain a step may put back what that began with.
            arguments = steps.put(left, arguments)
        self._window.close()
        self._stop_if_asked()
        return steps.outputs(last or outputs, arguments)

    def _retake(
        self, arguments: tuple[Any, ...]
    ) -> tuple[list[tuple[Retaken, int, str]], Any, tuple[Any, ...]]:
        """Takes the steps of the window again, and looks at each.

        Returns:
            The steps that broke, each with its number and a hash of what it
            left; what the train function returned last of the others; and the
            arguments of the next step. But for `"skip"`, the first ends it.
        """
        reader, steps = self._reader, self._reader.steps
        found: list[tuple[Retaken, int, str]] = []
        last = None
        # That of the first step of the window.
        each = self._model.steps_per_execution
        number = self.step - self._window.count * each + 1
        retaking = self._window.retake(reader.function, arguments)
        instead = None
        while True:
            try:
                taken = retaking.send(instead)
            except StopIteration as finished:
                return found, last, finished.value
            instead = None
            if not reader.is_broken(taken.outputs, taken.arguments):
                last = taken.outputs
                continue
            digest = incident.digest_of(
                steps.arrays(steps.copy(taken.arguments)),
                reader.loss_of(taken.outputs),
            )
            found.append((taken, number + taken.number * each, digest))
            instead = taken.before
            if self._plan.on_nonfinite != "skip":
                return found, last, taken.arguments

    def _lose(self, note: str) -> None:
        """Says that the step that broke is not known, and looks no more."""
        if not self.is_broken:
            self._say(self.step, "", note)
        self._window.close()
        self._is_lost = True

    def _report(
        self,
        taken: Retaken,
        number: int,
        digest: str,
        arguments: tuple[Any, ...],
    ) -> None:
        """Explains a step that broke, writes it down, and says so."""
        steps, tracer = self._reader.steps, self._reader.seam.tracer
        trouble, found = "", None
        terms: dict[str, float] = {}
        with contextlib.suppress(Exception):
            terms = self._reader.terms_of(
                taken.before, taken.batches, arguments
            )
        try:
            moments = [steps.moment(taken.before, b) for b in taken.batches]
            place, found = blame.find_blame(self._model, tracer, moments)
            number += place
        except Exception as error:
            trouble = f"it could not be explained: {error!r}"
        text = wording.explain(found, terms)
        shown = wording.name_signs(self.signs.take())
        text = "\n".join(part for part in (text, shown) if part)
        self.incident = Incident(
            step=number,
            epoch=self._epoch,
            text=text,
            samples=found.samples if found else (),
            batches=taken.batches,
            state=steps.arrays(taken.before),
            readings=to_records(self._readings),
            digest=digest,
            backend=keras.backend.backend(),
            specs=steps.specs(),
            terms=terms,
        )
        if self._plan.log_dir is not None:
            try:
                self.folder = self.incident.write(
                    self._plan.log_dir, self._plan.max_bytes
                )
            except Exception as error:
                trouble = f"it could not be written: {error}"
        self._say(number, text, trouble)

    def _say(self, number: int, text: str, trouble: str) -> None:
        """Notes what to warn of: a step that broke."""
        self.is_broken = True
        self._message = wording.announce(
            self.owner,
            number,
            text,
            trouble,
            policy=self._plan.on_nonfinite,
            incident=self.incident,
            folder=self.folder,
        )

    def _speak(self) -> None:
        """Warns, where a filter may make an error of it that is meant."""
        text, self._message = self._message, ""
        if text:
            warnings.warn(text, stacklevel=calls_to_user())

    def _stop_if_asked(self) -> None:
        """Ends the training, if that is what is to be done."""
        if self._plan.on_nonfinite == "stop":
            self._model.stop_training = True
