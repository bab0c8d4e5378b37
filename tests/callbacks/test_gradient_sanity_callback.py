import contextlib
import pickle
import warnings

import keras
import numpy as np
import pytest
from checks import check_config
from gradient_models import (
    PATHS,
    Unbuilt,
    clipped_model,
    closed_gate_model,
    constant_loss,
    cut_model,
    dead_relu_model,
    healthy_model,
    nan_loss,
    regression_data,
)
from keras import layers, ops
from sampling import sample

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import GradientSanityError, diagnoses

IS_TORCH = keras.backend.backend() == "torch"


def fit(model, callback=None, *, data=None, callbacks=(), **arguments):
    x, y = data or regression_data()
    arguments = {"batch_size": 8, "verbose": 0, "shuffle": False, **arguments}
    own = [] if callback is None else [callback]
    return model.fit(x, y, callbacks=[*callbacks, *own], **arguments)


def check_nothing_stays(model):
    assert "_watched_step" not in getattr(
        model.train_function, "__qualname__", ""
    )
    optimizer = model.optimizer
    for part in (optimizer, getattr(optimizer, "inner_optimizer", optimizer)):
        assert not {"apply", "stateless_apply"} & set(vars(part))
    assert not [name for name in vars(model) if "gradient" in name.lower()]
    assert "train_step" not in vars(model)


def our_warnings(caught):
    messages = [str(warning.message) for warning in caught]
    return [m for m in messages if m.startswith("GradientSanityCallback")]


def statuses(report):
    return {record.path: record.status for record in report}


