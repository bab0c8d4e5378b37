"""Reading the causes of missing gradients off a step that JAX traced."""

import inspect

import keras
import numpy as np
import pytest
from gradient_models import constant_loss, healthy_model, regression_data
from keras import layers, ops

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import GradientSanityError, reasons, tracers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def jax():
    import jax

    return jax


def missing_in(model, data=None, **arguments):
    """Returns the records of missing gradients by the name of the layer."""
    x, y = data or regression_data()
    originals = _functions_that_are_replaced()
    callback = GradientSanityCallback()
    arguments = {"batch_size": 8, "verbose": 0, **arguments}
    with pytest.raises(GradientSanityError):
        model.fit(x, y, callbacks=[callback], **arguments)
    assert _functions_that_are_replaced() == originals
    assert not {"apply", "stateless_apply"} & set(vars(model.optimizer))
    return {record.layer: record for record in callback.report.missing}


def _functions_that_are_replaced():
    import jax

    return jax.grad, jax.value_and_grad, keras.Variable.value


def check_place(record, code, *, operation, function="", layer=""):
    """Checks the only culprit of a record, down to its line in this file."""
    assert record.reason == reasons.CUT
    (place,) = record.culprits
    assert (place.operation, place.function) == (operation, function)
    assert place.layer == layer
    assert place.file.endswith("test_dataflow_jax.py")
    assert place.code == code
    lines, first = inspect.getsourcelines(inspect.getmodule(check_place))
    assert lines[place.line - max(first, 1)].strip() == code


