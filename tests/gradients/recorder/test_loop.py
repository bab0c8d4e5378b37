"""A loop that is written by hand is recorded, and changed by nothing."""

import warnings

import keras
import numpy as np
import pytest
from gradient_models import regression_data
from keras import layers, ops

from keras_perceptual.callbacks import GradientMonitor, replay

BACKEND = keras.backend.backend()


def make_model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(1, name="out")], name="net"
    )
    optimizer = keras.optimizers.SGD(0.05)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def loss_of(model, batch):
    x, y = map(ops.convert_to_tensor, batch)
    return ops.mean((ops.log(ops.abs(x)) + model(x) - y) ** 2)


def tensorflow_loop(model, optimizer, batches, watch):
    import tensorflow as tf

    @tf.function
    def gradients_of(batch):
        with tf.GradientTape() as tape:
            loss = loss_of(model, batch)
        return loss, tape.gradient(loss, model.trainable_variables)

    for batch in batches:
        loss, gradients = gradients_of(batch)
        if watch(model, loss, gradients, batch):
            optimizer.apply(gradients, model.trainable_variables)


def torch_loop(model, optimizer, batches, watch):
    import torch

    for batch in batches:
        model.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        gradients = [v.value.grad for v in model.trainable_variables]
        if watch(model, loss, gradients, batch):
            with torch.no_grad():
                optimizer.apply(gradients, model.trainable_variables)


def jax_loop(model, optimizer, batches, watch):
    import jax

    def stateless_loss(weights, batch):
        pairs = list(zip(model.trainable_variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=pairs):
            return loss_of(model, batch)

    gradients_of = jax.jit(jax.value_and_grad(stateless_loss))
    apply = jax.jit(optimizer.stateless_apply, donate_argnums=(0, 2))
    # Copies: what a step is given is no more.
    weights = [v.value + 0 for v in model.trainable_variables]
    slots = [v.value + 0 for v in optimizer.variables]
    for batch in batches:
        loss, gradients = gradients_of(weights, batch)
        if watch(model, loss, gradients, batch, weights=weights):
            weights, slots = apply(slots, gradients, weights)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)


LOOP = {
    "tensorflow": tensorflow_loop,
    "torch": torch_loop,
    "jax": jax_loop,
}[BACKEND]


def batches_of(broken=None):
    x, y = regression_data(32)
    if broken is not None:
        x[broken] = 0.0
    return [(x[i : i + 4], y[i : i + 4]) for i in range(0, 32, 4)]


def run(monitor=None, batches=None, **rest):
    """Returns the weights after a loop, and what was warned of."""
    model, optimizer = make_model()

    def watch(model, loss, gradients, batch, **weights):
        if monitor is None:
            return True
        function = rest.get("explain") and (lambda b: loss_of(model, b))
        return monitor.watch(
            model, loss, gradients, batch=batch, function=function or None,
            **weights,
        )  # fmt: skip

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        LOOP(model, optimizer, batches or batches_of(), watch)
    texts = [str(w.message) for w in said]
    return model.get_weights(), [t for t in texts if "GradientMonitor" in t]