class TestVerdicts:
    def test_the_class_in_place_of_an_object(self):
        model = healthy_model()
        message = r"Create one: `callbacks=\[.*Callback\(\)\]`. Received: Grad"
        with pytest.raises(TypeError, match=message):
            fit(model, GradientSanityCallback)
        check_nothing_stays(model)

    def test_healthy_model(self):
        callback = GradientSanityCallback()
        assert callback.report is None
        model = healthy_model()
        fit(model, callback)
        assert statuses(callback.report) == dict.fromkeys(PATHS, "ok")
        assert callback.report.batches == 3
        record = callback.report["net/hidden/kernel"]
        assert (record.shape, record.layer, record.layer_class) == (
            (4, 8),
            "hidden",
            "Dense",
        )
        check_nothing_stays(model)

    def test_norm_is_that_of_the_gradient_of_the_step(self):
        model = healthy_model(keras.optimizers.SGD(1.0))
        before = model.get_weights()
        callback = GradientSanityCallback()
        x, y = regression_data(8)
        fit(model, callback, data=(x, y))
        steps = [
            np.linalg.norm(old - new)
            for old, new in zip(before, model.get_weights(), strict=True)
        ]
        norms = [record.norm for record in callback.report]
        ratios = [record.ratio for record in callback.report]
        np.testing.assert_allclose(norms, steps, rtol=1e-4)
        weights = [np.linalg.norm(new) for new in model.get_weights()]
        expected = np.divide(norms, weights)
        np.testing.assert_allclose(ratios, expected, rtol=1e-4)

    def test_missing_gradients_of_a_part(self):
        callback = GradientSanityCallback()
        model = cut_model()
        with pytest.raises(
            GradientSanityError,
            match=r"(?s)2 of 4 trainable variables receive no gradient.*"
            r"layer 'hidden_0' \(Dense\)\n    cut/hidden_0/kernel  \(4, 4\)"
            r".*Received: missing=2$",
        ) as caught:
            fit(model, callback)
        assert caught.value.report is callback.report
        assert callback.report.batches == 1
        assert statuses(callback.report) == {
            "cut/hidden_0/kernel": "missing",
            "cut/hidden_0/bias": "missing",
            "cut/out/kernel": "ok",
            "cut/out/bias": "ok",
        }
        check_nothing_stays(model)

    def test_missing_gradients_of_everything(self):
        callback = GradientSanityCallback()
        model = healthy_model(loss=constant_loss)
        with pytest.raises(GradientSanityError, match="4 of 4") as caught:
            fit(model, callback)
        assert caught.value.report is callback.report
        assert [r.path for r in callback.report.missing] == PATHS
        assert "No gradients provided" not in str(caught.value)
        check_nothing_stays(model)

    def test_many_missing_gradients_are_shortened_in_the_message_only(self):
        callback = GradientSanityCallback()
        with pytest.raises(GradientSanityError, match="and 8 more"):
            fit(cut_model(hidden_layers=10), callback)
        assert len(callback.report.missing) == 20

    def test_zeros_of_a_part_are_warned_about_once(self):
        callback = GradientSanityCallback()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(closed_gate_model(), callback, epochs=2)
        (message,) = our_warnings(caught)
        assert "exactly zero" in message
        assert "\n" not in message
        assert message.endswith(
            "Received: zero=['gated/hidden/kernel', 'gated/hidden/bias', "
            "'gated/out/kernel']"
        )
        assert len(callback.report.zero) == 3

    def test_zeros_of_a_part_that_stay_raise(self):
        with pytest.raises(GradientSanityError) as caught:
            fit(dead_relu_model(), GradientSanityCallback())
        report = caught.value.report
        assert [r.path for r in report.zero] == [
            "dead/hidden/kernel",
            "dead/hidden/bias",
            "dead/out/kernel",
        ]
        assert report.zero[0].reason == diagnoses.SATURATED.title

    @pytest.mark.parametrize("make_model", [healthy_model, cut_model])
    def test_report_for_tensorboard(self, make_model, tmp_path):
        """Also where the check ends in an error."""
        folder = tmp_path / "logs"
        callback = GradientSanityCallback(log_dir=folder, on_missing="warn")
        with (
            contextlib.suppress(GradientSanityError),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            fit(make_model(), callback)
        assert len(list(folder.iterdir())) == 1

    def test_folder_that_cannot_be_written_to(self, tmp_path):
        file = tmp_path / "logs"
        file.write_text("")
        with pytest.warns(UserWarning, match="could not write its report"):
            fit(healthy_model(), GradientSanityCallback(log_dir=file))
        with (
            pytest.warns(UserWarning, match="could not write its report"),
            pytest.raises(GradientSanityError, match="no gradient"),
        ):
            fit(cut_model(), GradientSanityCallback(log_dir=file))

    def test_zeros_of_everything_raise(self):
        callback = GradientSanityCallback()
        model = clipped_model()
        with pytest.raises(GradientSanityError, match="3 checked batch"):
            fit(model, callback)
        assert [r.path for r in callback.report.zero] == PATHS
        check_nothing_stays(model)

    def test_zeros_are_judged_after_the_given_number_of_batches(self):
        callback = GradientSanityCallback(steps=2, on_zero="raise")
        with pytest.raises(GradientSanityError, match="2 checked batch"):
            fit(closed_gate_model(), callback)
        assert callback.report.batches == 2

    def test_batches_of_several_epochs_count_together(self):
        callback = GradientSanityCallback(steps=4, on_zero="raise")
        with pytest.raises(GradientSanityError, match="4 checked batch"):
            fit(dead_relu_model(), callback, batch_size=32, epochs=6)

    def test_zeros_of_a_short_fit_are_judged_at_its_end(self):
        callback = GradientSanityCallback(steps=100, on_zero="raise")
        with pytest.raises(GradientSanityError, match="4 checked batch"):
            fit(closed_gate_model(), callback)

    def test_zeros_at_the_start_only_are_fine(self):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(4, activation="tanh", name="body"),
                layers.Dense(1, kernel_initializer="zeros", name="head"),
            ]
        )
        model.compile("sgd", "mse")
        callback = GradientSanityCallback(on_zero="raise")
        fit(model, callback)
        assert len(callback.report.ok) == 4

    def test_nonfinite_gradients_raise_after_the_first_batch(self):
        callback = GradientSanityCallback()
        model = healthy_model(loss=nan_loss)
        with pytest.raises(GradientSanityError, match="NaN or infinity"):
            fit(model, callback)
        assert callback.report.batches == 1
        assert len(callback.report.nonfinite) == 4
        assert callback.report[PATHS[0]].norm is None
        check_nothing_stays(model)

    def test_frozen_model(self):
        model = healthy_model()
        model.trainable = False
        callback = GradientSanityCallback()
        with pytest.raises(
            GradientSanityError,
            match=r"no trainable variables.*Received: model='net'",
        ):
            fit(model, callback)
        assert len(callback.report) == 0
        check_nothing_stays(model)

    def test_optimizer_of_another_model(self):
        optimizer = keras.optimizers.Adam()
        fit(healthy_model(optimizer))
        model = healthy_model(optimizer)

        callback = GradientSanityCallback()
        with pytest.raises(GradientSanityError, match="Create a new optimiz"):
            fit(model, callback)
        assert len(callback.report.missing) == 4
        check_nothing_stays(model)


