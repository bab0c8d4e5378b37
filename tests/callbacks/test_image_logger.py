import sys
import warnings

import keras
import numpy as np
import pytest
from checks import check_config
from keras import layers, ops
from public_objects import run_python

import keras_perceptual as kp
from keras_perceptual.callbacks import ImageLogger

Image = pytest.importorskip("PIL.Image")
BACKEND = keras.backend.backend()


class Noise(layers.Layer):
    """Adds random numbers, in prediction too."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(7)

    def call(self, images):
        noise = keras.random.normal(ops.shape(images), seed=self.generator)
        return images + 0.01 * noise


def test_the_class_in_place_of_an_object():
    with pytest.raises(TypeError, match=r"Create one: .*Received: ImageLogger"):
        train([ImageLogger])


def train(callbacks):
    """Returns the history and all state of a training that has every kind."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            Noise(),
            layers.Conv2D(3, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Dropout(0.1),
            # Of a network that has learned nothing, colors lie anywhere.
            kp.LookupColorLayer(
                2, dimensions=1, check_range="off", name="grade"
            ),
        ],
        name="net",
    )
    loss = kp.WeightedSumLoss(
        {
            "square": keras.losses.MeanSquaredError(),
            "absolute": (keras.losses.MeanAbsoluteError(), 0.1),
        }
    )
    model.compile("sgd", loss, metrics=[kp.LossTerms(loss)])
    images = np.random.default_rng(0).random((12, 8, 8, 3), "float32")
    history = model.fit(
        images,
        images,
        batch_size=2,
        epochs=2,
        validation_data=(images[:2], images[:2]),
        verbose=0,
        callbacks=callbacks,
    ).history
    variables = [*model.variables, *model.optimizer.variables]
    return history, [
        np.array(ops.convert_to_numpy(variable.value)) for variable in variables
    ]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((3, 8, 8, 3), "float32")


def filed(folder):
    """Returns the names of the files in a folder, events left out."""
    return sorted(path.name for path in folder.glob("*.*"))


def read_events(folder):
    """Returns what TensorBoard would show, by plugin."""
    import tensorflow as tf

    (path,) = folder.iterdir()
    found = {"scalars": {}, "images": {}}
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name
            content = tf.make_ndarray(value.tensor).tolist()
            shown = found[plugin].setdefault(value.tag, {})
            shown[event.step] = content
    return found


def opened(path):
    """Returns the pixels of an image file."""
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.slow
def test_the_training_is_not_changed_and_all_is_written(tmp_path, images):
    pytest.importorskip("matplotlib")
    by_batch = ImageLogger(
        tmp_path / "batches", images, every=5, unit="batch", tables=False
    )
    by_epoch = ImageLogger(tmp_path, images, targets=images, every=2)
    history, state = train([by_epoch, by_batch])
    expected_history, expected_state = train([])
    assert history == expected_history
    for value, expected in zip(state, expected_state, strict=True):
        np.testing.assert_array_equal(value, expected)

    assert filed(tmp_path) == [
        "epoch-0000-net-grade.png",
        "epoch-0000.png",
        "epoch-0002-net-grade.png",
        "epoch-0002.png",
    ]
    assert filed(tmp_path / "batches") == [
        f"batch-{n:07}.png" for n in (0, 5, 10)
    ]
    events = read_events(tmp_path / "batches" / "images" / "train")
    assert list(events["images"]["sheet"]) == [0, 5, 10]
    assert list(events["scalars"]["batch_loss"]) == [5, 10]
    assert list(events["scalars"]["epoch_loss"]) == [0, 1]

    # The pictures are those in the files, at the epochs before them.
    events = read_events(tmp_path / "images" / "train")
    for tag, ending in {"sheet": "", "tables/net/grade": "-net-grade"}.items():
        shown = events["images"].pop(tag)
        assert list(shown) == [0, 2]
        for number, (width, height, png) in shown.items():
            path = tmp_path / f"epoch-000{number}{ending}.png"
            assert path.read_bytes() == png
            rows, columns, _ = opened(path)[..., :3].shape
            assert (int(width), int(height)) == (columns, rows)
    assert events["images"] == {}

    # The numbers are where Keras would put them, of every epoch.
    numbers = {"": events["scalars"]}
    numbers["val_"] = read_events(tmp_path / "images" / "validation")["scalars"]
    for prefix, scalars in numbers.items():
        names = {name for name in history if name.startswith("val_")}
        names = names if prefix else set(history) - names
        assert {"loss", "square", "absolute"} == {
            name.removeprefix("val_") for name in names
        }
        for name in names:
            shown = scalars.pop(f"epoch_{name.removeprefix('val_')}")
            assert list(shown) == [0, 1]
            np.testing.assert_allclose(
                list(shown.values()), history[name], rtol=1e-6
            )
        assert scalars == {}


