"""What a replay is on every backend."""

import random

import keras
import numpy as np
import pytest
from keras import layers, ops
from replay_ends import depending_on, ends_of, gradients_of, line_of, values_of

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.explain import idle_optimizers

BACKEND = keras.backend.backend()


@pytest.fixture
def module():
    return tracers.load("replay")


def batch(samples=4):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(samples, 4)).astype("float32")
    return ops.convert_to_tensor(x), ops.convert_to_tensor(x[:, :1])


def chain(layer=None, loss="mse"):
    """A layer, perhaps another one, and a head."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, name="body", use_bias=False),
            *([] if layer is None else [layer]),
            layers.Dense(1, name="head", use_bias=False),
        ]
    )
    model.compile("sgd", loss)
    return model


def replay_of(model, data=None):
    """Replays a step of a model."""
    data = batch() if data is None else data
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    # Builds metrics.
    model.test_on_batch(*keras.tree.map_structure(ops.convert_to_numpy, data))
    others = [
        *model.non_trainable_variables,
        *optimizer.variables,
        *model.metrics_variables,
    ]
    arguments = (data,)
    if BACKEND == "jax":
        state = [
            [v.value for v in variables]
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                optimizer.variables,
                model.metrics_variables,
            )
        ]
        arguments = (tuple(state), data)
    with idle_optimizers(model):
        return tracers.load("replay").replay_step(
            model.train_step, arguments, model.trainable_variables, others
        )


class Rounded(layers.Layer):
    def call(self, x):
        return ops.round(x)  # rounded


class Stopped(layers.Layer):
    def call(self, x):
        return ops.stop_gradient(x)  # stopped


class Noisy(layers.Layer):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.generator = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal((4,), seed=self.generator)


class Chosen(layers.Layer):
    def call(self, x):
        return ops.cond(ops.max(x) < 1e9, lambda: ops.tanh(x), lambda: x)


def test_operations_come_after_those_they_take_values_from():
    replay = replay_of(chain(layers.Dense(4, activation="tanh")))
    makers = {}
    for place, operation in enumerate(replay.operations):
        for key in operation.outputs:
            assert makers.setdefault(key, place) == place
    taken = {
        (key, place)
        for place, operation in enumerate(replay.operations)
        for key in operation.inputs
    }
    assert len(taken) > 5
    assert all(makers.get(key, -1) < place for key, place in taken)
    # What came in was made by nobody.
    assert makers.keys().isdisjoint(replay.data)


def test_every_variable_is_held_somewhere():
    model = chain()
    replay = replay_of(model)
    (derivative,) = replay.derivatives
    for variable in model.trainable_variables:
        assert values_of(replay, variable)
        assert id(variable) in derivative.variables
        assert gradients_of(replay, variable)
    known = {id(variable) for variable in model.trainable_variables}
    assert set(replay.holders.values()) == known


def test_gradients_are_of_the_sizes_that_they_have():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(1, use_bias=False, name="head")]
    )
    model.compile("sgd", "mse")
    data = batch()
    x, y = map(ops.convert_to_numpy, data)
    kernel = ops.convert_to_numpy(model.layers[0].kernel)
    expected = np.abs(x.T @ (2 * (x @ kernel - y) / 4)).max()
    found = gradients_of(replay_of(model, data), model.layers[0].kernel)
    assert found
    for numbers in found:
        assert numbers.size == pytest.approx(expected, rel=1e-5)
        assert numbers.finite


def test_nothing_comes_from_behind_a_stop():
    model = chain(Stopped(name="middle"))
    replay = replay_of(model)
    body, head = (layer.kernel for layer in (model.layers[0], model.layers[2]))
    assert gradients_of(replay, body) == []
    assert gradients_of(replay, head)
    (end,) = ends_of(replay, body)
    assert not end.differentiable
    assert line_of(end, __file__).endswith("# stopped")
    assert end.scope[-1] == "middle"
    assert replay.derivatives[0].targets[0] in depending_on(replay, body)


def test_nothing_comes_from_behind_a_rounding():
    """Whatever the backend makes of it: on PyTorch that is zeros."""
    model = chain(Rounded(name="middle"))
    replay = replay_of(model)
    body = model.layers[0].kernel
    assert gradients_of(replay, body) == []
    (end,) = (
        operation
        for operation in replay.operations
        if line_of(operation, __file__).endswith("# rounded")
        and not operation.differentiable
    )
    assert not depending_on(replay, body).isdisjoint(end.inputs)


def test_numbers_that_are_not_finite_are_told_apart():
    x, y = map(ops.convert_to_numpy, batch())
    x, y = x.copy(), y.copy()
    x[0, 0], y[1] = np.inf, np.nan
    data = tuple(map(ops.convert_to_tensor, (x, y)))
    replay = replay_of(chain(), data)
    names = {name: replay.values[key] for key, name in replay.data.items()}
    assert (names["x"].infinite, names["x"].nan) == (True, False)
    assert (names["y"].infinite, names["y"].nan) == (False, True)
    assert names["x"].size == pytest.approx(
        np.abs(x[np.isfinite(x)]).max(), rel=1e-6
    )


def test_places_of_data():
    inputs = {n: keras.Input((2,), name=n) for n in ("a", "b")}
    model = keras.Model(
        inputs, layers.Dense(1)(layers.Concatenate()(list(inputs.values())))
    )
    model.compile("sgd", "mse")
    x, y = batch()
    data = {"a": x[:, :2], "b": x[:, 2:]}, y, ops.ones(4)
    replay = replay_of(model, data)
    assert set(replay.data.values()) == {
        "x['a']",
        "x['b']",
        "y",
        "sample_weight",
    }


def test_what_may_be_different_in_another_step():
    model = chain(layers.BatchNormalization(name="norm"))
    replay = replay_of(model)
    assert replay.changeable
    assert replay.changeable.isdisjoint(replay.holders)
    assert replay.changeable.isdisjoint(replay.data)
    # Of the moving mean and variance at least.
    assert len(replay.changeable) >= 2
    made = {key for o in replay.operations for key in o.outputs}
    assert not made.issuperset(replay.changeable)


def test_random_numbers_vary():
    model = chain(Noisy(name="noise"))
    replay = replay_of(model)
    drawn = [o for o in replay.operations if o.varies and "noise" in o.scope]
    assert drawn
    # Nor does anything come back to them.
    others = [o for o in replay.operations if "head" in o.scope]
    assert others
    assert not any(o.varies for o in others if o.kind in ("MatMul", "matmul"))


def test_branches_that_a_condition_chose():
    model = chain(Chosen(name="choice"))
    replay = replay_of(model)
    conditional = [o for o in replay.operations if o.conditional]
    assert {o.kind.lower() for o in conditional} & {"tanh"}
    assert not any(o.conditional for o in replay.operations if not o.scope)
    assert gradients_of(replay, model.layers[0].kernel)


def test_loss_of_a_function(module):
    used, cut, idle = (
        keras.Variable(np.full(3, float(value)), name=f"v{value}")
        for value in (1, 2, 3)
    )

    def loss():
        return ops.sum(used * 2.0) + ops.sum(ops.stop_gradient(cut * 1.0))

    replay = module.replay_function(loss, [used, cut, idle])
    (derivative,) = replay.derivatives
    assert derivative.variables == {id(used), id(cut), id(idle)}
    assert {numbers.size for numbers in gradients_of(replay, used)} == {2.0}
    assert gradients_of(replay, cut) == []
    assert gradients_of(replay, idle) == []
    targets = set(derivative.targets)
    assert not targets.isdisjoint(depending_on(replay, cut))
    assert targets.isdisjoint(depending_on(replay, idle))


def test_random_numbers_to_come_are_kept(module):
    def draw():
        return random.random(), np.random.random()  # noqa: NPY002

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = draw()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    with module.random_numbers_kept():
        draw()
    assert draw() == expected
    with pytest.raises(KeyboardInterrupt), module.random_numbers_kept():
        state = random.getstate()
        draw()
        raise KeyboardInterrupt
    assert random.getstate() == state


@pytest.mark.skipif(BACKEND != "torch", reason="is about PyTorch alone")
def test_what_any_of_several_choices_lets_through(module):
    known = {"one": {1, 2}, "other": {2, 3}}
    assert module._join(["one", "other"], known) == {1, 2, 3}
    assert module._join(["one"], known) == {1, 2}
    assert module._join([], known) == set()
    assert module._join(["one", "unknown"], known) is None


@pytest.mark.skipif(BACKEND != "jax", reason="is about JAX alone")
def test_variables_beside_the_state_may_change(module):
    import jax

    weight, other = keras.Variable(2.0), keras.Variable(3.0)
    # It is not seen when it is read.
    value = other.value

    def step(state, data):
        return jax.grad(lambda w: w * value * data[0])(state[0])

    replays = [
        module.replay_step(
            step, ((weight.value,), (np.float32(5),)), [weight], others
        )
        for others in ([other], [])
    ]
    assert [len(replay.changeable) for replay in replays] == [1, 0]


@pytest.mark.skipif(BACKEND != "jax", reason="is about JAX alone")
def test_what_a_step_is_given_to_train_is_known_in_its_order(module):
    record = tracers.load("record").Record()
    variables = [keras.Variable(x) for x in (1.0, 2.0, 3.0)]
    state = [v.value for v in variables[:2]], np.float32(9)
    keys = module._describe(record, (state, (np.float32(7),)), variables)
    assert record.state == keys[:2]
    assert [record.holders[key] for key in keys[:2]] == [
        id(v) for v in variables[:2]
    ]
    # What is beside it in the state may change, the data come next.
    assert record.changeable == {keys[2]}
    assert record.data == {keys[3]: "x"}
    # The last one is no part of the state.
    assert sorted(record.holders.values()) == sorted(map(id, variables))


@pytest.mark.skipif(BACKEND != "torch", reason="is about PyTorch alone")
def test_random_numbers_of_pytorch_are_kept(module):
    import torch

    torch.manual_seed(0)
    expected = torch.rand(3).tolist()
    torch.manual_seed(0)
    with module.random_numbers_kept():
        torch.rand(5)
    assert torch.rand(3).tolist() == expected