class TestPolicies:
    def test_missing_is_warned_about_and_training_goes_on(self):
        callback = GradientSanityCallback(on_missing="warn")
        model = cut_model()
        before = model.get_weights()[2]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(model, callback)
        assert len(our_warnings(caught)) == 1
        assert np.any(before != model.get_weights()[2])
        assert len(callback.report.missing) == 2

    @pytest.mark.filterwarnings("ignore:Gradients do not exist")
    def test_missing_is_ignored(self):
        callback = GradientSanityCallback(on_missing="ignore")
        fit(cut_model(), callback)
        assert len(callback.report.missing) == 2

    def test_zero_is_ignored(self):
        callback = GradientSanityCallback(on_zero="ignore")
        fit(clipped_model(), callback)
        assert len(callback.report.zero) == 4

    def test_nonfinite_is_warned_about_once(self):
        callback = GradientSanityCallback(on_nonfinite="warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(healthy_model(loss=nan_loss), callback)
        (message,) = our_warnings(caught)
        assert "NaN or infinity" in message

    @pytest.mark.filterwarnings("ignore:Gradients do not exist")
    @pytest.mark.parametrize("ignore", ["cut/hidden_*", ["*/nel", "*_0/*"]])
    def test_ignored_variables(self, ignore):
        callback = GradientSanityCallback(ignore=ignore)
        unmatched = [p for p in callback.ignore if p == "*/nel"]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(cut_model(), callback)
        ours = our_warnings(caught)
        assert len(ours) == len(unmatched)
        assert all(m.endswith("Received: ignore=['*/nel']") for m in ours)
        assert statuses(callback.report) == {
            "cut/hidden_0/kernel": "ignored",
            "cut/hidden_0/bias": "ignored",
            "cut/out/kernel": "ok",
            "cut/out/bias": "ok",
        }

    def test_frozen_model_is_warned_about(self):
        model = healthy_model()
        model.trainable = False
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(model, GradientSanityCallback(on_missing="warn"))
        (message,) = our_warnings(caught)
        assert "no trainable variables" in message

    @pytest.mark.parametrize(
        "arguments, match",
        [
            ({"steps": 0}, "`steps`.*at least 1.*Received: steps=0"),
            ({"steps": 1.5}, "Received: steps=1.5"),
            (
                {"on_missing": "rise"},
                "Did you mean 'raise'.*Received: on_missing='rise'",
            ),
            ({"on_missing": "auto"}, "Received: on_missing='auto'"),
            ({"on_zero": "error"}, "'auto', 'raise', 'warn', 'ignore'"),
            ({"on_nonfinite": None}, "Received: on_nonfinite=None"),
            ({"ignore": 3}, "patterns.*Received: ignore=3"),
            ({"ignore": ["a", 3]}, r"Received: ignore=\['a', 3\]"),
            ({"ignore": [""]}, r"Received: ignore=\[''\]"),
            ({"log_dir": 3}, "path of a folder.*Received: log_dir=3"),
            ({"log_dir": ""}, "path of a folder.*Received: log_dir=''"),
        ],
    )
    def test_arguments_are_checked(self, arguments, match):
        with pytest.raises(ValueError, match=match):
            GradientSanityCallback(**arguments)

    def test_config(self):
        revived = check_config(
            GradientSanityCallback(
                steps=5,
                on_missing="warn",
                on_zero="ignore",
                on_nonfinite="warn",
                ignore=["a/*", "b"],
                log_dir="logs",
            )
        )
        assert revived.ignore == ("a/*", "b")
        assert GradientSanityCallback(ignore="a/*").ignore == ("a/*",)


class TestTrainingIsTheSame:
    @pytest.mark.filterwarnings("ignore:Your input ran out of data")
    def test_no_batch_is_taken_from_the_data(self):
        results = []
        for callbacks in ([], [GradientSanityCallback()]):
            taken = []

            def batches(taken=taken):
                for index in range(6):
                    taken.append(index)
                    yield regression_data(8, seed=index)

            model = healthy_model()
            model.fit(batches(), verbose=0, shuffle=False, callbacks=callbacks)
            results.append((taken, int(model.optimizer.iterations)))
        assert results[0] == results[1]


class Fails(keras.callbacks.Callback):
    """Raises at a given point of the training."""

    def __init__(self, error, where, batch=0):
        super().__init__()
        self.error, self.where, self.batch = error, where, batch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.where, self.batch) == ("begin", batch):
            raise self.error

    def on_train_batch_end(self, batch, logs=None):
        if (self.where, self.batch) == ("end", batch):
            raise self.error


