"""Reading the causes of missing gradients off a step taken on PyTorch."""

import linecache
import random

import keras
import numpy as np
import pytest
from gradient_models import constant_loss, healthy_model, regression_data
from keras import layers, ops

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import GradientSanityError, reasons, tracers
from keras_perceptual.gradients.dataflow import follow, needed_for, users_of
from keras_perceptual.gradients.explain import StepExplainer

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

HIDDEN = ["net/hidden/kernel", "net/hidden/bias"]


def replaced_functions():
    function = torch.autograd.Function
    return vars(function)["apply"], torch.autograd.backward


def fit(model, callback, **arguments):
    x, y = regression_data()
    arguments = {"batch_size": 8, "verbose": 0, "shuffle": False, **arguments}
    originals = replaced_functions()
    try:
        return model.fit(x, y, callbacks=[callback], **arguments)
    finally:
        assert replaced_functions() == originals
        assert not {"train_step"} & set(vars(model))
        assert not {"apply"} & set(vars(model.optimizer))


def missing_in(model):
    """Returns the records of missing gradients by the path."""
    callback = GradientSanityCallback()
    with pytest.raises(GradientSanityError):
        fit(model, callback)
    return {record.path: record for record in callback.report.missing}


def check_place(place, code, *, operation, function="", layer=""):
    """Checks a culprit, down to its line in this file."""
    assert (place.operation, place.function) == (operation, function)
    assert place.layer == layer
    assert place.file.endswith("test_dataflow_torch.py")
    assert linecache.getline(__file__, place.line).strip() == place.code == code


class Between(layers.Layer):
    """A layer with a weight that applies a function of both."""

    def __init__(self, function, **arguments):
        super().__init__(name="between", **arguments)
        self.function = function

    def build(self, input_shape):
        self.scale = self.add_weight(
            shape=input_shape[1:], initializer="ones", name="scale"
        )
        self.kept = self.add_weight(
            shape=input_shape[1:], trainable=False, name="kept"
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        if not torch.is_grad_enabled():
            return inputs  # It is only being built.
        return self.function(self, inputs)


def model_with(function, **compile_arguments):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="hidden"),
            Between(function),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile(optimizer="adam", loss="mse", **compile_arguments)
    return model


def argmax_loss(y_true, y_pred):
    return ops.cast(ops.argmax(y_pred, axis=-1), "float32") - y_true


def round_loss(y_true, y_pred):
    return ops.round(ops.square(y_true - y_pred))


def torch_round_loss(y_true, y_pred):
    return ops.square(torch.div(y_pred, 0.1, rounding_mode="floor"))


def greater_loss(y_true, y_pred):
    return ops.where(y_pred > y_true, 2.0, 1.0)


def number_loss(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred)).item() * ops.ones((1,))


class TestLosses:
    @pytest.mark.parametrize(
        "loss, code, operation, function",
        [
            (
                argmax_loss,
                'return ops.cast(ops.argmax(y_pred, axis=-1), "float32") '
                "- y_true",
                "argmax",
                "keras.ops.argmax",
            ),
            (
                round_loss,
                "return ops.round(ops.square(y_true - y_pred))",
                "round",
                "keras.ops.round",
            ),
            (
                torch_round_loss,
                "return ops.square(torch.div(y_pred, 0.1, "
                'rounding_mode="floor"))',
                "div",
                "",
            ),
            (
                greater_loss,
                "return ops.where(y_pred > y_true, 2.0, 1.0)",
                "gt",
                "",
            ),
            (
                number_loss,
                "return ops.mean(ops.square(y_true - y_pred)).item() "
                "* ops.ones((1,))",
                "item",
                "",
            ),
        ],
    )
    def test_loss_that_cuts(self, loss, code, operation, function):
        records = missing_in(healthy_model(loss=loss))
        assert len(records) == 4
        for record in records.values():
            assert record.reason == reasons.CUT
            (place,) = record.culprits
            check_place(place, code, operation=operation, function=function)

    def test_constant_loss(self):
        records = missing_in(healthy_model(loss=constant_loss))
        assert len(records) == 4
        for record in records.values():
            assert record.reason == reasons.IGNORES_MODEL
            assert record.culprit.function == "keras.ops.zeros"
            assert record.culprit.code == "return ops.zeros((1,))"

    def test_output_without_loss(self):
        inputs = keras.Input((4,))
        outputs = {
            name: layers.Dense(1, name=name)(inputs)
            for name in ("used", "free")
        }
        model = keras.Model(inputs, outputs)
        model.compile(loss={"used": "mse"}, metrics={"free": "mae"})
        x, y = regression_data()
        callback = GradientSanityCallback()
        with pytest.raises(GradientSanityError):
            model.fit(
                x, {"used": y, "free": y}, verbose=0, callbacks=[callback]
            )
        records = callback.report.missing
        assert [r.path for r in records] == ["free/kernel", "free/bias"]
        for record in records:
            assert record.reason == reasons.NO_LOSS
            assert record.culprit.layer == "free"

    def test_penalty_alone(self):
        kernel = "net/hidden/kernel"
        model = model_with(lambda layer, x: ops.stop_gradient(x) * layer.scale)
        model.get_layer("hidden").kernel.regularizer = keras.regularizers.L2()
        records = missing_in(model)
        assert sorted(records) == sorted(HIDDEN)
        assert records[kernel].reason == reasons.PENALTY
        assert records[kernel].norm > 0
        assert records[kernel].culprit.function == "keras.ops.stop_gradient"