class Scale(layers.Layer):
    """Multiplies by a weight."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return x * self.scale


def still_model(outputs=lambda x: x * 0.5, inputs=(8, 8, 3), **arguments):
    """A model that stays as it is, however it is trained."""
    start = keras.Input(inputs)
    model = keras.Model(start, outputs(Scale()(start)))
    model.compile(keras.optimizers.SGD(0.0), "mse", **arguments)
    return model


def fit(model, callback, number=2, **arguments):
    """Trains a model of one input on nothing."""
    x, y = keras.tree.map_structure(
        lambda tensor: np.zeros((number, *tensor.shape[1:]), "float32"),
        (model.input, model.output),
    )
    model.fit(x, y, verbose=0, callbacks=[callback], **arguments)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch takes single steps")
def test_steps_of_several_batches(tmp_path, images):
    callback = files_alone(tmp_path, images, every=5, unit="batch")
    model = still_model(steps_per_execution=4)
    fit(model, callback, number=6, batch_size=1, epochs=2)
    # Of six batches in an epoch, four and two at a time.
    assert filed(tmp_path) == [f"batch-{n:07}.png" for n in (0, 6, 10)]


def cells(path, columns, rows, side=128):
    """Returns the images of a sheet, one pixel of each block."""
    sheet = opened(path)
    top = sheet.shape[0] - 16 - rows * side - (rows - 1) * 6
    places = [
        (top + row * (side + 6), 16 + column * (side + 6))
        for row in range(rows)
        for column in range(columns)
    ]
    block = side // 8
    return np.array(
        [sheet[y : y + side : block, x : x + side : block] for y, x in places]
    ).reshape(rows, columns, 8, 8, 3)


def files_alone(folder, inputs, **arguments):
    return ImageLogger(folder, inputs, tensorboard=False, **arguments)


def test_a_sheet_shows_input_prediction_and_target(tmp_path, images):
    callback = files_alone(tmp_path, images, targets=1 - images, max_images=2)
    fit(still_model(), callback)
    found = cells(tmp_path / "epoch-0001.png", 3, 2)
    for row in range(2):
        expected = [images[row], 0.5 * images[row], 1 - images[row]]
        expected = np.round(255 * np.array(expected))
        assert np.abs(found[row] - expected).max() <= 1


def test_channels_first(tmp_path, images):
    for layout, x in {
        "channels_last": images,
        "channels_first": np.moveaxis(images, -1, 1),
    }.items():
        callback = files_alone(tmp_path / layout, x, data_format=layout)
        fit(still_model(inputs=x.shape[1:]), callback)
    found = [
        path.read_bytes() for path in sorted(tmp_path.rglob("epoch-0001.png"))
    ]
    assert len(found) == 2 and found[0] == found[1]


def test_a_generator_has_predictions_alone(tmp_path):
    model = still_model(layers.Reshape((8, 8, 1)), (64,))
    noise = np.linspace(0, 1, 64, dtype="float32")[None]
    fit(model, files_alone(tmp_path, noise))
    found = cells(tmp_path / "epoch-0000.png", 1, 1)[0, 0]
    assert np.abs(found[..., 0].ravel() - 255 * noise[0]).max() <= 1


@pytest.mark.parametrize(
    "outputs, output, names",
    [
        (lambda x: [x, x * 0.5], 1, [0, 1]),
        (lambda x: {"a": x, "b": x * 0.5}, "b", ["a", "b"]),
    ],
)
def test_one_of_several_outputs(tmp_path, images, outputs, output, names):
    model = still_model(outputs)
    fit(model, files_alone(tmp_path, images, output=output))
    found = cells(tmp_path / "epoch-0001.png", 2, 3)[:, 1]
    assert np.abs(found - 127.5 * images).max() <= 1
    for wrong in (None, "c"):
        message = (
            rf"^ImageLogger shows one output.*{names}".replace("[", r"\[")
            + rf".*Received: output={wrong!r}"
        )
        with pytest.raises(ValueError, match=message):
            fit(model, files_alone(tmp_path, images, output=wrong))


def test_several_inputs_that_are_images(tmp_path, images):
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    model = keras.Model({"a": a, "b": b}, Scale()(layers.Add()([a, b])))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = {"a": images, "b": 0.5 * images}
    fit(model, files_alone(tmp_path, x, value_range=(0, 2)))
    found = cells(tmp_path / "epoch-0001.png", 3, 3)
    for column, scale in enumerate((0.5, 0.25, 0.75)):
        expected = 255 * scale * images
        assert np.abs(found[:, column] - expected).max() <= 1


def test_a_training_that_goes_on_counts_on(tmp_path, images):
    model = still_model()
    fit(model, files_alone(tmp_path, images), epochs=12, initial_epoch=10)
    assert filed(tmp_path) == [f"epoch-{n:04}.png" for n in (10, 11, 12)]


def our_warnings(caught):
    messages = [str(warning.message) for warning in caught]
    return [m for m in messages if m.startswith("ImageLogger")]


def test_what_cannot_be_written_is_warned_about_once(tmp_path, images):
    (tmp_path / "file").write_text("in the way")
    callback = ImageLogger(tmp_path / "file", images)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(still_model(), callback, epochs=2)
    (message,) = our_warnings(caught)
    assert "could not write a picture" in message
    assert f"Received: log_dir={str(tmp_path / 'file')!r}" in message
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_leaves_the_last_picture_whole(
    tmp_path, images, monkeypatch
):
    path = tmp_path / "epoch-0001.png"
    path.write_bytes(b"of the training before")

    def write_a_part(self, content):
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", write_a_part)
    with pytest.warns(UserWarning, match="No space left"):
        fit(still_model(), files_alone(tmp_path, images))
    assert path.read_bytes() == b"of the training before"
    assert filed(tmp_path) == ["epoch-0001.png"]


@pytest.mark.slow
def test_without_matplotlib_tables_are_left_out(tmp_path, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    model = still_model(kp.LookupColorLayer(2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, files_alone(tmp_path, images), epochs=2)
    (message,) = our_warnings(caught)
    assert "leaves out the color tables" in message
    assert "Received: ImportError" in message
    assert filed(tmp_path) == [f"epoch-000{n}.png" for n in range(3)]


def test_pillow_is_asked_for_at_once(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    message = r"^ImageLogger needs Pillow.*leave the callback out.*Received: "
    with pytest.raises(ImportError, match=message):
        ImageLogger("logs", images)


def test_a_later_process_writes_nothing(tmp_path, images, monkeypatch):
    module = sys.modules[ImageLogger.__module__]
    monkeypatch.setattr(module._backend, "is_chief", lambda model: False)
    fit(still_model(), ImageLogger(tmp_path, images))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"log_dir": ""}, "path of a folder.*Received: log_dir=''"),
        ({"every": 0}, "whole number of at least 1.*Received: every=0"),
        ({"unit": "epochs"}, "Did you mean 'epoch'.*unit='epochs'"),
        ({"max_images": 1.5}, "whole number.*Received: max_images=1.5"),
        ({"value_range": (1, 0)}, r"Received: value_range=\(1, 0\)"),
        ({"data_format": "hwc"}, "Received: data_format='hwc'"),
        (
            {"png": False, "tensorboard": False},
            "neither PNG.*Received: png=False, tensorboard=False",
        ),
        ({"inputs": "photo.png"}, "batch out of a dataset.*type str"),
        ({"inputs": np.ones((0, 8, 8, 3))}, "one input at least"),
        (
            {"targets": np.ones((2, 8, 8, 3))},
            r"a target for each.*Received: arrays of shapes \[\(3, .*\(2, ",
        ),
        (
            {"targets": np.ones((3, 8, 8, 2))},
            r"1, 3 or 4 channels.*Received: targets of shape \(3, 8, 8, 2\)",
        ),
        *(
            ({name: "no"}, rf"`{name}` to be True or.*Received: {name}='no'")
            for name in ("tables", "png", "tensorboard")
        ),
    ],
)
def test_arguments_are_checked(images, arguments, message):
    arguments = {"log_dir": "logs", "inputs": images, **arguments}
    with pytest.raises(ValueError, match=f"(?s)^ImageLogger .*{message}"):
        ImageLogger(**arguments)


def test_a_prediction_that_is_no_image_ends_the_training_at_once(
    tmp_path, images
):
    model = still_model(layers.Flatten())
    message = r"^ImageLogger draws.*Received: a prediction of shape \(3, 192\)"
    with pytest.raises(ValueError, match=message):
        fit(model, ImageLogger(tmp_path, images))
    assert list(tmp_path.iterdir()) == []


def test_the_images_are_in_the_configuration(images):
    inputs = {"small": images.astype("float16"), "noise": np.ones((3, 2))}
    callback = ImageLogger(
        "logs",
        inputs,
        targets=(255 * images).astype("uint8"),
        max_images=2,
        value_range=(0, 255),
    )
    revived = check_config(callback)
    for name, x in inputs.items():
        np.testing.assert_array_equal(revived.inputs[name], x[:2])
        assert revived.inputs[name].dtype == x.dtype
    np.testing.assert_array_equal(revived.targets, callback.targets)
    assert revived.targets.dtype == "uint8"


def test_tensors_are_taken(images):
    callback = ImageLogger("logs", ops.convert_to_tensor(images), max_images=1)
    np.testing.assert_array_equal(callback.inputs, images[:1])


WITHOUT_TENSORFLOW = """
import sys
import keras, numpy as np
from keras_perceptual import ImageLogger