class TestNothingStays:
    def test_after_a_second_fit_with_and_without(self):
        callback = GradientSanityCallback()
        model = healthy_model()
        fit(model, callback)
        first = callback.report
        fit(model, callback)
        assert callback.report is not first
        assert callback.report.batches == 3
        fit(model)
        check_nothing_stays(model)

    def test_train_function_that_was_traced_before_is_watched_too(self):
        model = healthy_model()
        fit(model)
        callback = GradientSanityCallback()
        fit(model, callback)
        assert statuses(callback.report) == dict.fromkeys(PATHS, "ok")

    @pytest.mark.parametrize(
        ("error", "where", "first"),
        sample(
            [
                (error, where, first)
                for error in (RuntimeError("x"), KeyboardInterrupt())
                for where in ("begin", "end")
                for first in (True, False)
            ]
        ),
    )
    def test_after_another_callback_failed(self, error, where, first):
        callback = GradientSanityCallback()
        model = healthy_model()
        other = [Fails(error, where)]
        with pytest.raises(type(error)):
            if first:
                fit(model, callback, callbacks=other)
            else:
                x, y = regression_data()
                model.fit(x, y, verbose=0, callbacks=[callback, *other])
        report = callback.report
        fit(model)
        check_nothing_stays(model)
        assert callback.report is report

    @pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt()])
    def test_after_the_step_failed(self, error):
        class Broken(keras.Sequential):
            fails = True

            def train_step(self, *arguments):
                if self.fails:
                    raise error
                return super().train_step(*arguments)

        model = Broken([keras.Input((4,)), layers.Dense(1)])
        model.compile("sgd", "mse")
        with pytest.raises(type(error)):
            fit(model, GradientSanityCallback())
        check_nothing_stays(model)

    def test_own_error_leaves_a_model_that_can_be_used(self):
        model = cut_model()
        with pytest.raises(GradientSanityError):
            fit(model, GradientSanityCallback())
        check_nothing_stays(model)
        assert all(np.all(np.isfinite(w)) for w in model.get_weights())
        model.layers[0].trainable = False
        model.compile("sgd", "mse")
        fit(model, GradientSanityCallback())

    def test_after_an_early_stop(self):
        class Stop(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.stop_training = True

        callback = GradientSanityCallback()
        model = healthy_model()
        fit(model, callback, callbacks=[Stop()], epochs=3)
        assert callback.report.batches == 1
        check_nothing_stays(model)

    def test_saving_and_copying_during_the_check(self, tmp_path):
        class Save(keras.callbacks.Callback):
            seen = 0

            def on_train_batch_begin(self, batch, logs=None):
                if batch == 0:
                    # Without state of the optimizer Keras does not load it.
                    return
                path = tmp_path / f"{batch}.keras"
                self.model.save(path)
                keras.models.load_model(path)
                keras.models.clone_model(self.model)
                pickle.loads(pickle.dumps(self.model))
                Save.seen += 1

        model = healthy_model()
        callback = GradientSanityCallback()
        fit(model, callback, callbacks=[Save()])
        assert Save.seen == 3
        assert len(callback.report.ok) == 4

    def test_later_steps_do_not_run_our_code(self, monkeypatch):
        callback = GradientSanityCallback(steps=1)
        seen = []

        class Look(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                seen.append(callback._check.active)

        fit(healthy_model(), callback, callbacks=[Look()])
        # The callback itself comes after this one.
        assert seen == [True, True, False, False]

    @pytest.mark.parametrize("steps", [1, 3], ids=["later", "all along"])
    def test_loss_that_breaks_where_no_gradient_does_is_told_once(self, steps):
        def loss(y_true, y_pred):
            return keras.ops.square(y_true - y_pred) + float("nan")

        callback = GradientSanityCallback(steps=steps)
        with pytest.warns(UserWarning, match="NaN or infinite after") as said:
            fit(healthy_model(loss=loss), callback, epochs=2)
        assert sum("after epoch" in str(one.message) for one in said) == 1
        assert len(callback.report.ok) == 4


class TestKindsOfModels:
    def test_model_that_is_built_by_its_first_batch(self):
        callback = GradientSanityCallback()
        model = Unbuilt()
        model.compile("sgd", "mse")
        fit(model, callback)
        assert sorted(statuses(callback.report).items()) == [
            ("late/hidden/bias", "ok"),
            ("late/hidden/kernel", "ok"),
            ("late/out/bias", "ok"),
            ("late/out/kernel", "ok"),
        ]
        check_nothing_stays(model)

    def test_broken_model_that_is_built_by_its_first_batch(self):
        model = Unbuilt(cut=True)
        model.compile("sgd", "mse")
        with pytest.raises(GradientSanityError, match="late/hidden/kernel"):
            fit(model, GradientSanityCallback())

    def test_embedding(self):
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                layers.Embedding(50, 2, name="table"),
                layers.Flatten(),
                layers.Dense(1, name="out"),
            ]
        )
        model.compile("adam", "mse")
        callback = GradientSanityCallback()
        x = np.arange(48).reshape(16, 3) % 50
        fit(model, callback, data=(x, np.ones((16, 1))))
        assert len(callback.report.ok) == 3

    def test_gradient_accumulation(self):
        optimizer = keras.optimizers.SGD(gradient_accumulation_steps=4)
        callback = GradientSanityCallback()
        fit(healthy_model(optimizer), callback)
        assert len(callback.report.ok) == 4

    def test_clipping_averages_and_decay(self):
        optimizer = keras.optimizers.AdamW(
            global_clipnorm=1e-3, use_ema=True, weight_decay=1e-2
        )
        callback = GradientSanityCallback()
        fit(healthy_model(optimizer), callback)
        # As they come, before the optimizer clips them.
        assert callback.report[PATHS[0]].norm > 1e-2

    @pytest.mark.parametrize("eagerly", [False, True])
    def test_eager_steps(self, eagerly):
        callback = GradientSanityCallback()
        model = healthy_model(run_eagerly=eagerly)
        fit(model, callback)
        assert len(callback.report.ok) == 4
        check_nothing_stays(model)
        with pytest.raises(GradientSanityError, match="cut/hidden_0/kernel"):
            fit(cut_model(run_eagerly=eagerly), GradientSanityCallback())

    @pytest.mark.skipif(IS_TORCH, reason="torch has one step an execution")
    def test_several_steps_an_execution(self):
        plain = healthy_model(steps_per_execution=2)
        fit(plain, epochs=2)
        plain_iterations = int(plain.optimizer.iterations)
        callback = GradientSanityCallback(steps=3)
        model = healthy_model(steps_per_execution=2)
        fit(model, callback, epochs=2)
        assert len(callback.report.ok) == 4
        # Keras may take several steps as one, which is looked at once.
        assert callback.report.batches in (3, 4)
        assert int(model.optimizer.iterations) == plain_iterations
        check_nothing_stays(model)
        with pytest.raises(GradientSanityError, match="NaN"):
            fit(
                healthy_model(loss=nan_loss, steps_per_execution=2),
                GradientSanityCallback(),
            )

    def test_regularisation_alone_does_not_keep_a_layer_alive(self):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(2, kernel_regularizer="l2", name="hidden"),
                layers.Lambda(ops.stop_gradient, output_shape=(2,)),
                layers.Dense(1, name="out"),
            ],
            name="net",
        )
        model.compile("sgd", "mse")
        with pytest.raises(GradientSanityError) as caught:
            fit(model, GradientSanityCallback())
        missing = [r.path for r in caught.value.report.missing]
        assert missing == ["net/hidden/kernel", "net/hidden/bias"]