def detach(layer, x):
    return x.detach() * layer.scale


def stop_gradient(layer, x):
    return ops.stop_gradient(x) * layer.scale


def floor(layer, x):
    return torch.floor(x) * layer.scale


def to_integers(layer, x):
    return x.to(torch.int32) * layer.scale


def write(layer, x):
    layer.kept.assign(ops.mean(x, axis=0))
    return layer.kept * torch.ones((8, 1)) * layer.scale


def without_gradients(layer, x):
    with torch.no_grad():
        y = torch.tanh(x)
    return y * layer.scale


def through_numpy(layer, x):
    y = np.tanh(x.detach().cpu().numpy())
    return torch.from_numpy(y) * layer.scale


def through_keras(layer, x):
    y = np.tanh(ops.convert_to_numpy(x))
    return ops.convert_to_tensor(y) * layer.scale


def through_lists(layer, x):
    y = [[2 * number for number in row] for row in x.tolist()]
    return torch.tensor(y) * layer.scale


def overwrite(layer, x):
    y = x + 1.0
    y.zero_()
    return (y + 1.0) * layer.scale


class Blind(torch.autograd.Function):
    """A function without a gradient for one of its arguments."""

    @staticmethod
    def forward(context, x, scale):
        context.save_for_backward(x)
        return x * scale

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return None, (gradient * x).sum(0)


def blind(layer, x):
    return Blind.apply(x, layer.scale.value)


class TestLayers:
    @pytest.mark.parametrize(
        "function, code, operation, public",
        [
            (detach, "return x.detach() * layer.scale", "detach", ""),
            (
                stop_gradient,
                "return ops.stop_gradient(x) * layer.scale",
                "detach",
                "keras.ops.stop_gradient",
            ),
            (floor, "return torch.floor(x) * layer.scale", "floor", ""),
            (
                to_integers,
                "return x.to(torch.int32) * layer.scale",
                "to",
                "",
            ),
            (
                write,
                "layer.kept.assign(ops.mean(x, axis=0))",
                "copy_",
                "",
            ),
            (
                without_gradients,
                "y = torch.tanh(x)",
                "tanh under no_grad",
                "",
            ),
            (
                through_numpy,
                "y = np.tanh(x.detach().cpu().numpy())",
                "numpy",
                "",
            ),
            (
                through_keras,
                "y = np.tanh(ops.convert_to_numpy(x))",
                "__array__",
                "keras.ops.convert_to_numpy",
            ),
            (
                through_lists,
                "y = [[2 * number for number in row] for row in x.tolist()]",
                "tolist",
                "",
            ),
            (overwrite, "y.zero_()", "zero_", ""),
            (
                blind,
                "return Blind.apply(x, layer.scale.value)",
                "Blind",
                "",
            ),
        ],
    )
    def test_layer_that_cuts(self, function, code, operation, public):
        records = missing_in(model_with(function))
        assert sorted(records) == sorted(HIDDEN)
        for record in records.values():
            assert record.reason == reasons.CUT
            check_place(
                record.culprit,
                code,
                operation=operation,
                function=public,
                layer="between",
            )

    def test_unused_weight(self):
        records = missing_in(model_with(lambda layer, x: x))
        (record,) = records.values()
        assert record.path == "net/between/scale"
        assert (record.reason, record.layer) == (reasons.UNUSED, "between")
        assert record.culprits == ()


