"""A step that broke is run again from a folder, bit by bit."""

import json
import pathlib
import warnings

import keras
import numpy as np
import pytest
from gradient_models import healthy_model, regression_data
from keras import layers, ops
from sampling import rarely

import keras_perceptual as kp
from keras_perceptual.callbacks import GradientMonitor, replay
from keras_perceptual.gradients.recorder import incident

BACKEND = keras.backend.backend()


class Root(layers.Layer):
    """Has an infinite derivative at zero, behind noise that it is told."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.seeds = keras.random.SeedGenerator(7)

    def call(self, x):
        noise = keras.random.uniform(ops.shape(x), seed=self.seeds)
        return ops.sqrt(ops.abs(x)) + 0.01 * noise


def root_model(**arguments):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, use_bias=False, name="first"),
            Root(name="root"),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile("adam", "mse", **arguments)
    return model


def break_it(folder, **arguments):
    """Trains until a sample of zeros, the second of the third batch."""
    x, y = regression_data(16)
    x[9] = 0.0
    monitor = GradientMonitor(log_dir=folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root_model(**arguments).fit(
            x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[monitor]
        )
    return monitor.incident_folder


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        *(
            [rarely(({"jit_compile": True},))]
            if BACKEND == "tensorflow"
            else []
        ),
    ],
)
def test_it_runs_again_bit_by_bit(tmp_path, arguments):
    """In another model, whose weights stay its own."""
    folder = break_it(tmp_path, **arguments)
    model = root_model(**arguments)
    model.layers[0].set_weights([np.full((4, 3), 0.5, "float32")])
    before = model.get_weights()
    step = replay(folder, model)
    assert (step.step, step.epoch, step.samples) == (3, 0, (1,))
    assert step.same
    assert "ops.sqrt(ops.abs(x))" in step.text
    assert np.isfinite(step.loss)
    np.testing.assert_array_equal(step.batches[0][0][1], np.zeros(4))
    assert step.readings[0]["variable"] == "net/first/kernel"
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.train_function is None


@pytest.mark.slow
def test_the_term_of_the_loss_is_named(tmp_path):
    """In the warning and when the step is run again."""

    def two_outputs():
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        outputs = [layers.Dense(1, name=n)(inputs) for n in ("one", "two")]
        model = keras.Model(inputs, outputs)
        total = kp.WeightedSumLoss({"square": "mse", "absolute": "mae"})
        model.compile("adam", [total, "mse"])
        return model

    x, y = regression_data(16)
    broken = y.copy()
    broken[9] = np.nan
    monitor = GradientMonitor(log_dir=tmp_path, every=1)
    with pytest.warns(UserWarning, match="step 3 made") as said:
        two_outputs().fit(
            x, [y, broken], batch_size=4, shuffle=False, verbose=0,
            callbacks=[monitor],
        )  # fmt: skip
    words = (
        "Of the terms of the loss, 'two' is NaN or infinite, and "
        "'one/square', 'one/absolute' are finite."
    )
    assert sum(words in str(w.message) for w in said) == 1
    assert set(monitor.readings[0].terms) == {
        "one/square", "one/absolute", "two"
    }  # fmt: skip
    step = replay(monitor.incident_folder, two_outputs())
    assert step.same and words in step.text
    assert np.isnan(step.terms["two"]) and step.terms["one/square"] > 0


@pytest.mark.parametrize("arguments", [{}, rarely(({"run_eagerly": True},))])
def test_a_step_that_explodes_is_kept(tmp_path, arguments):
    """The first of its kind, bit by bit; the training is the same."""
    x, y = regression_data(64)
    y[48:52] *= 1e6
    rest = {"batch_size": 4, "shuffle": False, "verbose": 0, "epochs": 2}
    monitor = GradientMonitor(every=1, log_dir=tmp_path)
    plain, watched = root_model(**arguments), root_model(**arguments)
    keras.utils.set_random_seed(2)
    expected = plain.fit(x, y, **rest)
    keras.utils.set_random_seed(2)
    with pytest.warns(UserWarning, match="1000 times as large") as said:
        history = watched.fit(x, y, callbacks=[monitor], **rest)
    assert history.history == expected.history
    for ours, theirs in zip(
        watched.get_weights(), plain.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert list(monitor.sign_folders) == ["exploding"]
    folder = monitor.sign_folders["exploding"]
    assert folder.name == "exploding-step-00000013"
    assert [p.name for p in tmp_path.glob("*-step-*")] == [folder.name]
    assert any(repr(str(folder)) in str(w.message) for w in said)
    step = replay(folder, root_model(**arguments))
    assert (step.step, step.kind, step.same) == (13, "exploding", True)
    assert "net/out/kernel: norm" in step.text
    np.testing.assert_array_equal(step.batches[0][1], y[48:52])


@pytest.mark.slow
@pytest.mark.once
def test_another_state_is_noticed(tmp_path):
    """The comparison can fail."""
    folder = break_it(tmp_path)
    found = incident.load(folder)
    found.state[0][0, 0] += 0.5
    with pathlib.Path(folder, "state.npz").open("wb") as file:
        np.savez(
            file,
            **{f"{i}:{a.dtype.name}": a for i, a in enumerate(found.state)},
        )
    assert not replay(folder, root_model()).same


@pytest.mark.slow
@pytest.mark.once
def test_models_that_cannot_take_the_step(tmp_path, monkeypatch):
    folder = break_it(tmp_path)
    with pytest.raises(ValueError, match=r"`model.compile`.*Received: model"):
        replay(folder, keras.Sequential([keras.Input((4,))]))
    with pytest.raises(ValueError, match=r"same code.*Received: model='net'"):
        replay(folder, healthy_model())
    with pytest.raises(ValueError, match=r"Leave out `function`.*Received"):
        replay(folder, root_model(), function=len)
    facts = pathlib.Path(folder, "incident.json")
    content = json.loads(facts.read_text())
    facts.write_text(json.dumps({**content, "backend": "another"}))
    with pytest.raises(ValueError, match=r"KERAS_BACKEND=another.*Received"):
        replay(folder, root_model())
    with pytest.raises(ValueError, match=r"nonfinite-step.*Received: folder"):
        replay(tmp_path / "nowhere", root_model())