class TestMixedPrecision:
    def fit(self, samples=256, **arguments):
        keras.config.set_dtype_policy("mixed_float16")
        model = healthy_model("sgd")
        callback = GradientSanityCallback(**arguments)
        x, y = regression_data(samples)
        fit(model, callback, data=(x, 10.0 * y))
        return model, callback

    def test_overflow_that_loss_scaling_handles(self):
        model, callback = self.fit()
        scale = float(ops.convert_to_numpy(model.optimizer.dynamic_scale))
        assert 1 <= scale < 2**15
        assert len(callback.report.ok) == 4
        assert callback.report.batches == 3
        check_nothing_stays(model)

    def test_norm_is_without_the_scale(self):
        _, callback = self.fit(steps=1)
        assert 1e-3 < callback.report[PATHS[0]].norm < 100

    def test_fit_that_ends_before_the_scale_has_adapted(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _, callback = self.fit(samples=8)
        (message,) = our_warnings(caught)
        assert "NaN or infinity" in message
        assert len(callback.report.nonfinite) > 0

    def test_gradients_that_no_scale_makes_finite(self):
        keras.config.set_dtype_policy("mixed_float16")
        model = healthy_model("sgd", loss=nan_loss)
        callback = GradientSanityCallback()
        with pytest.raises(GradientSanityError, match="NaN or infinity"):
            fit(model, callback, data=regression_data(64), epochs=4)
        scale = float(ops.convert_to_numpy(model.optimizer.dynamic_scale))
        assert scale < 1
