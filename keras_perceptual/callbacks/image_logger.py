"""The callback that shows what a model makes of some images as it trains."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any, Literal, Self

import keras
import numpy as np
from keras import ops

from keras_perceptual import _backend, event_file, validation
from keras_perceptual.callbacks.image_choice import ImageChoice, take_first
from keras_perceptual.callbacks.image_sheet import draw_sheet
from keras_perceptual.callbacks.picture_writer import PictureWriter
from keras_perceptual.callbacks.table_pictures import draw_table, find_tables
from keras_perceptual.plotting import import_pillow, import_pyplot
from keras_perceptual.range_check import RangeCheck
from keras_perceptual.typing import DataFormat, Logs, PathLike, ValueRange
from keras_perceptual.validation import Checker

# Of the numbers in the names of files.
DIGITS = {"epoch": 4, "batch": 7}


@keras.saving.register_keras_serializable(package="keras_perceptual")
class ImageLogger(keras.callbacks.Callback):
    """Draws what a model makes of some images while it trains.

    Numbers do not show that a network smears, leaves a grid behind or loses a
    color; pictures do. At the beginning of `fit` and after every epoch the
    model predicts the images that it was given here, and a sheet is drawn: a
    row for each image, with input, prediction and target side by side. It goes
    into `log_dir` as a PNG file, `epoch-0001.png`, and into TensorBoard, and so
    do the color tables that the model has learned. TensorBoard also gets all
    numbers in the logs of Keras, after every epoch: loss, metrics and the terms
    that `LossTerms` shows.

    Training is not changed: weights, optimizer, metrics and random numbers are
    those of a run without the callback. What cannot be written, as on a full
    disk, is warned about once.

    Args:
        log_dir: A path, the folder to write to. It is made if it is not there,
            and files of the same name are replaced.
        inputs: Array of images, or whatever `model.predict` takes, with the
            images along the first axis. What is not an image, such as the
            noise that a generator starts from, is left out of the sheet.
        targets: Array of as many images, what the predictions should be.
            Defaults to none.
        every: Integer, after how many epochs there is a sheet. Defaults to 1.
        unit: `"epoch"`, or `"batch"` to count batches instead. JAX then has to
            wait for every training step. Defaults to `"epoch"`.
        max_images: Integer, how many of the images are used, the first ones.
            Defaults to 4.
        output: String or integer, the name or the place of the output to show,
            of a model that has several. Defaults to the only one.
        value_range: Pair of numbers, what is shown as black and as white: in
            inputs, predictions and targets. Arrays of 8-bit integers are shown
            as they are. Defaults to `(0, 1)`.
        tables: Boolean, whether the table of every `LookupColorLayer` is drawn
            too, and that of every `AdaptiveLookupColorLayer` for the first
            image. Without matplotlib they are left out, with a warning.
            Defaults to `True`.
        png: Boolean, whether to write PNG files. Defaults to `True`.
        tensorboard: Boolean, whether to write for TensorBoard, which takes
            TensorFlow or TensorBoard. Defaults to `True`.
        data_format: `"channels_last"` or `"channels_first"`, of the images.
            Defaults to `keras.config.image_data_format()`.

    Raises:
        ImportError: If Pillow is not installed, or nothing that can write for
            TensorBoard is.
        ValueError: If an argument is not one of those above; in `fit`, before
            the first batch, if the prediction is no batch of images: gray, RGB
            or RGB with transparency, one for each input.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> import keras
    >>> from keras_perceptual.callbacks import ImageLogger
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, padding="same")]
    ... )
    >>> model.compile("adam", "mean_absolute_error")
    >>> images = keras.random.uniform((4, 8, 8, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     show = ImageLogger(folder, images[:2], targets=images[:2])
    ...     history = model.fit(
    ...         images, images, epochs=2, verbose=0, callbacks=[show]
    ...     )
    ...     print(sorted(path.name for path in pathlib.Path(folder).iterdir()))
    ['epoch-0000.png', 'epoch-0001.png', 'epoch-0002.png', 'images']

    Reference:
        Of the many callbacks of this kind the best known is `ImageLogger` in
        [Esser et al., 2021](https://arxiv.org/abs/2012.09841), which draws the
        batch that is trained on.

    Notes:
        - The number in the name of a file is that of the epochs, or batches,
          before it; in TensorBoard it is the step of the picture. Batches are
          counted for as long as the callback is used.
        - Events are in `log_dir/images/train` and `log_dir/images/validation`,
          with names and steps as `keras.callbacks.TensorBoard` has them, which
          can write to the same `log_dir`: TensorBoard wants a folder for each
          of its writers. To write them TensorFlow is imported, TensorBoard
          need not be installed.
        - Random numbers that a layer draws from a `keras.random.SeedGenerator`
          do not change training, nor do those of PyTorch.
        - Where several processes train one model, the first of them writes.
        - `get_config` returns the images with everything else.
    """

    def __init__(
        self,
        log_dir: PathLike,
        inputs: Any,
        *,
        targets: Any = None,
        every: int = 1,
        unit: Literal["epoch", "batch"] = "epoch",
        max_images: int = 4,
        output: str | int | None = None,
        value_range: ValueRange = (0, 1),
        tables: bool = True,
        png: bool = True,
        tensorboard: bool = True,
        data_format: DataFormat | None = None,
    ) -> None:
        super().__init__()
        check = Checker(self)
        self.log_dir = check.folder(log_dir)
        self.every = check.integer("every", every, minimum=1)
        self.unit = check.choice("unit", unit, DIGITS)
        self.max_images = check.integer("max_images", max_images, minimum=1)
        self.output = output
        self.value_range = check.value_range(value_range)
        self.tables = check.boolean("tables", tables)
        self.png = check.boolean("png", png)
        self.tensorboard = check.boolean("tensorboard", tensorboard)
        self.data_format = check.data_format(data_format)
        if not (self.png or self.tensorboard):
            raise ValueError(
                f"{check.owner} is to write neither PNG files nor events. "
                "Leave out one of the two arguments, or the callback. "
                f"Received: png={png!r}, tensorboard={tensorboard!r}"
            )
        if self.tensorboard:
            event_file.check_installed()
        import_pillow(check.owner, "leave the callback out")

        def take(images: Any) -> np.ndarray:
            return take_first(check.owner, images, self.max_images)

        self.inputs = keras.tree.map_structure(take, inputs)
        self.targets = None if targets is None else take(targets)
        if self.targets is not None:
            # What the model makes is judged by its loss.
            gate = RangeCheck(
                check.owner, "warn", self.value_range, self.data_format
            )
            gate({"a target": self.targets})
        self._choice = ImageChoice(
            owner=check.owner,
            inputs=self.inputs,
            targets=self.targets,
            output=output,
            value_range=self.value_range,
            data_format=self.data_format,
        )
        self._writer = PictureWriter(
            check.owner,
            self.log_dir,
            png=self.png,
            tensorboard=self.tensorboard,
        )
        if self.unit == "batch":
            # Had the class such a method, JAX would wait for every step also
            # where nobody asks for batches.
            self.on_train_batch_end = self._count_batches
        self._batches = self._last_batch = 0

    def set_model(self, model: keras.Model | None = None) -> None:
        """Takes the model whose images are drawn."""
        validation.check_object(
            ImageLogger,
            self,
            'callbacks=[keras_perceptual.ImageLogger("logs", images)]',
        )
        super().set_model(model)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Has the sheet of the untrained model drawn."""
        self._is_first = True
        self._writer.start()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Draws the sheet to compare others with, and finds what is wrong."""
        self._last_batch = -1
        if self._is_first:
            self._is_first = False
            self._draw(epoch if self.unit == "epoch" else self._batches)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the numbers, and draws a sheet if it is time to."""
        if self.unit == "epoch" and (epoch + 1) % self.every == 0:
            self._draw(epoch + 1)
        self._write_logs("epoch", logs, epoch)

    def on_train_end(self, logs: Logs = None) -> None:
        """Closes the files."""
        self._writer.close()

    def _count_batches(self, batch: int, logs: Logs = None) -> None:
        """Draws a sheet, if it is time to; a step may have several batches."""
        steps = self.params["steps"]
        if steps:
            # Keras takes the last step of an epoch for as long as the others.
            batch = min(batch, steps - 1)
        before = self._batches
        self._batches += batch - self._last_batch
        self._last_batch = batch
        if self._batches // self.every > before // self.every:
            self._draw(self._batches)
            self._write_logs("batch", logs, self._batches)

    def _draw(self, number: int) -> None:
        """Predicts, draws and writes, after a number of epochs or batches."""
        model = self.model
        tables = {}
        with _as_if_not_looked_at(model):
            columns = self._choice.columns(model.predict_on_batch(self.inputs))
            if self.tables:
                tables = find_tables(model, self.inputs)
        if not _backend.is_chief(model):
            return
        stem = f"{self.unit}-{number:0{DIGITS[self.unit]}}"
        caption = f"{self.unit} {number}" if number else "before training"
        sheet = draw_sheet(columns, caption)
        file = io.BytesIO()
        sheet.save(file, "png")
        pictures = [(f"{stem}.png", "sheet", file.getvalue(), sheet.size)]
        for path, table in self._drawable(tables).items():
            name = f"{stem}-{path.replace('/', '-')}.png"
            drawn = draw_table(table, f"{path}, {caption}")
            pictures.append((name, f"tables/{path}", *drawn))
        for picture in pictures:
            self._writer.write_picture(*picture, number)

    def _write_logs(self, unit: str, logs: Logs, step: int) -> None:
        """Writes the numbers in the logs of Keras for TensorBoard."""
        if _backend.is_chief(self.model):
            self._writer.write_logs(unit, logs, step)

    def _drawable(self, tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the tables, or none where nothing can draw them."""
        if not tables:
            return {}
        try:
            import_pyplot("A picture of a color table", "leave it out")
        except ImportError as error:
            self._writer.warn(
                "leaves out the color tables, as matplotlib is missing. "
                "Install it, or pass `tables=False`.",
                repr(error),
            )
            return {}
        return tables

    def get_config(self) -> dict[str, Any]:
        """Returns every argument of the constructor."""
        return {
            "log_dir": self.log_dir,
            "inputs": keras.saving.serialize_keras_object(self.inputs),
            "targets": keras.saving.serialize_keras_object(self.targets),
            "every": self.every,
            "unit": self.unit,
            "max_images": self.max_images,
            "output": self.output,
            "value_range": list(self.value_range),
            "tables": self.tables,
            "png": self.png,
            "tensorboard": self.tensorboard,
            "data_format": self.data_format,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Creates a callback from what `get_config` returned."""
        images = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("inputs", "targets")
        }
        return cls(**{**config, **images})


@contextlib.contextmanager
def _as_if_not_looked_at(model: keras.Model) -> Iterator[None]:
    """Puts the state of random numbers back that a prediction has changed."""
    weights = {id(weight) for weight in model.non_trainable_weights}
    seeds = [
        (variable, np.array(ops.convert_to_numpy(variable.value)))
        for variable in model.non_trainable_variables
        if id(variable) not in weights
    ]
    with _backend.looking(model):
        try:
            yield
        finally:
            for variable, value in seeds:
                variable.assign(value)
