"""A training is recorded, is the same as without, and says what broke it."""

import pathlib
import pickle
import sys
import types
import warnings

import keras
import numpy as np
import pytest
from gradient_models import healthy_model, regression_data
from keras import layers, ops
from sampling import rarely

import keras_perceptual as kp
from keras_perceptual.callbacks import GradientMonitor

BACKEND = keras.backend.backend()
BROKEN = 21  # The sample with which the logarithm is minus infinity.
LINE = "ops.log(x)"


class Logarithm(layers.Layer):
    """Takes a logarithm that somebody forgot to keep away from zero."""

    def call(self, x):
        return x + ops.log(x)


def log_model(**compile_arguments):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            Logarithm(name="logarithm"),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    optimizer = keras.optimizers.SGD(0.01, momentum=0.5)
    model.compile(optimizer, "mse", **compile_arguments)
    return model


def full_model(**compile_arguments):
    """A model with all that a step can leave behind."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            Logarithm(name="logarithm"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.25),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile("adam", "mse", **compile_arguments)
    return model


def positive_data(broken=True):
    x, y = regression_data()
    x = np.abs(x) + 0.1
    if broken:
        x[BROKEN, 2] = 0.0
    return x, y


def fit(model, data, *callbacks, epochs=1, **arguments):
    # PyTorch draws the numbers of dropout from a generator for all.
    keras.utils.set_random_seed(5)
    arguments = {"batch_size": 4, "shuffle": False, "verbose": 0} | arguments
    return model.fit(*data, epochs=epochs, callbacks=[*callbacks], **arguments)


def everything(model):
    """Returns the values of all variables."""
    found = {id(v): v for v in (*model.variables, *model.metrics_variables)}
    for optimizer in (model.optimizer, getattr(model, "second", None)):
        if optimizer is not None:
            found |= {id(v): v for v in optimizer.variables}
    return [np.array(ops.convert_to_numpy(v.value)) for v in found.values()]


def assert_same(one, other):
    for ours, theirs in zip(everything(one), everything(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class TwoOptimizers(keras.Model):
    """Trains its two layers with an optimizer each."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(4, name="hidden")
        self.out = layers.Dense(1, name="out")
        self.second = keras.optimizers.SGD(0.01)

    def call(self, x):
        return self.out(self.hidden(x))

    def train_step(self, data):
        x, y = data
        if BACKEND == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = ops.mean((self(x) - y) ** 2)
            gradients = tape.gradient(loss, self.trainable_variables)
        else:
            loss = ops.mean((self(x) - y) ** 2)
            self.zero_grad()
            loss.backward()
            gradients = [v.value.grad for v in self.trainable_variables]
        self.optimizer.apply(gradients[:2], self.trainable_variables[:2])
        self.second.apply(gradients[2:], self.trainable_variables[2:])
        return {"loss": loss}


def two_optimizers(**arguments):
    keras.utils.set_random_seed(3)
    model = TwoOptimizers()
    model(np.zeros((1, 4), "float32"))
    model.compile(keras.optimizers.Adam(), **arguments)
    return model


def accumulating(**arguments):
    keras.utils.set_random_seed(3)
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=3)
    return healthy_model(optimizer, **arguments)


def half(**arguments):
    keras.utils.set_random_seed(3)
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(), initial_scale=2.0**127
    )
    model = healthy_model(optimizer, **arguments)
    return model


MODES = [
    (full_model, {}),
    rarely((full_model, {"steps_per_execution": 3})),
    rarely((full_model, {"run_eagerly": True})),
    rarely((accumulating, {})),
    rarely((half, {})),
]
if BACKEND == "tensorflow":
    MODES += [
        rarely((full_model, {"jit_compile": True})),
        rarely((full_model, {"jit_compile": True, "steps_per_execution": 3})),
        rarely((two_optimizers, {"jit_compile": True})),
    ]
if BACKEND != "jax":
    MODES += [rarely((two_optimizers, {}))]