def in_place(layer, x):
    y = torch.zeros_like(x)
    y[:, :4] = x[:, :4] * layer.scale[:4]
    y[:, 4:].copy_(x[:, 4:])
    return y.add_(1.0)


def straight_through(layer, x):
    return x + ops.stop_gradient(ops.round(x) - x) * layer.scale


def closure(layer, x):
    return torch.vmap(lambda row: row * layer.scale.value)(x)


def slope(layer, x):
    y = ops.sum(ops.square(x * layer.scale))
    (gradient,) = torch.autograd.grad(y, [x], create_graph=True)
    return gradient


def adversary(layer, x):
    probe = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(ops.sum(probe**2), [probe])
    return (x + gradient) * layer.scale


def sparse(layer, x):
    return torch.sparse.mm(torch.eye(8).to_sparse(), x * layer.scale)


HEALTHY = [in_place, straight_through, closure, slope, adversary, sparse]


class TestHealthy:
    @pytest.mark.parametrize("function", HEALTHY)
    def test_connected_variables_are_found_connected(self, function):
        """All that is explained here is what else could keep them from it."""
        model = model_with(function)
        explanation = explain(model)
        assert len(explanation) == 5
        for cause in explanation.values():
            assert cause.reason == reasons.NOT_APPLIED

    @pytest.mark.parametrize("function", HEALTHY)
    def test_penalties_besides_a_loss_are_no_fault(self, function):
        model = model_with(function)
        model.get_layer("hidden").kernel.regularizer = keras.regularizers.L2()
        callback = GradientSanityCallback()
        fit(model, callback)
        assert not callback.report.missing


def explain(model):
    """Returns the causes that are found for all variables of a model."""
    x, y = map(torch.from_numpy, regression_data(8))
    gradients = tracers.load("gradients")
    recorder = gradients.GradientRecorder(model, sums=4, width=5)
    with gradients.fresh_train_step(model, recorder):
        model.train_step((x, y))
    explainer = StepExplainer(model, recorder)
    return explainer.explain_missing(model.trainable_variables)


class OwnStep(keras.Sequential):
    """A model that asks for some gradients by itself."""

    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        weights = self.get_layer("out").trainable_variables
        gradients = torch.autograd.grad(loss, [w.value for w in weights])
        gradients = [0.5 * gradient for gradient in gradients]
        with torch.no_grad():
            self.optimizer.apply(gradients, weights)
        return {"loss": loss}


