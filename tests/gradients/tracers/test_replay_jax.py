import random
import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_perceptual.gradients import tracers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def jax():
    import jax

    return jax


@pytest.fixture
def module():
    return tracers.load("replay")


@pytest.fixture
def replay_step(module):
    return module.replay_step


def state_of(model):
    return tuple(
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )


def replay_of(replay_step, model, data, strangers=()):
    """Returns the replay of a step of a model."""
    model.optimizer.build(model.trainable_variables)
    model.optimizer.stateless_apply = lambda state, _, trained: (trained, state)
    others = [
        *model.non_trainable_variables,
        *model.optimizer.variables,
        *model.metrics_variables,
    ]
    return replay_step(
        model.train_step,
        (state_of(model), data),
        [*model.trainable_variables, *strangers],
        others,
    )


def gradient_of(replay, variable):
    """Returns the numbers of the gradient by a variable, if it has one."""
    gradients = replay.derivatives[0].gradients
    found = [
        gradients[key]
        for key, holder in replay.holders.items()
        if holder == id(variable) and key in gradients
    ]
    return found[0] if found else None


def cuts_of(replay):
    """Returns the operations that hand no gradient on to what has one above.

    Only values that depend on a variable are of interest.
    """
    gradients = replay.derivatives[0].gradients
    depends = set(replay.holders)
    found = []
    for operation in replay.operations:
        before = depends.intersection(operation.inputs)
        if before:
            depends.update(operation.outputs)
        if not gradients.keys().isdisjoint(operation.outputs):
            if before - gradients.keys():
                found.append(operation)
    return found


def line_of(operation):
    """Returns the last line of this file that an operation comes from."""
    return [
        frame.line for frame in operation.frames if frame.filename == __file__
    ][-1]


class Between(layers.Layer):
    """Does what it is told to."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def model_with(function, loss="mse"):
    model = keras.Sequential(
        [
            keras.Input((3,), batch_size=4),
            layers.Dense(3, name="first"),
            Between(function, name="between"),
            layers.Dense(2, name="second"),
        ]
    )
    model.compile("sgd", loss)
    return model


@pytest.fixture
def data(rng):
    return (
        rng.normal(size=(4, 3)).astype("float32"),
        rng.normal(size=(4, 2)).astype("float32"),
    )


def rounded(x):
    return ops.round(x * 4) / 4


CONTROL_FLOW = {
    "plain": lambda jax, x: rounded(x),
    "cond": lambda jax, x: ops.cond(
        ops.max(x) > -1e9, lambda: rounded(x), lambda: x * 0
    ),
    "switch": lambda jax, x: ops.switch(
        1, [lambda v: v * 0, lambda v: rounded(v)], x
    ),
    "scan": lambda jax, x: ops.scan(lambda c, v: (c, rounded(v)), 0, x)[1],
    "fori_loop": lambda jax, x: ops.fori_loop(0, 3, lambda i, v: rounded(v), x),
    "map": lambda jax, x: ops.map(rounded, x),
    "vectorized_map": lambda jax, x: ops.vectorized_map(rounded, x),
    "associative_scan": lambda jax, x: ops.associative_scan(
        lambda a, b: rounded(a + b), rounded(x)
    ),
    "checkpoint": lambda jax, x: jax.checkpoint(rounded)(x),
    "jit": lambda jax, x: jax.jit(lambda v: rounded(v))(x),
}


@pytest.mark.parametrize("name", CONTROL_FLOW)
@pytest.mark.parametrize("place", ["layer", "loss"])
def test_a_rounding_is_where_gradients_end(jax, replay_step, data, name, place):
    def cut(x):
        return CONTROL_FLOW[name](jax, x)

    model = (
        model_with(cut)
        if place == "layer"
        else model_with(
            lambda x: x, lambda y, p: ops.mean(ops.square(cut(p) - y), -1)
        )
    )
    replay = replay_of(replay_step, model, data)
    cuts = cuts_of(replay)
    assert {o.kind for o in cuts} == {"round"}
    assert {line_of(o) for o in cuts} == {"return ops.round(x * 4) / 4"}
    assert not any(o.differentiable for o in cuts)
    if place == "layer":
        assert {o.scope[-1] for o in cuts} == {"between"}
    branched = name in ("cond", "switch")
    assert all(o.conditional == branched for o in cuts)
    found = [gradient_of(replay, v) for v in model.trainable_variables]
    passes = [v is not None and v.size > 0 for v in found]
    assert passes == [False, False, *[place == "layer"] * 2]


def test_gradients_are_those_of_training(jax, replay_step, data):
    """With dropout, weights of samples and a state that is updated."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(5, activation="gelu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=3),
            layers.Dense(2),
        ]
    )
    model.compile("sgd", "mae")
    weights = np.float32([1, 2, 0, 1])
    replay = replay_of(replay_step, model, (*data, weights))
    trained, rest, optimizer, metrics = state_of(model)
    gradients, _ = jax.grad(model.compute_loss_and_updates, has_aux=True)(
        trained,
        rest,
        metrics,
        *data,
        weights,
        training=True,
        optimizer_variables=optimizer,
    )
    for variable, expected in zip(
        model.trainable_variables, gradients, strict=True
    ):
        found = gradient_of(replay, variable)
        size = float(np.abs(expected).max())
        assert found.size == pytest.approx(size, rel=1e-4, abs=1e-6)
    assert sorted(set(replay.data.values())) == ["sample_weight", "x", "y"]
    assert any(operation.varies for operation in replay.operations)
    assert cuts_of(replay) == []