@pytest.mark.parametrize("make, arguments", MODES)
def test_the_training_is_the_same(make, arguments, tmp_path):
    """Weights, slots, seeds and history are, to the last bit."""
    if BACKEND == "torch" and arguments.get("steps_per_execution"):
        pytest.skip("PyTorch takes one step at a time.")
    data = positive_data(broken=False)
    plain, watched = make(**arguments), make(**arguments)
    monitor = GradientMonitor(every=2, log_dir=tmp_path)
    assert (
        fit(plain, data, epochs=2).history
        == fit(watched, data, monitor, epochs=2).history
    )
    assert_same(plain, watched)
    assert monitor.note == "" and monitor.skipped == []
    steps = [reading.step for reading in monitor.readings]
    assert steps[-1] >= 16 and len(steps) >= 6
    assert all(reading.is_finite for reading in monitor.readings)


@pytest.mark.tensorflow_only
def test_a_step_is_traced_once():
    model, traces = log_model(), []
    original = model.train_step

    def train_step(data):
        traces.append(1)
        return original(data)

    model.train_step = train_step
    monitor = GradientMonitor(every=3)
    fit(model, positive_data(broken=False), monitor, epochs=2)
    fit(model, positive_data(broken=False), monitor, epochs=2)
    # Before the training, Keras builds what is not built yet.
    plain, plain_traces = log_model(), []
    own = plain.train_step

    def plain_step(data):
        plain_traces.append(1)
        return own(data)

    plain.train_step = plain_step
    fit(plain, positive_data(broken=False), epochs=2)
    assert len(traces) == len(plain_traces)


def test_readings_are_what_numpy_finds():
    """Of a linear model, whose gradients are known."""
    x, y = regression_data(8)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(1, name="out")], name="net"
    )
    model.compile(keras.optimizers.SGD(0.25), "mse")
    model.set_weights([np.full((4, 1), 0.5, "float32"), np.zeros(1, "float32")])
    x[:, 3] = 0.0
    monitor = GradientMonitor(every=1)
    fit(model, (x, y), monitor, batch_size=8)
    error = x @ np.full((4, 1), 0.5) - y
    gradient = 2 * x.T @ error / 8
    (reading,) = monitor.readings
    assert reading.paths == ("net/out/kernel", "net/out/bias")
    assert (reading.step, reading.epoch) == (1, 0)
    np.testing.assert_allclose(
        reading.norm,
        [np.linalg.norm(gradient), np.abs(2 * error.mean())],
        rtol=1e-5,
    )
    after = 0.5 - 0.25 * gradient
    np.testing.assert_allclose(
        reading.update[0],
        0.25 * np.linalg.norm(gradient) / np.linalg.norm(after),
        rtol=1e-5,
    )
    np.testing.assert_allclose(reading.zeros, [0.25, 0.0])
    np.testing.assert_allclose(reading.loss, np.mean(error**2), rtol=1e-5)