def test_a_loop_is_recorded_and_the_same():
    """The update is the difference of the weights of two steps."""
    monitor = GradientMonitor(every=3)
    found, texts = run(monitor)
    assert texts == []
    for ours, theirs in zip(found, run()[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [reading.step for reading in monitor.readings] == [1, 3, 6]
    assert monitor.readings[0].paths == ("net/out/kernel", "net/out/bias")
    first, second = (run(batches=batches_of()[:n])[0][0] for n in (2, 3))
    reading = monitor.readings[1]
    np.testing.assert_allclose(
        reading.update[0],
        np.linalg.norm(second - first) / np.linalg.norm(second),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        reading.norm[0], np.linalg.norm(second - first) / 0.05, rtol=1e-4
    )


def test_a_step_that_breaks_is_left_out_and_explained():
    monitor = GradientMonitor(every=3, on_nonfinite="skip")
    found, (text,) = run(monitor, batches_of(broken=21), explain=True)
    assert monitor.skipped == [6]
    whole = batches_of()
    without, _ = run(batches=whole[:5] + whole[6:])
    for ours, theirs in zip(found, without, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "step 6" in text and "ops.log(ops.abs(x))" in text
    assert "Sample 1 of the batch does it alone." in text
    assert "leave the optimizer out" in text


def test_the_loop_is_told_to_stop():
    monitor = GradientMonitor(every=1)
    _, (text,) = run(monitor, batches_of(broken=21))
    assert "Pass `batch` and `function`" in text and "leave the loop" in text
    assert monitor.skipped == []
    # The step that broke is none; the last one waits for the next.
    assert [reading.step for reading in monitor.readings] == [1, 2, 3, 4, 5, 7]


def test_trouble_of_its_own_ends_the_recording_alone(monkeypatch):
    def fail(*arguments, **others):
        raise RuntimeError("on purpose")

    module = "keras_perceptual.gradients.recorder.loop"
    monkeypatch.setattr(f"{module}.make_reading", fail)
    found, (text,) = run(GradientMonitor(every=1))
    assert "on purpose" in text
    for ours, theirs in zip(found, run()[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_gradients_that_are_not_those_of_the_model():
    model, _ = make_model()
    with pytest.raises(ValueError, match=r"each of.*len\(gradients\)=1"):
        GradientMonitor().watch(model, 0.0, [None])


@pytest.mark.parametrize("as_tensors", [False, True])
def test_a_step_that_breaks_runs_again(tmp_path, as_tensors):
    batches = batches_of(broken=14)
    if as_tensors:
        batches = [tuple(map(ops.convert_to_tensor, b)) for b in batches]
    monitor = GradientMonitor(every=1, log_dir=tmp_path, on_nonfinite="skip")
    _, texts = run(monitor, batches, explain=True)
    assert f"replay({str(monitor.incident_folder)!r}, model, " in texts[0]
    model, _ = make_model()
    before = model.get_weights()

    def function(batch):
        assert all(ops.is_tensor(part) == as_tensors for part in batch)
        return loss_of(model, batch)

    step = replay(monitor.incident_folder, model, function=function)
    assert (step.step, step.samples, step.same) == (4, (2,), True)
    assert not np.isfinite(step.loss)
    assert "ops.log(ops.abs(x))" in step.text
    assert len(step.readings) == 6
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    # Of the weights before the step, not of those in the model.
    model.set_weights([weight + 1 for weight in before])
    assert replay(monitor.incident_folder, model, function=function).same
    with pytest.raises(ValueError, match="Pass the function of the loss"):
        replay(monitor.incident_folder, model)
    other = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="other variables"):
        replay(monitor.incident_folder, other, function=function)


def test_a_layer_that_dies_in_a_loop_is_told():
    """By the channels of images, and by the units of what has none."""
    model, _ = make_model()
    monitor = GradientMonitor(every=1, rules=["silent"])

    def take(hidden, image):
        monitor.watch(
            model, ops.ones(()), [None, None],
            activations={
                "hidden": ops.convert_to_tensor(hidden),
                "image": ops.convert_to_tensor(image),
            },
        )  # fmt: skip

    image = np.zeros((2, 3, 3, 4), "float32")
    image[1, 2, 0, 3] = 1.0
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        take(np.float32([[0, 2, 0], [0, 0, 0]]), image)
        for _ in range(11):
            take(np.zeros((2, 3), "float32"), image)
    assert monitor.readings[0].dead == {
        "hidden": pytest.approx(2 / 3),
        "image": 0.75,
    }
    texts = [str(warning.message) for warning in said]
    (told,) = [text for text in texts if "GradientMonitor" in text]
    assert "step 11: 'hidden' is dead" in told


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path):
    monitor = GradientMonitor(
        every=1, log_dir=tmp_path, on_nonfinite="skip", max_bytes=1
    )
    _, texts = run(monitor, batches_of(broken=14), explain=True)
    assert "Note that it could not be written" in texts[0]
    assert "ops.log(ops.abs(x))" in texts[0]
    assert monitor.skipped == [4]
    assert monitor.incident_folder is None