def test_zeros_are_no_missing_gradients(replay_step, data):
    model = model_with(lambda x: x * 0.0)
    replay = replay_of(replay_step, model, data)
    first = model.trainable_variables[0]
    assert gradient_of(replay, first).zero
    assert cuts_of(replay) == []
    gradients = replay.derivatives[0].gradients
    (factor,) = [
        o
        for o in replay.operations
        if o.kind == "mul" and o.scope[-1:] == ("between",)
    ]
    assert not gradients[factor.outputs[0]].zero
    contributions = replay.derivatives[0].contributions
    place = factor.inputs.index(next(iter(set(factor.inputs) & set(gradients))))
    assert contributions[factor, place] == 0
    (zero,) = [key for key in factor.inputs if replay.values[key].zero]
    assert zero not in {*replay.data, *replay.holders, *replay.changeable}


def test_numbers_that_are_not_finite(jax, replay_step, data):
    """Also where JAX is asked to stop at them."""
    model = model_with(lambda x: x + ops.sqrt(x - x))
    with jax.debug_nans(True):
        replay = replay_of(replay_step, model, data)
    gradients = replay.derivatives[0].gradients
    (root,) = [o for o in replay.operations if o.kind == "sqrt"]
    assert gradients[root.outputs[0]].finite
    assert gradients[root.inputs[0]].infinite
    assert gradient_of(replay, model.trainable_variables[0]).nan


def test_what_a_step_is_given(replay_step, data):
    inputs = {name: keras.Input((3,), name=name) for name in "ab"}
    seed = keras.random.SeedGenerator(1)
    stranger = keras.Variable(2.0, name="stranger")
    unknown = keras.Variable(3.0, trainable=False)
    constant = ops.convert_to_tensor([7.0, 1.0])

    class Model(keras.Model):
        def compute_loss(self, x, y, y_pred, weights, training):
            noise = keras.random.uniform((4, 2), seed=self.seed)
            total = (y_pred + noise) * stranger * unknown + constant
            return ops.mean(ops.abs(total - y))

    model = Model(
        inputs, layers.Dense(2)(layers.Concatenate()(list(inputs.values())))
    )
    model.seed = seed
    model.compile("sgd")
    replay = replay_of(
        replay_step, model, ({"a": data[0], "b": data[0]}, data[1]), [stranger]
    )
    assert set(replay.data.values()) == {"x['a']", "x['b']", "y"}
    asked = replay.derivatives[0].variables
    assert asked == set(map(id, model.trainable_variables))
    assert not gradient_of(replay, stranger).zero
    made = {key for o in replay.operations for key in o.outputs}
    given = {key for o in replay.operations for key in o.inputs} - made
    given -= {*replay.data, *replay.holders}
    sizes = [
        {replay.values[key].size for key in keys}
        for keys in (given & replay.changeable, given - replay.changeable)
    ]
    # What nobody knew of is a variable all the same; a constant is not.
    assert 3.0 in sizes[0] and 3.0 not in sizes[1]
    assert 7.0 in sizes[1] and 7.0 not in sizes[0]
    (state,) = model.non_trainable_variables
    drawn = ops.max(state.value)
    assert float(drawn) in sizes[0]