def test_step_that_asks_for_some_gradients():
    model = OwnStep(
        [
            keras.Input((4,)),
            layers.Dense(8, name="hidden"),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile(optimizer="sgd", loss="mse")
    records = missing_in(model)
    assert sorted(records) == sorted(HIDDEN)
    assert {r.reason for r in records.values()} == {reasons.NOT_ASKED}


class Holder:
    """Not a layer, so that Keras does not look into it."""

    def __init__(self):
        self.dense = layers.Dense(8, name="hidden_away")


def test_untracked_variables():
    holder = Holder()
    model = model_with(lambda layer, x: holder.dense(x) * layer.scale)
    callback = GradientSanityCallback(on_missing="warn")
    with pytest.warns(UserWarning, match="hidden_away"):
        fit(model, callback)
    bias, kernel = callback.report.untracked
    assert (kernel.shape, bias.shape) == ((8, 8), (8,))
    code = "model = model_with(lambda layer, x: holder.dense(x) * layer.scale)"
    for record in (kernel, bias):
        assert record.culprit.code == code


class Noisy(layers.Layer):
    """A layer with every kind of random numbers and of state."""

    def __init__(self):
        super().__init__(name="noisy")
        self.dropout = layers.Dropout(0.5)
        self.norm = layers.BatchNormalization()
        self.native = torch.nn.BatchNorm1d(8)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            return self.norm(self.dropout(inputs))
        inputs = ops.stop_gradient(inputs)
        noise = torch.rand(8) + keras.random.uniform((8,))
        factor = random.random() + np.random.random()  # noqa: NPY002
        inputs = self.native(inputs) + noise
        return self.norm(self.dropout(inputs)) * factor


def random_state_and_values(callbacks):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="hidden"),
            Noisy(),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    x, y = regression_data()
    history = model.fit(
        x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks
    )
    values = [
        *(variable.numpy() for variable in model.variables),
        *(variable.numpy() for variable in model.optimizer.variables),
        *(variable.numpy() for variable in model.metrics_variables),
        *(history.history[name] for name in ("loss", "mae")),
        *(parameter.grad for parameter in model.parameters()),
    ]
    next_numbers = [
        random.random(),
        np.random.random(),  # noqa: NPY002
        float(torch.rand(())),
        float(keras.random.uniform(())),
    ]
    return values, next_numbers


@pytest.mark.filterwarnings("ignore:Gradient", "ignore:.*variables received")
def test_an_explanation_changes_nothing():
    plain, plain_numbers = random_state_and_values([])
    callback = GradientSanityCallback(on_missing="warn", steps=3)
    explained, explained_numbers = random_state_and_values([callback])
    assert callback.report["net/hidden/kernel"].reason == reasons.CUT
    assert plain_numbers == explained_numbers
    assert len(plain) == len(explained)
    for one, other in zip(plain, explained, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other)


class TestRecording:
    def record(self, step, variables=()):
        trace_step = tracers.load("dataflow").trace_step
        return trace_step(step, None, variables, variables)

    def test_puts_back_values_and_gradients(self):
        tensor, other = torch.arange(4.0), torch.ones(4)
        parameter = torch.nn.Parameter(torch.ones(2))
        parameter.grad = gradient = torch.full((2,), 7.0)
        variable = keras.Variable(np.ones(2, "float32"), name="variable")
        value = variable.value

        def step(data):
            tensor[1:].mul_(5.0)
            other.data = torch.zeros(3)
            gradient.zero_()
            parameter.grad = None
            variable.assign([3.0, 4.0])
            ops.sum(variable * 2.0).backward()
            assert value.grad is not None

        self.record(step, [variable])
        assert tensor.tolist() == [0.0, 1.0, 2.0, 3.0]
        assert other.tolist() == [1.0] * 4
        assert variable.numpy().tolist() == [1.0, 1.0]
        assert parameter.grad is None or parameter.grad is gradient
        assert gradient.tolist() == [7.0, 7.0]
        assert value.grad is None and variable.value is value

    def test_puts_back_after_an_error(self):
        tensor = torch.ones(2)

        def step(data):
            tensor.zero_()
            torch.rand(3)
            raise ValueError("Halfway.")

        state = torch.random.get_rng_state()
        originals = replaced_functions()
        with pytest.raises(ValueError, match="Halfway"):
            self.record(step)
        assert tensor.tolist() == [1.0, 1.0]
        assert torch.equal(torch.random.get_rng_state(), state)
        assert replaced_functions() == originals

    def test_views_are_written_to_as_well(self):
        variable = keras.Variable(np.ones(4, "float32"), name="variable")

        def step(data):
            whole = torch.zeros(4)
            part = whole[:2]
            with torch.no_grad():
                part.copy_(variable.value[:2])
            ops.sum(whole).backward()

        flow = self.record(step, [variable])
        needed = needed_for(flow, flow.targets_for(id(variable)))
        assert users_of(needed, flow.values_of(id(variable)))
        assert not connected_to_target(flow, variable)

    def test_derivatives(self):
        first, second = (
            keras.Variable(np.ones(2, "float32"), name=name)
            for name in ("first", "second")
        )

        def step(data):
            loss = ops.sum(first * second)
            loss.backward(inputs=[first.value])
            torch.autograd.backward([loss])
            (zeros,) = torch.autograd.grad(loss, [second.value])
            assert zeros.tolist() == [0.0, 0.0]

        flow = self.record(step, [first, second])
        assert [d.variables for d in flow.derivatives] == [
            {id(first)},
            {id(first), id(second)},
            {id(second)},
        ]
        assert len({d.targets for d in flow.derivatives}) == 1
        assert connected_to_target(flow, first)


def connected_to_target(flow, variable):
    values = flow.values_of(id(variable))
    connected = follow(flow, flow.operations, values)
    return bool(connected & flow.targets_for(id(variable)))