class Kill(keras.callbacks.Callback):
    """Closes a ReLU for good, as a step that is too large does."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            layer = self.model.get_layer("hidden")
            layer.bias.assign(layer.bias - 50.0)


def relu_model(**arguments):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, "relu", name="hidden"),
            layers.Dense(1, name="out", activity_regularizer="l2"),
        ],
        name="net",
    )
    model.compile("adam", "mse", **arguments)
    return model


@pytest.mark.parametrize("arguments", [{}, rarely(({"run_eagerly": True},))])
def test_a_layer_that_dies_is_named(arguments):
    """Once, and hearing it changes nothing."""
    plain, watched = relu_model(**arguments), relu_model(**arguments)
    monitor = GradientMonitor(every=1)
    data = regression_data()
    fit(plain, data, Kill(), epochs=4)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fit(watched, data, Kill(), monitor, epochs=4)
    assert_same(plain, watched)
    (text,) = [str(w.message) for w in said if "Monitor" in str(w.message)]
    assert "epoch 2: 'net/hidden' is dead: its ReLU" in text
    assert "Received: silent=['net/hidden']" in text
    shares = [reading.dead["net/hidden"] for reading in monitor.readings]
    assert max(shares[:8]) < 1 and set(shares[8:]) == {1.0}


def broken_fit(policy, model=None, every=100, **arguments):
    model = model or log_model()
    monitor = GradientMonitor(every=every, on_nonfinite=policy, **arguments)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        history = fit(model, positive_data(), monitor)
    texts = [
        str(w.message)
        for w in said
        if str(w.message).startswith("GradientMonitor")
    ]
    return model, monitor, history, texts


@pytest.mark.parametrize("every", [4, 100])
def test_a_broken_step_is_found_and_explained(every, tmp_path):
    """With the step, the layer, the line and the sample; written whole."""
    model, monitor, _, texts = broken_fit("stop", every=every, log_dir=tmp_path)
    (text,) = texts
    assert "step 6 made the loss or weights NaN or infinite" in text
    assert f"Sample {BROKEN % 4} of the batch does it alone." in text
    assert LINE in text and "'logarithm'" in text
    assert "Received: step=6, epoch=0" in text
    names = [p.name for p in monitor.incident_folder.iterdir()]
    assert sorted(names) == ["batch.npz", "incident.json", "state.npz"]
    assert not list(tmp_path.glob(".part*"))
    # What the first five batches made of the model.
    five = log_model()
    x, y = positive_data()
    fit(five, (x[:20], y[:20]))
    assert_same(five, model)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        rarely(({"run_eagerly": True},)),
        *(
            [rarely(({"jit_compile": True},))]
            if BACKEND == "tensorflow"
            else []
        ),
    ],
)
def test_a_step_is_left_out(arguments):
    """The run is as if that batch had never come."""
    x, y = positive_data()
    other = [x[:20], x[24:]], [y[:20], y[24:]]
    without = full_model(**arguments)
    expected = fit(without, tuple(map(np.concatenate, other)))
    # What breaks is seen at a reading, or else at the last step.
    for every in (4, 100):
        model, monitor, history, texts = broken_fit(
            "skip", full_model(**arguments), every
        )
        assert monitor.skipped == [6]
        assert len(texts) == 1
        assert_same(without, model)
        assert history.history == expected.history


def test_a_step_is_left_out_of_a_stream():
    """Nobody knows which batch is the last, before the epoch has ended."""
    x, y = positive_data()
    well = [i for i in range(0, 32, 4) if i != 20]

    def batches(starts):
        return ((x[i : i + 4], y[i : i + 4]) for i in starts)

    without, model = log_model(), log_model()
    monitor = GradientMonitor(every=100, on_nonfinite="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(without, (batches(well),), batch_size=None)
        fit(model, (batches(range(0, 32, 4)),), monitor, batch_size=None)
    assert monitor.skipped == [6]
    # Not counters: where the data end, a graph of TensorFlow counts once more.
    pairs = zip(without.get_weights(), model.get_weights(), strict=True)
    for wanted, found in pairs:
        np.testing.assert_array_equal(found, wanted)


def test_what_breaks_is_seen_before_validation():
    monitor = GradientMonitor(every=100, on_nonfinite="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = fit(
            full_model(),
            positive_data(),
            monitor,
            validation_data=positive_data(broken=False),
        )
    assert monitor.skipped == [6]
    assert np.isfinite(history.history["val_loss"]).all()


@pytest.mark.slow
def test_a_warning_changes_nothing():
    model, monitor, _, texts = broken_fit("warn")
    plain = log_model()
    fit(plain, positive_data())
    assert_same(plain, model)
    assert len(texts) == 1 and monitor.skipped == []
    assert "Training continues." in texts[0]


def test_every_broken_step_is_left_out_and_one_is_told():
    x, y = positive_data()
    x[2] = x[30] = 0.0
    model, monitor = log_model(), GradientMonitor(on_nonfinite="skip")
    with pytest.warns(UserWarning, match="step 1 made") as said:
        fit(model, (x, y), monitor, epochs=2)
    assert monitor.skipped == [1, 6, 8, 9, 14, 16]
    assert sum("GradientMonitor" in str(w.message) for w in said) == 1
    assert all(np.isfinite(value).all() for value in model.get_weights())


@pytest.mark.slow
def test_a_step_of_several_in_one():
    """The batch is found, of those that one execution takes."""
    if BACKEND == "torch":
        pytest.skip("PyTorch takes one step at a time.")
    _, _, _, texts = broken_fit("stop", log_model(steps_per_execution=4))
    assert "step 6 made" in texts[0]


@pytest.mark.slow
def test_an_epoch_of_unknown_length():
    """What breaks at its end is found when it is over."""
    x, y = positive_data()
    batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 32, 4)]
    model, monitor = log_model(), GradientMonitor(on_nonfinite="skip")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        history = fit(
            model,
            [(batch for batch in batches)],
            monitor,
            batch_size=None,
        )
    # Keras itself warns that the data are over.
    assert any("step 6 made" in str(w.message) for w in said)
    assert np.isfinite(history.history["loss"]).all()
    assert all(np.isfinite(value).all() for value in model.get_weights())


def test_an_overflow_that_loss_scaling_answers_is_none():
    model, monitor = half(), GradientMonitor(every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, positive_data(broken=False), monitor, epochs=2)
    assert all(reading.is_finite for reading in monitor.readings)
    # The first step overflowed, and changed nothing.
    assert np.nanmax(monitor.readings[0].update) == 0


@pytest.mark.slow
def test_it_goes_along_with_other_callbacks(tmp_path):
    x, y = positive_data()
    model = log_model()
    monitor = GradientMonitor(on_nonfinite="skip")
    with pytest.warns(UserWarning, match="step 6 made"):
        fit(
            model,
            (x, y),
            kp.GradientSanityCallback(),
            monitor,
            keras.callbacks.EarlyStopping("loss", patience=5),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            epochs=3,
        )
    assert monitor.skipped == [6, 14, 22]
    assert monitor.readings[-1].step == 24


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, -1])
def test_keras_ends_it_at_the_same_loss(order):
    """`TerminateOnNaN` before or after it: the step is explained once."""
    monitor = GradientMonitor(every=1)
    both = (monitor, keras.callbacks.TerminateOnNaN())[::order]
    model = log_model()
    with pytest.warns(UserWarning, match="step 6 made") as said:
        fit(model, positive_data(), *both, epochs=2)
    assert sum("GradientMonitor" in str(w.message) for w in said) == 1
    # The weights are those before that step, and no other epoch followed.
    assert all(np.isfinite(value).all() for value in model.get_weights())
    assert monitor.readings[-1].epoch == 0


@pytest.mark.slow
def test_the_check_before_it_sees_what_it_would_see():
    """Whichever comes first: their steps are traced by one tracer."""
    for order in (1, -1):
        check, monitor = kp.GradientSanityCallback(), GradientMonitor(every=1)
        model = log_model()
        both = (check, monitor)[::order]
        fit(model, positive_data(broken=False), *both)
        assert {record.status for record in check.report} == {"ok"}
        assert monitor.readings[-1].step == 8


def test_too_little_memory_keeps_no_steps():
    """What broke is not known then, only that something did."""
    _, monitor, _, texts = broken_fit("stop", max_bytes=100)
    assert "do not fit into max_bytes=100" in monitor.note
    assert "the step that began it is not known" in texts[0]
    assert monitor.incident_folder is None


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    """A full disk costs the folder, not the training."""

    def full(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    _, monitor, _, texts = broken_fit("skip", log_dir=tmp_path)
    assert monitor.skipped == [6] and monitor.incident_folder is None
    assert "it could not be written: No space left" in texts[0]
    assert [p.name for p in tmp_path.iterdir()] == ["gradients"]


def test_trouble_of_its_own_ends_the_recording_alone(monkeypatch):
    plain, watched = log_model(), log_model()
    data = positive_data(broken=False)
    fit(plain, data)

    def fail(*arguments, **others):
        raise RuntimeError("on purpose")

    module = "keras_perceptual.gradients.recorder.reader"
    monkeypatch.setattr(f"{module}.make_reading", fail)
    with pytest.warns(UserWarning, match="on purpose"):
        fit(watched, data, GradientMonitor())
    assert_same(plain, watched)


@pytest.mark.slow
def test_what_was_interrupted_leaves_nothing_behind():
    """A later `fit` without the monitor has its own function again."""

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    plain, model = log_model(), log_model()
    data = positive_data(broken=False)
    monitor = GradientMonitor(every=1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, monitor, Interrupt())
    with pytest.raises(KeyboardInterrupt):
        fit(plain, data, Interrupt())
    fit(model, data), fit(plain, data)
    assert_same(plain, model)
    assert len(monitor.readings) == 3


def test_looking_at_it(tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    monitor = GradientMonitor(every=2, log_dir=tmp_path, keep=3)
    fit(healthy_model(), regression_data(), monitor)
    assert monitor.plot("update").get_xlabel() == "step"
    assert "net/hidden/kernel" in str(monitor)
    assert "<td>net/hidden/kernel</td>" in monitor._repr_html_()
    assert list(pathlib.Path(tmp_path, "gradients").glob("events.*"))


def test_a_table_of_pandas(monkeypatch):
    """What pandas is given: it need not be installed for that."""
    pandas = types.ModuleType("pandas")
    pandas.DataFrame = lambda rows, columns: (rows, columns)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    monitor = GradientMonitor(every=4, keep=2)
    fit(healthy_model(), regression_data(), monitor)
    rows, columns = monitor.to_dataframe()
    assert list(rows[0]) == columns
    assert [row["step"] for row in rows] == [4] * 4 + [8] * 4
    assert rows[0]["variable"] == "net/hidden/kernel"


def test_without_pandas(monkeypatch):
    import importlib

    def missing(name, *arguments):
        raise ImportError(f"No module named {name!r}")

    monitor = GradientMonitor()
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install pandas.*Received"):
        monitor.to_dataframe()


def test_it_can_be_pickled():
    monitor = GradientMonitor(every=2)
    fit(healthy_model(), regression_data(), monitor)
    copied = pickle.loads(pickle.dumps(monitor))
    assert str(copied) == str(monitor)
    fit(healthy_model(), regression_data(), copied)
    assert copied.readings[-1].step == 16


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"every": 0}, "every"),
        ({"keep": 0}, "keep"),
        ({"on_nonfinite": "raise"}, "on_nonfinite"),
        ({"rules": "all"}, r"\['exploding', 'leaping', 'died', "),
        ({"rules": ["dead"]}, "rules"),
        ({"max_bytes": 0}, "max_bytes"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=rf"GradientMonitor.*{words}.*Receiv"):
        GradientMonitor(**arguments)


@pytest.mark.tensorflow_only
def test_a_step_that_takes_data_takes_each_once():
    """The second program of a read step would take an element of its own."""
    import tensorflow as tf

    def weights(*callbacks):
        keras.utils.set_random_seed(0)
        stream = iter(tf.data.Dataset.range(99).map(lambda i: i / 99))

        class Weighed(keras.Sequential):
            def train_step(self, data):
                x, y = data
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean((self(x) - y) ** 2)
                    loss *= tf.cast(next(stream), "float32")
                gradients = tape.gradient(loss, self.trainable_variables)
                self.optimizer.apply(gradients, self.trainable_variables)
                return {"loss": loss}

        model = Weighed([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", jit_compile=False)
        x = np.ones((8, 2), "float32")
        model.fit(x, x[:, :1], batch_size=2, verbose=0, callbacks=callbacks)
        return model.get_weights()

    monitor = kp.GradientMonitor(every=1)
    for found, plain in zip(weights(monitor), weights(), strict=True):
        np.testing.assert_array_equal(found, plain)
    assert np.isnan(monitor.readings[-1].norm).all()
    assert (monitor.readings[-1].update > 0).all()