def test_operations_of_a_functional_model_have_their_names(replay_step):
    inputs = keras.Input((3,))
    x = layers.Dense(3, name="first")(inputs)
    x = ops.cast(ops.cast(x, "int32"), "float32")
    model = keras.Model(inputs, layers.Dense(2, name="second")(x))
    model.compile("sgd", "mse")
    names = [o.name for o in model.operations if o.name.startswith("cast")]
    data = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
    replay = replay_of(replay_step, model, data)
    found = [
        o.scope[-1]
        for o in replay.operations
        if o.kind == "convert_element_type" and o.scope[-1:] != ()
        if o.scope[-1] in names
    ]
    assert found == names
    assert any(o.scope[-1:] == ("second",) for o in replay.operations)


class Own(keras.Sequential):
    """A model with its own step.

    Attributes:
        step: Function of the model, the variables to train and the data, that
            returns gradients.
    """

    def train_step(self, state, data):
        self.step(self, state[0], *data)
        return {}, state


def own_model(step):
    model = Own([keras.Input((3,)), layers.Dense(2, name="only")])
    model.compile("sgd", "mse")
    model.step = step
    return model


def test_a_step_that_reads_what_is_stored(jax, replay_step, data):
    """The arguments are not used, and what is used is not differentiated."""

    def step(model, trained, x, y):
        return jax.grad(lambda trained: ops.mean(model(x, training=True) - y))(
            trained
        )

    model = own_model(step)
    replay = replay_of(replay_step, model, data)
    cuts = cuts_of(replay)
    assert [o.kind for o in cuts] == ["stored_value"] * 2
    assert all("model(x, training=True)" in line_of(o) for o in cuts)
    assert {replay.holders[o.inputs[0]] for o in cuts} == set(
        map(id, model.trainable_variables)
    )


def test_predictions_from_outside_of_what_is_differentiated(
    jax, replay_step, data
):
    def step(model, trained, x, y):
        prediction, _ = model.stateless_call(trained, [], x)
        return jax.grad(lambda trained: ops.mean(ops.square(prediction - y)))(
            trained
        )

    (cut,) = cuts_of(replay_of(replay_step, own_model(step), data))
    assert cut.kind == "closed_over"
    assert "ops.square(prediction - y)" in line_of(cut)


def test_several_derivatives(jax, replay_step, data):
    """Whoever imported `grad` by its name, or compiled it, is heard too."""
    from jax import grad

    compiled = jax.jit(jax.grad(lambda b, k, x: ops.mean((x @ k + b) ** 2)))

    def step(model, trained, x, y):
        kernel, bias = trained
        compiled(bias, kernel, x)
        value, pull = jax.vjp(lambda b: x @ kernel + b, bias)
        pull(ops.round(value))
        return grad(lambda k: ops.mean((x @ k) ** 2))(kernel)

    model = own_model(step)
    step(model, [v.value for v in model.trainable_variables], *data)
    replay = replay_of(replay_step, model, data)
    kernel, bias = map(id, model.trainable_variables)
    assert [d.variables for d in replay.derivatives] == [
        {bias},
        {bias},
        {kernel},
    ]
    for derivative in replay.derivatives:
        (variable,) = derivative.variables
        assert any(
            derivative.gradients[key].size > 0
            for key in derivative.gradients
            if replay.holders.get(key) == variable
        )
        frames = [f for f in derivative.frames if f.filename == __file__]
        assert "step" in [frame.name for frame in frames]