model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(0.5)])
model.compile("sgd", "mse")
images = np.ones((2, 8, 8, 3), "float32")
show = ImageLogger(sys.argv[1], images, tensorboard=False)
model.fit(images, images, verbose=0, callbacks=[show])
print("tensorflow" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "tensorflow", reason="is TensorFlow itself")
def test_tensorflow_is_imported_for_writing_events_alone(tmp_path):
    printed = run_python(WITHOUT_TENSORFLOW, tmp_path)
    assert printed.splitlines()[-1] == "False"
    assert filed(tmp_path) == ["epoch-0000.png", "epoch-0001.png"]


def test_only_who_counts_batches_has_jax_wait_for_them(images):
    name = "on_train_batch_end"
    assert name not in vars(ImageLogger)
    assert name not in vars(ImageLogger("logs", images))
    assert name in vars(ImageLogger("logs", images, unit="batch"))


def test_targets_that_would_be_drawn_white_are_told_of(tmp_path, images):
    with pytest.warns(UserWarning, match=r"a target holds.*\(0, 255\)") as told:
        ImageLogger(tmp_path, images, targets=255 * images)
    # Keras on PyTorch has a deprecation of NumPy's to tell as well.
    (told,) = [each for each in told if each.category is UserWarning]
    assert told.filename == __file__
    ImageLogger(tmp_path, images, targets=255 * images, value_range=(0, 255))