class Between(layers.Layer):
    """A layer that applies a function."""

    def __init__(self, function, **arguments):
        super().__init__(**arguments)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def model_with(function, loss="mse", **arguments):
    """A model with a function between its two layers with weights."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="hidden"),
            Between(function, name="between"),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile("sgd", loss, **arguments)
    return model


def test_argmax_in_a_loss():
    def loss(y_true, y_pred):
        picked = ops.cast(ops.argmax(y_pred, axis=-1), "float32")
        return ops.square(y_true[:, 0] - picked)

    missing = missing_in(healthy_model(loss=loss))
    assert set(missing) == {"hidden", "out"}
    check_place(
        missing["out"],
        'picked = ops.cast(ops.argmax(y_pred, axis=-1), "float32")',
        operation="argmax",
        function="keras.ops.argmax",
    )


def test_round_in_a_layer():
    def call(inputs):
        return ops.round(inputs)

    missing = missing_in(model_with(call))
    assert set(missing) == {"hidden"}
    check_place(
        missing["hidden"],
        "return ops.round(inputs)",
        operation="round",
        function="keras.ops.round",
        layer="between",
    )


def test_stop_gradient_in_a_layer():
    def call(inputs):
        return ops.stop_gradient(ops.tanh(inputs))

    missing = missing_in(model_with(call))
    assert set(missing) == {"hidden"}
    check_place(
        missing["hidden"],
        "return ops.stop_gradient(ops.tanh(inputs))",
        operation="stop_gradient",
        function="keras.ops.stop_gradient",
        layer="between",
    )


def test_integers_on_the_way():
    def call(inputs):
        return ops.cast(ops.cast(inputs, "int32"), "float32")

    check_place(
        missing_in(model_with(call))["hidden"],
        'return ops.cast(ops.cast(inputs, "int32"), "float32")',
        operation="convert_element_type",
        function="keras.ops.cast",
        layer="between",
    )


def test_functions_of_jax_itself(jax):
    def call(inputs):
        return jax.numpy.round(inputs)

    check_place(
        missing_in(model_with(call))["hidden"],
        "return jax.numpy.round(inputs)",
        operation="round",
        function="jax.numpy.round",
        layer="between",
    )


def test_a_line_within_a_compiled_function(jax):
    @jax.jit
    def quantize(inputs):
        scaled = 4.0 * inputs
        return jax.numpy.ceil(scaled)

    def call(inputs):
        return quantize(ops.tanh(inputs))

    # What is compiled twice is traced once: the second call is elsewhere.
    quantize(np.ones((8, 8), "float32"))
    check_place(
        missing_in(model_with(call))["hidden"],
        "return jax.numpy.ceil(scaled)",
        operation="ceil",
        layer="between",
    )


def test_a_callback(jax):
    def call(inputs):
        detached = jax.lax.stop_gradient(inputs)
        shape = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
        return jax.pure_callback(np.tanh, shape, detached)

    check_place(
        missing_in(model_with(call))["hidden"],
        "detached = jax.lax.stop_gradient(inputs)",
        operation="stop_gradient",
        function="jax.lax.stop_gradient",
        layer="between",
    )


def test_a_callback_with_a_gradient_of_zeros(jax):
    @jax.custom_jvp
    def outside(inputs):
        shape = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
        return jax.pure_callback(np.tanh, shape, inputs)

    @outside.defjvp
    def slope(primals, tangents):
        return outside(*primals), jax.numpy.zeros_like(tangents[0])

    def call(inputs):
        return outside(inputs)

    check_place(
        missing_in(model_with(call))["hidden"],
        "return outside(inputs)",
        operation="custom_jvp_call",
        layer="between",
    )


def test_a_custom_gradient_that_returns_nothing(jax):
    @jax.custom_vjp
    def forward(inputs):
        return jax.numpy.tanh(inputs)

    forward.defvjp(
        lambda inputs: (jax.numpy.tanh(inputs), None),
        lambda rest, gradient: (jax.numpy.zeros_like(gradient),),
    )

    def call(inputs):
        return forward(inputs)

    check_place(
        missing_in(model_with(call))["hidden"],
        "return forward(inputs)",
        operation="custom_vjp_call",
        layer="between",
    )


def test_a_custom_gradient_that_mends_what_is_inside(jax):
    @jax.custom_vjp
    def straight_through(inputs):
        return jax.numpy.round(inputs)

    straight_through.defvjp(
        lambda inputs: (jax.numpy.round(inputs), None),
        lambda rest, gradient: (gradient,),
    )

    def call(inputs):
        return ops.floor(straight_through(inputs))

    check_place(
        missing_in(model_with(call))["hidden"],
        "return ops.floor(straight_through(inputs))",
        operation="floor",
        function="keras.ops.floor",
        layer="between",
    )


def test_what_jax_cannot_differentiate_is_not_the_cause(jax):
    """A step fails where it is: here its gradient is not asked for."""

    def double(inputs):
        return jax.lax.while_loop(
            lambda state: state[0] < 2,
            lambda state: (state[0] + 1, 2 * state[1]),
            (0, inputs),
        )[1]

    def call(inputs):
        return ops.sign(double(inputs))

    check_place(
        missing_in(model_with(call))["hidden"],
        "return ops.sign(double(inputs))",
        operation="sign",
        function="keras.ops.sign",
        layer="between",
    )


@pytest.mark.parametrize("wrapper", ["checkpoint", "scan", "cond"])
def test_functions_that_hold_others(jax, wrapper):
    """They let gradients through where what they hold does."""

    def wrapped(function, inputs):
        if wrapper == "checkpoint":
            return jax.checkpoint(function)(inputs)
        if wrapper == "cond":
            return jax.lax.cond(
                True, function, lambda x: 0 * function(x), inputs
            )
        return jax.lax.scan(lambda c, x: (c, function(x)), 0.0, inputs)[1]

    def call(inputs):
        inputs = wrapped(ops.tanh, inputs)
        return wrapped(lambda x: ops.round(x), inputs)

    (place,) = missing_in(model_with(call))["hidden"].culprits
    assert place.operation == {"checkpoint": "round"}.get(wrapper, wrapper)
    assert place.layer == "between"
    inside = "return wrapped(lambda x: ops.round(x), inputs)"
    assert (place.code == inside) == (wrapper == "checkpoint")


def test_layer_that_is_not_used():
    class Forgetful(layers.Layer):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.used = layers.Dense(8, name="used")
            self.idle = layers.Dense(8, name="idle")

        def build(self, shape):
            self.used.build(shape)
            self.idle.build(shape)

        def call(self, inputs):
            return self.used(inputs)

    model = keras.Sequential([keras.Input((4,)), Forgetful(), layers.Dense(1)])
    model.compile("sgd", "mse")
    missing = missing_in(model)
    assert set(missing) == {"idle"}
    assert missing["idle"].reason == reasons.UNUSED
    assert missing["idle"].culprits == ()


def test_output_without_a_loss():
    x, y = regression_data()
    inputs = keras.Input((4,))
    model = keras.Model(
        inputs,
        {
            "out": layers.Dense(1, name="out")(inputs),
            "spare": layers.Dense(1, name="spare")(inputs),
        },
    )
    model.compile("sgd", {"out": "mse"})
    missing = missing_in(model, (x, {"out": y}))
    assert set(missing) == {"spare"}
    assert missing["spare"].reason == reasons.NO_LOSS
    (place,) = missing["spare"].culprits
    assert place.layer == "spare"


def test_loss_that_is_constant():
    missing = missing_in(healthy_model(loss=constant_loss))
    assert set(missing) == {"hidden", "out"}
    assert {r.reason for r in missing.values()} == {reasons.IGNORES_MODEL}


def test_only_a_penalty_reaches_the_weights():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(
                8, kernel_regularizer="l2", use_bias=False, name="hidden"
            ),
            Between(ops.stop_gradient, name="between"),
            layers.Dense(1, name="out"),
        ]
    )
    model.compile("sgd", "mse")
    missing = missing_in(model)
    assert set(missing) == {"hidden"}
    assert missing["hidden"].reason == reasons.PENALTY
    (place,) = missing["hidden"].culprits
    assert (place.operation, place.layer) == ("stop_gradient", "between")


class Custom(keras.Sequential):
    """A model with a training step of its own."""

    def __init__(self, differentiate):
        super().__init__(
            [
                keras.Input((4,)),
                layers.Dense(8, name="hidden"),
                Between(lambda x: ops.round(x), name="between"),
                layers.Dense(1, name="out"),
            ]
        )
        self.differentiate = differentiate

    def train_step(self, state, data):
        trainable, rest, optimizer, metrics = state
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)

        def loss_and_rest(trainable, rest):
            prediction, rest = self.stateless_call(trainable, rest, x)
            return ops.mean(ops.square(prediction - y)), rest

        gradients, rest = self.differentiate(loss_and_rest, trainable, rest)
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        return {}, (trainable, rest, optimizer, metrics)


@pytest.mark.parametrize("way", ["grad", "several", "compiled", "nested"])
def test_training_steps_of_ones_own(jax, way):
    def differentiate(function, trainable, rest):
        if way == "grad":
            return jax.grad(function, has_aux=True)(trainable, rest)
        if way == "several":
            half = len(trainable) // 2
            gradients, rest = jax.grad(
                lambda a, b: function([*a, *b], rest), (0, 1), has_aux=True
            )(trainable[:half], trainable[half:])
            return [*gradients[0], *gradients[1]], rest
        if way == "nested":
            # The slope of half the square is the number itself.
            def through_slope(trainable):
                loss, rest_ = function(trainable, rest)
                return jax.grad(lambda x: x**2 / 2)(loss), rest_

            return jax.grad(through_slope, has_aux=True)(trainable)
        (_, rest), gradients = jax.jit(
            jax.value_and_grad(function, has_aux=True)
        )(trainable, rest)
        return gradients, rest

    model = Custom(differentiate)
    model.compile("sgd")
    missing = missing_in(model)
    assert set(missing) == {"hidden"}
    check_place(
        missing["hidden"],
        'Between(lambda x: ops.round(x), name="between"),',
        operation="round",
        function="keras.ops.round",
        layer="between",
    )


def test_gradients_that_jax_is_asked_for_in_another_way(jax):

    def differentiate(function, trainable, rest):
        _, pull, rest = jax.vjp(
            lambda t: function(t, rest), trainable, has_aux=True
        )
        return pull(1.0)[0], rest

    model = Custom(differentiate)
    model.compile("sgd")
    missing = missing_in(model)
    assert set(missing) == {"hidden"}
    check_place(
        missing["hidden"],
        'Between(lambda x: ops.round(x), name="between"),',
        operation="round",
        function="keras.ops.round",
        layer="between",
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_variables_that_the_model_does_not_know_of(jax, compiled):
    dense = layers.Dense(8, name="helper")
    dense.build((None, 8))

    def call(inputs):
        # A function that is new is traced anew.
        function = jax.jit(lambda x: dense(x)) if compiled else dense
        return function(inputs)

    model = model_with(call)
    x, y = regression_data()
    callback = GradientSanityCallback()
    with pytest.raises(GradientSanityError):
        model.fit(x, y, callbacks=[callback], verbose=0)
    untracked = {r.path: r for r in callback.report.untracked}
    assert set(untracked) == {"helper/kernel", "helper/bias"}
    assert {r.shape for r in untracked.values()} == {(8, 8), (8,)}
    assert {r.status for r in callback.report} == {"ok", "untracked"}


def test_variables_of_others_that_do_not_enter_the_loss():
    idle = keras.Variable(np.ones(8, "float32"), name="idle")
    frozen = keras.Variable(np.ones(8, "float32"), trainable=False)
    stopped = keras.Variable(np.ones(8, "float32"))

    def call(inputs):
        ops.square(inputs * idle)
        return inputs * frozen + ops.stop_gradient(stopped)

    callback = GradientSanityCallback()
    x, y = regression_data()
    model_with(call).fit(x, y, callbacks=[callback], verbose=0)
    assert {r.status for r in callback.report} == {"ok"}


def test_tracing_changes_nothing(jax):
    model = model_with(ops.tanh)
    x, y = regression_data()
    model.fit(x, y, epochs=1, verbose=0)
    recorder = tracers.load("gradients").GradientRecorder(
        model, sums=2, width=3
    )
    state = model._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
    )
    recorder.remember_step(model.train_step, state, (x, y))
    before = model.get_weights()
    flow = recorder.trace_step(model.trainable_variables)
    for former, weight in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, former)
    keys = {id(v) for v in model.trainable_variables}
    assert set(flow.holders.values()) == keys
    (derivative,) = flow.derivatives
    assert derivative.variables == keys
    assert all(flow.targets_for(key) for key in keys)


def test_leaving_the_backend(jax):
    says_it_left = tracers.load("dataflow").says_it_left
    for leave in (float, bool, np.asarray, lambda x: [0][x.astype(int)]):
        with pytest.raises(TypeError) as caught:
            jax.make_jaxpr(leave)(1.0)
        assert says_it_left(caught.value)
    assert not says_it_left(TypeError("something else"))