def test_gradients_in_a_loss(jax, replay_step, data):
    """A penalty on the slope of the model, which the step computes with."""

    def step(model, trained, x, y):
        def loss(trained):
            slope = jax.grad(
                lambda x: ops.sum(ops.tanh(x @ trained[0] + trained[1]))
            )(x)
            return ops.mean(ops.square(ops.norm(slope, axis=-1) - 1))

        step.gradients = jax.grad(loss)
        return step.gradients(trained)

    model = own_model(step)
    replay = replay_of(replay_step, model, data)
    assert len(replay.derivatives) == 1
    step(model, [v.value for v in model.trainable_variables], *data)
    expected = step.gradients([v.value for v in model.trainable_variables])
    for variable, gradient in zip(
        model.trainable_variables, expected, strict=True
    ):
        found = gradient_of(replay, variable).size
        assert found == pytest.approx(float(np.abs(gradient).max()), rel=1e-4)


def test_steps_that_cannot_be_traced(jax, replay_step, data):
    def step(model, trained, x, y):
        value, _ = jax.value_and_grad(
            lambda trained: ops.mean(ops.round(x @ trained[0]) - y)
        )(trained)
        model.last = float(value)

    model = own_model(step)
    replay = replay_of(replay_step, model, data)
    assert [o.kind for o in cuts_of(replay)] == ["round"]
    assert isinstance(model.last, float)
    assert set(replay.data.values()) == {"x", "y"}


def test_steps_without_gradients(replay_step, data):
    model = own_model(lambda *args: None)
    with pytest.raises(ValueError, match=r"none of `jax.grad`.* Received: "):
        replay_of(replay_step, model, data)


def test_a_function(module):
    x = np.ones((2, 3), "float32")
    used, cut, unused = (
        keras.Variable(np.full((3,), 2, "float32")) for _ in range(3)
    )
    factor = keras.Variable(0.0, trainable=False)

    def function():
        return ops.sum(ops.add(x, used)) + ops.sum(ops.round(cut)) * factor

    replay = module.replay_function(function, [used, cut, unused])
    (derivative,) = replay.derivatives
    assert derivative.variables == {id(used), id(cut), id(unused)}
    found = {
        replay.holders[key]: numbers.size
        for key, numbers in derivative.gradients.items()
        if key in replay.holders
    }
    assert found == {id(used): 2.0}
    (operation,) = cuts_of(replay)
    assert operation.kind == "round"
    assert line_of(operation).startswith("return ops.sum(ops.add(x, used))")
    zeros = {key for key in replay.changeable if replay.values[key].zero}
    assert len(zeros) == 1


def test_nothing_stays_and_no_other_thread_sees_it(jax, module, data):
    originals = jax.grad, jax.value_and_grad, jax.vjp
    call, read = keras.Operation.__call__, vars(keras.Variable).get("value")
    found = []

    def step(model, trained, x, y):
        thread = threading.Thread(
            target=lambda: found.append(float(jax.grad(lambda v: v * v)(3.0)))
        )
        thread.start()
        thread.join()
        return jax.grad(lambda t: ops.mean(x @ t[0]))(trained)

    replay = replay_of(module.replay_step, own_model(step), data)
    assert found == [6.0]
    assert len(replay.derivatives) == 1
    with pytest.raises(ZeroDivisionError):
        replay_of(module.replay_step, own_model(lambda *args: 1 / 0), data)
    assert (jax.grad, jax.value_and_grad, jax.vjp) == originals
    assert keras.Operation.__call__ is call
    assert vars(keras.Variable).get("value") is read


def test_random_numbers_are_as_they_were(module):
    def draw():
        return random.random(), np.random.random()  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = draw()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    with pytest.raises(KeyError), module.random_numbers_kept():
        draw()
        raise KeyError
    assert draw() == expected
