"""What a replay on PyTorch knows of a step."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops
from replay_ends import (
    depending_on,
    ends_of,
    find,
    gradients_of,
    line_of,
    needed_for,
    values_of,
)

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.replay import (
    random_numbers_kept,
    replay_function,
    replay_step,
)


def variable(name="variable", value=(0.5, 1.5, 2.5)):
    return keras.Variable(np.array(value, "float32"), name=name)


def replay(loss_of, *variables, data=None, others=()):
    """Replays a step that differentiates what a function returns."""

    def step(data):
        loss_of(data).backward()

    return replay_step(step, (data,), variables, others)


def assert_ends(found, variable, kind, code):
    """Asserts that the gradient of a variable ends in a line of this file."""
    assert gradients_of(found, variable) == []
    (end,) = ends_of(found, variable)
    assert (end.kind, line_of(end, __file__)) == (kind, code)
    return end


def argmax(x):
    return ops.cast(ops.argmax(x, axis=-1), "float32")


def round_numbers(x):
    return ops.round(x * 4.0)


def divide(x):
    return torch.div(x, 0.1, rounding_mode="floor")


def greater(x):
    return ops.where(x > 1.0, 2.0, 1.0)


def detach(x):
    return x.detach()


def stop_gradient(x):
    return ops.stop_gradient(x)


def floor(x):
    return torch.floor(x)


def sign(x):
    return ops.sign(x)


def to_integers(x):
    return x.to(torch.int32)


def without_gradients(x):
    with torch.no_grad():
        y = torch.tanh(x)
        z = y * 2.0
    return z + 1.0


def through_numpy(x):
    y = np.tanh(x.detach().cpu().numpy())
    return torch.from_numpy(y)


def through_keras(x):
    y = np.tanh(ops.convert_to_numpy(x))
    return ops.convert_to_tensor(y)


def through_lists(x):
    y = [2 * number for number in x.tolist()]
    return torch.tensor(y)


def item(x):
    y = ops.sum(x).item()
    return ops.ones((3,)) * y


def overwrite(x):
    y = x + 1.0
    y.zero_()
    return y + 1.0


def fill(x):
    y = x + 1.0
    y.fill_(3.0)
    return y


def sample(x):
    distribution = torch.distributions.Gamma(x, torch.ones(3))
    return distribution.sample((2,))


def bernoulli(x):
    return torch.bernoulli(ops.sigmoid(x))


class Blind(torch.autograd.Function):
    """A function without a gradient."""

    @staticmethod
    def forward(context, x):
        return torch.sin(x)

    @staticmethod
    def backward(context, gradient):
        return None


def blind(x):
    return Blind.apply(x)


CUTS = [
    (argmax, "to", 'return ops.cast(ops.argmax(x, axis=-1), "float32")'),
    (round_numbers, "round", "return ops.round(x * 4.0)"),
    (divide, "div", 'return torch.div(x, 0.1, rounding_mode="floor")'),
    (greater, "where", "return ops.where(x > 1.0, 2.0, 1.0)"),
    (detach, "detach", "return x.detach()"),
    (stop_gradient, "detach", "return ops.stop_gradient(x)"),
    (floor, "floor", "return torch.floor(x)"),
    (sign, "sign", "return ops.sign(x)"),
    (to_integers, "mul", ""),
    (without_gradients, "tanh under no_grad", "y = torch.tanh(x)"),
    (through_numpy, "numpy", "y = np.tanh(x.detach().cpu().numpy())"),
    (through_keras, "__array__", "y = np.tanh(ops.convert_to_numpy(x))"),
    (through_lists, "tolist", "y = [2 * number for number in x.tolist()]"),
    (item, "item", "y = ops.sum(x).item()"),
    (overwrite, "zero_", "y.zero_()"),
    (fill, "fill_", "y.fill_(3.0)"),
    (bernoulli, "bernoulli", "return torch.bernoulli(ops.sigmoid(x))"),
    (blind, "Blind", "return Blind.apply(x)"),
    (
        sample,
        "_standard_gamma under no_grad",
        "return distribution.sample((2,))",
    ),
]


@pytest.mark.parametrize("cut, kind, code", CUTS)
def test_cut_on_the_way_of_one_variable(cut, kind, code):
    v, scale = variable(), variable("scale")
    found = replay(lambda _: ops.sum(cut(v * 1.0) * scale), v, scale)
    if code:
        assert_ends(found, v, kind, code)
    else:
        (end,) = ends_of(found, v)
        assert end.kind == kind
    assert gradients_of(found, scale)[0].size > 0


@pytest.mark.parametrize("cut, kind, code", [c for c in CUTS if c[2]])
def test_cut_that_leaves_nothing_to_differentiate(cut, kind, code):
    """PyTorch refuses to differentiate such a loss, and it is explained."""
    v = variable()
    assert_ends(replay(lambda _: ops.sum(cut(v * 1.0)), v), v, kind, code)


@pytest.mark.parametrize(
    "cut, differentiable",
    [
        *[(cut, False) for cut in (floor, detach, to_integers)],
        *[(cut, False) for cut in (without_gradients, through_numpy)],
        (lambda x: torch.sin(x), True),
        (lambda x: torch.div(x, 2.0), True),
    ],
)
def test_what_has_no_gradient_is_told_by_the_kind(cut, differentiable):
    v = variable()
    found = replay(lambda _: ops.sum(cut(v.value) * v), v)
    first = found.operations[0]
    assert first.differentiable is differentiable


def test_staircase_of_what_has_no_gradient_is_one_as_well():
    v = variable()
    found = replay(lambda _: ops.sum(torch.floor(v.value.detach()) * v), v)
    assert not find(found, "floor")[0].differentiable
    assert find(found, "mul")[0].differentiable


class TestControlFlow:
    """What runs in functions, branches and loops is seen in there."""

    CODE = "return ops.round(x * 4.0)"

    @pytest.mark.parametrize(
        "run",
        [
            lambda x: ops.cond(
                ops.max(x) > -9, lambda: round_numbers(x), lambda: x
            ),
            lambda x: ops.switch(1, [lambda y: y, round_numbers], x),
            lambda x: ops.fori_loop(0, 2, lambda i, y: round_numbers(y), x),
            lambda x: ops.while_loop(
                lambda i, y: i < 2,
                lambda i, y: (i + 1, round_numbers(y)),
                (0, x),
            )[1],
            lambda x: ops.vectorized_map(round_numbers, x),
            lambda x: torch.vmap(round_numbers)(x),
            lambda x: torch.func.grad(lambda y: ops.sum(round_numbers(y) * y))(
                x
            ),
            lambda x: torch.cond(
                x.max() > -9, round_numbers, lambda y: y * 1.0, (x,)
            ),
            lambda x: torch.utils.checkpoint.checkpoint(
                round_numbers, x, use_reentrant=False
            ),
            lambda x: torch.utils.checkpoint.checkpoint(
                round_numbers, x, use_reentrant=True
            ),
            lambda x: keras.remat(round_numbers)(x),
            lambda x: torch.compile(round_numbers, backend="eager")(x),
        ],
    )
    def test_the_last_rounding_is_found(self, run):
        v, scale = variable(), variable("scale")
        found = replay(lambda _: ops.sum(run(v * 1.0) * scale), v, scale)
        assert gradients_of(found, v) == []
        (end,) = [o for o in ends_of(found, v) if o.kind == "round"]
        assert line_of(end, __file__) == self.CODE
        assert gradients_of(found, scale)

    @pytest.mark.parametrize(
        "run",
        [
            lambda x: ops.scan(lambda c, y: (c + 1.0, round_numbers(y)), x, x)[
                1
            ],
            lambda x: ops.map(round_numbers, x),
            lambda x: ops.associative_scan(
                lambda a, b: round_numbers(a) + round_numbers(b), x
            )[1:],
        ],
    )
    def test_each_turn_has_one(self, run):
        v, scale = variable(), variable("scale")
        found = replay(lambda _: ops.sum(run(v * 1.0)) * ops.sum(scale), v)
        ends = ends_of(found, v)
        assert len([o for o in ends if o.kind == "round"]) > 1
        assert {line_of(o, __file__) for o in ends} == {self.CODE}

    def test_branches_are_told(self):
        v = variable()

        def loss(data):
            y = ops.cond(v[0] > 0, lambda: ops.sin(v), lambda: ops.cos(v))
            return ops.sum(ops.tanh(y))

        found = replay(loss, v)
        assert find(found, "sin")[0].conditional
        assert not find(found, "tanh")[0].conditional

    @pytest.mark.parametrize("choose", [ops.cond, ops.switch])
    def test_the_other_branch_is_tried(self, choose):
        v = variable()

        def alternatives(other):
            def loss(data):
                def taken():
                    return ops.round(v)

                if choose is ops.cond:
                    y = choose(v[0] < 1e6, taken, other)
                else:
                    y = choose(1, [other, taken])
                return ops.sum(ops.tanh(y))

            found = replay(loss, v)
            (rounded,) = find(found, "round")
            assert not find(found, "cos")
            return rounded.alternatives & found.holders.keys()

        assert alternatives(lambda: ops.cos(v))
        assert not alternatives(lambda: ops.floor(ops.cos(v)))
        assert not alternatives(lambda: 1 / 0)


def in_place(x):
    y = torch.zeros_like(x)
    y[:2] = x[:2] * 2.0
    y[2:].copy_(x[2:])
    return y.add_(1.0)


def straight_through(x):
    return x + ops.stop_gradient(ops.round(x) - x)


def mapped(x):
    return torch.vmap(lambda number: number * 2.0)(x)


def slope(x):
    (gradient,) = torch.autograd.grad(ops.sum(x**2), x, create_graph=True)
    return gradient


def adversary(x):
    probe = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(ops.sum(probe**2), [probe])
    return x + gradient


def sparse(x):
    return torch.sparse.mm(torch.eye(3).to_sparse(), x[:, None])


def checkpointed(x):
    return torch.utils.checkpoint.checkpoint(torch.sin, x, use_reentrant=True)


@pytest.mark.parametrize(
    "function",
    [
        in_place,
        straight_through,
        mapped,
        slope,
        adversary,
        sparse,
        checkpointed,
    ],
)
def test_gradients_are_those_of_the_step(function):
    """Also where a way ends, but another one does not."""
    v = variable()

    def step(data):
        ops.sum(ops.square(function(v * 1.0))).backward()

    found = replay_step(step, (None,), [v])
    step(None)
    (numbers,) = gradients_of(found, v)
    assert numbers.size == pytest.approx(float(v.value.grad.abs().max()))


class TestDerivatives:
    def test_of_variables_that_were_asked_for(self):
        first, second = variable("first"), variable("second")

        def step(data):
            loss = ops.sum(first * second)
            loss.backward(inputs=[first.value], retain_graph=True)
            torch.autograd.backward([loss], retain_graph=True)
            torch.autograd.grad(outputs=loss, inputs=[second.value])

        found = replay_step(step, (None,), [first, second])
        assert [d.variables for d in found.derivatives] == [
            {id(first)},
            {id(first), id(second)},
            {id(second)},
        ]
        assert len({d.targets for d in found.derivatives}) == 1
        for derivative in found.derivatives:
            # Those of all values, whatever was asked for.
            for v in (first, second):
                (key,) = values_of(found, v)
                assert derivative.gradients[key].size == 2.5
            code = line_of(derivative, __file__)
            assert code.startswith(("loss.backward", "torch.autograd."))

    def test_frozen_variables_are_not_asked_for(self):
        first, second = variable("first"), variable("second")
        second.trainable = False
        found = replay(lambda _: ops.sum(first * second), first, second)
        assert found.derivatives[0].variables == {id(first)}

    def test_of_what_depends_on_nothing(self):
        v = variable()
        found = replay(lambda _: ops.sum(ops.ones((3,))), v)
        (derivative,) = found.derivatives
        assert gradients_of(found, v) == []
        assert derivative.gradients.keys() == set(derivative.targets)

    def test_by_what_is_no_variable(self):
        v = variable()

        def loss(data):
            x = torch.ones(3, requires_grad=True)
            y = ops.sum(ops.tanh(x * v))
            (gradient,) = torch.autograd.grad(y, x, create_graph=True)
            return ops.sum(gradient**2)

        found = replay(loss, v)
        inner, outer = found.derivatives
        assert (inner.variables, outer.variables) == (set(), {id(v)})
        # What autograd computes is taken apart as well.
        (backward,) = find(found, "tanh_backward")
        assert backward in needed_for(found, outer.targets)
        assert outer.gradients[backward.outputs[0]].size > 0

    def test_step_has_the_real_gradients(self):
        v, seen = variable(value=(1.0, 2.0)), []

        def step(data):
            loss = ops.sum(v**2)
            (gradient,) = torch.autograd.grad(loss, v.value, create_graph=True)
            penalty = ops.sum(gradient**2)
            seen.append(penalty.tolist())
            penalty.backward()
            seen.append(v.value.grad.tolist())

        replay_step(step, (None,), [v])
        assert seen == [20.0, [8.0, 16.0]]
        assert v.value.grad is None

    def test_gradients_are_added_to_those_that_are_there(self):
        v, seen = variable(value=(1.0, 2.0)), []
        v.value.grad = there = torch.ones(2)

        def step(data):
            ops.sum(v * 3.0).backward()
            seen.append(v.value.grad.tolist())

        replay_step(step, (None,), [v])
        assert seen == [[4.0, 4.0]]
        assert v.value.grad is there and there.tolist() == [1.0, 1.0]

    def test_begins_with_the_gradient_that_is_given(self):
        v = variable()

        def step(data):
            (v * 1.0).backward(gradient=torch.full((3,), 8.0))

        found = replay_step(step, (None,), [v])
        assert gradients_of(found, v)[0].size == 8.0

    def test_missing_ones_end_no_step(self):
        """What PyTorch says of them says not where they went missing."""
        v, seen = variable(), []

        def step(data):
            loss = ops.sum(torch.ones(3, requires_grad=True))
            seen.extend(torch.autograd.grad(loss, [v.value]))
            loss = ops.sum(torch.ones(3))
            seen.extend(torch.autograd.grad(loss, [v.value]))
            seen.extend(torch.autograd.grad(loss, [v.value], allow_unused=True))

        found = replay_step(step, (None,), [v])
        assert len(found.derivatives) == 3
        assert [x if x is None else x.tolist() for x in seen] == [
            [0.0] * 3,
            [0.0] * 3,
            None,
        ]

    def test_contributions(self):
        """Of two large ones that cancel out, nothing is left."""
        v = variable()

        def loss(data):
            x = v * 1.0
            return ops.sum(x * 1000.0 - x * 999.9999)

        found = replay(loss, v)
        (derivative,) = found.derivatives
        first, second = find(found, "mul")
        assert derivative.contributions[first, 0] == pytest.approx(1000)
        assert derivative.contributions[second, 0] == pytest.approx(999.9999)
        assert gradients_of(found, v)[0].size < 1e-3

    def test_gradients_that_are_not_finite(self):
        v = variable(value=(0.0, 4.0))
        found = replay(lambda _: ops.sum(ops.sqrt(v * v)), v)
        (derivative,) = found.derivatives
        (root,) = find(found, "sqrt")
        above, below = (
            derivative.gradients[key] for key in (*root.outputs, *root.inputs)
        )
        assert above.finite
        assert (below.size, below.infinite, below.nan) == (0.125, True, False)
        assert gradients_of(found, v)[0].nan

    def test_zeros(self):
        v = variable(value=(-1.0, -2.0))
        found = replay(lambda _: ops.sum(ops.relu(v)), v)
        (derivative,) = found.derivatives
        (relu,) = find(found, "relu")
        assert derivative.gradients[relu.outputs[0]].size == 1
        assert gradients_of(found, v)[0].zero

    def test_function_that_can_be_asked_once(self):
        """One that refuses the first time only lacks numbers."""

        class Once(torch.autograd.Function):
            calls = 0

            @staticmethod
            def forward(context, x):
                return x * 2.0

            @staticmethod
            def backward(context, gradient):
                Once.calls += 1
                if Once.calls == 1:
                    raise RuntimeError("Not now.")
                return gradient * 2.0

        v = variable()
        found = replay(lambda _: ops.sum(Once.apply(v * 1.0)), v)
        assert [n.size for n in gradients_of(found, v)] == [None]

    def test_gradients_that_cannot_be_computed(self):
        """The step ends there, and it is known what was asked for."""

        class Failing(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                return x * 2.0

            @staticmethod
            def backward(context, gradient):
                raise ValueError("Never.")

        v = variable()
        found = replay(lambda _: ops.sum(Failing.apply(v * 1.0)), v)
        (derivative,) = found.derivatives
        assert derivative.variables == {id(v)}
        assert find(found, "Failing")


class TestValues:
    def test_numbers(self):
        v = variable(value=(-3.0, 1.0))
        found = replay(lambda _: ops.sum(ops.log(v) * 0.0), v)
        (logarithm,) = find(found, "log")
        (key,) = values_of(found, v)
        assert found.values[key].size == 3
        numbers = found.values[logarithm.outputs[0]]
        assert (numbers.size, numbers.nan, numbers.infinite) == (0, True, False)

    def test_data_have_the_names_of_their_places(self):
        v = variable()
        data = (
            {"a": torch.ones(3), "b": [torch.ones(3), torch.ones(3)]},
            torch.zeros(3),
            torch.full((3,), 2.0),
        )

        def loss(data):
            x, y, weight = data
            total = x["a"] + x["b"][0] + x["b"][1]
            return ops.sum((total - y) * weight * v)

        found = replay(loss, v, data=data)
        used = {key for o in found.operations for key in o.inputs}
        assert {found.data[key] for key in used & found.data.keys()} == {
            *("x['a']", "x['b'][0]", "x['b'][1]"),
            *("y", "sample_weight"),
        }

    def test_what_may_be_different_in_another_step(self):
        followed, other = variable("followed"), variable("other")
        constant = torch.ones(3)
        norm = torch.nn.BatchNorm1d(3)

        def loss(data):
            x = torch.rand(8, 3) * constant
            return ops.sum(norm(x) * other * followed)

        found = replay(loss, followed, others=[other])
        (norm_call,) = find(found, "batch_norm")
        (draw,) = find(found, "rand")
        weight, bias = norm_call.inputs[-2:]
        assert {weight, bias, *norm_call.inputs[1:3]} <= found.changeable
        assert draw.varies and not norm_call.varies
        product = next(
            o for o in find(found, "mul") if draw.outputs[0] in o.inputs
        )
        made = {key for o in found.operations for key in o.outputs}
        (key,) = set(product.inputs) - made
        assert key not in found.changeable | found.holders.keys()

    def test_numbers_of_python_are_constants(self):
        v = variable()
        found = replay(lambda _: ops.sum(v.value * 0.0), v)
        (product,) = find(found, "mul")
        _, factor = product.inputs
        assert found.values[factor].zero
        assert factor not in depending_on(found, v)

    def test_views_are_written_to_as_well(self):
        v = variable()

        def loss(data):
            whole = torch.zeros(3)
            part = whole[:2]
            with torch.no_grad():
                part.copy_(v.value[:2])
            return ops.sum(whole)

        found = replay(loss, v)
        (end,) = ends_of(found, v)
        assert end.kind == "copy_"

    def test_value_written_to_a_variable(self):
        """Variables are written to without a gradient."""
        v, kept = variable(), variable("kept")
        kept.trainable = False

        def loss(data):
            kept.assign(ops.sin(v))
            return ops.sum(kept.value * torch.ones(3))

        assert_ends(
            replay(loss, v, others=[kept]),
            v,
            "copy_",
            "kept.assign(ops.sin(v))",
        )

    def test_many_views_of_what_is_written_in_turns(self):
        """Only those that are looked at again have another value."""
        v = variable()

        def loss(data):
            rows, kept = torch.zeros(50, 3), []
            for i in range(50):
                kept.append(rows[i])
                rows[i] = v.value
            return ops.sum(rows)

        found = replay(loss, v)
        assert sum(len(o.outputs) for o in found.operations) < 200

    def test_what_a_custom_function_closes_over_goes_in(self):
        v, scale = variable(), variable("scale")

        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                return x * scale.value * 2.0

            @staticmethod
            def backward(context, gradient):
                return gradient

        found = replay(lambda _: ops.sum(Scale.apply(v * 1.0)), v, scale)
        (end,) = ends_of(found, scale)
        assert end.kind == "Scale"
        assert gradients_of(found, v)


class TestNumbersThatLeave:
    def test_added_to_what_depends_on_a_variable(self):
        v, other = variable(), variable("other")

        def loss(data):
            number = 0.5 * ops.sum(v * 1.0).item()
            return ops.sum(other * 1.0) + number

        found = replay(loss, v, other)
        (end,) = ends_of(found, v)
        assert end.kind == "item" and not end.differentiable

    def test_for_a_log_are_no_way_to_the_loss(self):
        v, other, log = variable(), variable("other"), []

        def write(x):
            log.append(x.item())

        def loss(data):
            write(ops.sum(v * 1.0))
            return ops.sum(other * 3.0) * 2.0

        found = replay(loss, v, other)
        (leaving,) = find(found, "item")
        needed = needed_for(found, found.derivatives[0].targets)
        assert leaving not in needed

    def test_reading_a_gradient_too_early(self):
        v, other = variable(), variable("other")

        def step(data):
            loss = ops.sum(v * other)
            v.value.grad  # noqa: B018
            loss.backward()
            other.value.grad  # noqa: B018

        found = replay_step(step, (None,), [v, other])
        (reading,) = find(found, "grad")
        assert (reading.inputs, reading.outputs) == (
            tuple(values_of(found, v)),
            (),
        )
        assert line_of(reading, __file__).startswith("v.value.grad")


class Inner(layers.Layer):
    def call(self, x):
        return ops.tanh(x)


class Outer(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Inner(name="inner")

    def call(self, x):
        return self.inner(ops.sin(x))


class TestModel:
    def model(self):
        inputs = keras.Input((3,))
        hidden = layers.Dense(4, name="hidden")(inputs)
        hidden = ops.cos(Outer(name="outer")(hidden))
        model = keras.Model(inputs, layers.Dense(1, name="out")(hidden))
        model.compile("sgd", "mse")
        return model

    def replay(self, model):
        model.optimizer.apply = lambda *args, **kwargs: None
        data = torch.rand(8, 3), torch.rand(8, 1)
        variables = model.trainable_variables
        others = [*model.non_trainable_variables, *model.metrics_variables]
        return replay_step(model.train_step, (data,), variables, others)

    def test_scopes_hold_layers_and_operations(self):
        model = self.model()
        found = self.replay(model)
        (name,) = [x.name for x in model.operations if "cos" in x.name.lower()]
        scopes = {o.kind: o.scope for o in found.operations}
        assert scopes["sin"] == (model.name, "outer")
        assert scopes["tanh"] == (model.name, "outer", "inner")
        assert scopes["cos"] == (model.name, name)
        assert scopes["square"] == ()

    def test_all_variables_have_gradients(self):
        model = self.model()
        found = self.replay(model)
        for v in model.trainable_variables:
            assert gradients_of(found, v)[0].size > 0
            assert ends_of(found, v) == []
        assert sorted(found.data.values()) == ["x", "y"]


class Noisy(layers.Layer):
    """A layer with every kind of random numbers and of state."""

    def __init__(self, generator):
        super().__init__(name="noisy")
        self.dropout = layers.Dropout(0.5)
        self.norm = layers.BatchNormalization()
        self.native = torch.nn.BatchNorm1d(8)
        self.generator = generator

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            return self.norm(self.dropout(inputs))
        noise = torch.rand(8) + keras.random.uniform((8,))
        noise += torch.rand(8, generator=self.generator)
        factor = np.random.random()  # noqa: NPY002
        inputs = self.native(inputs) + noise
        return self.norm(self.dropout(inputs)) * factor


class TestNothingChanges:
    def test_training_goes_on_as_without(self):
        plain, replayed = self.train(False), self.train(True)
        for one, other in zip(plain, replayed, strict=True):
            np.testing.assert_array_equal(one, other)

    def train(self, replays):
        keras.utils.set_random_seed(3)
        generator = torch.Generator().manual_seed(5)
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(8),
                Noisy(generator),
                layers.Dense(1),
            ]
        )
        model.compile("adam", "mse", metrics=["mae"])
        data = torch.rand(8, 4), torch.rand(8, 1)
        model.train_step(data)
        if replays:
            former = model.optimizer.apply
            model.optimizer.apply = lambda *args, **kwargs: None
            replay_step(model.train_step, (data,), model.trainable_variables)
            model.optimizer.apply = former
        model.train_step(data)
        return [
            *(v.numpy() for v in model.variables),
            *(v.numpy() for v in model.optimizer.variables),
            *(v.numpy() for v in model.metrics_variables),
            *(p.grad.numpy() for p in model.parameters() if p.requires_grad),
            *(b.numpy() for b in model.get_layer("noisy").native.buffers()),
            np.random.random(),  # noqa: NPY002
            torch.rand(()).numpy(),
            torch.rand((), generator=generator).numpy(),
            keras.random.uniform(()).numpy(),
        ]

    def test_what_is_written_to_is_put_back(self):
        tensor, other = torch.arange(4.0), torch.ones(4)
        v = variable()
        value = v.value

        def step(data):
            tensor[1:].mul_(5.0)
            other.data = torch.zeros(3)
            v.assign([3.0, 4.0, 5.0])
            v.trainable = False
            torch.from_numpy(tensor.numpy()).add_(1.0)

        replay_step(step, (None,), [v])
        v._trainable = True  # What the caller puts back.
        assert tensor.tolist() == [0.0, 1.0, 2.0, 3.0]
        assert other.tolist() == [1.0] * 4
        assert v.numpy().tolist() == [0.5, 1.5, 2.5]
        assert v.value is value and value.requires_grad

    def test_error_in_the_step(self):
        tensor = torch.ones(2)
        state = torch.random.get_rng_state()
        originals = replaced_functions()

        def step(data):
            tensor.zero_()
            torch.rand(3)
            raise ValueError("Halfway.")

        with pytest.raises(ValueError, match="Halfway"):
            replay_step(step, (None,), [])
        assert tensor.tolist() == [1.0, 1.0]
        assert torch.equal(torch.random.get_rng_state(), state)
        assert replaced_functions() == originals

    def test_other_threads_do_not_notice(self):
        """They run custom functions, and differentiate, as ever."""
        v, other = variable(), variable("other")
        inside, done = threading.Event(), threading.Event()
        results = []

        def work():
            inside.wait(10)
            loss = ops.sum(Blind.apply(other * 1.0) + other)
            loss.backward()
            results.append(other.value.grad.tolist())
            done.set()

        thread = threading.Thread(target=work)
        thread.start()

        def loss(data):
            inside.set()
            assert done.wait(10)
            return ops.sum(v * 2.0)

        found = replay(loss, v, other)
        thread.join()
        assert results == [[1.0] * 3]
        assert not find(found, "Blind") and len(found.derivatives) == 1


def replaced_functions():
    return (
        vars(torch.autograd.Function)["apply"],
        torch.autograd.backward,
        torch.cond,
        torch.from_numpy,
    )


def test_function():
    v, frozen = variable(), variable("frozen")
    frozen.trainable = False
    tensor = torch.ones(3, requires_grad=True)
    found = replay_function(
        lambda: ops.sum(ops.round(v) * tensor) + ops.sum(frozen),
        [v, frozen, tensor],
    )
    (derivative,) = found.derivatives
    assert derivative.variables == {id(v), id(tensor)}
    assert gradients_of(found, tensor)[0].size == 2
    assert [o.kind for o in ends_of(found, v)] == ["round"]
    assert tensor.grad is None


def test_random_numbers_kept():
    with random_numbers_kept():
        first = torch.rand(2), np.random.random()  # noqa: NPY002
    second = torch.rand(2), np.random.random()  # noqa: NPY002
    assert torch.equal(first[0], second[0]) and first[1] == second[1]


@pytest.mark.parametrize(
    "name",
    [
        "torch._C._functorch.get_unwrapped",
        "torch._dynamo.eval_frame._callback_from_stance",
        "torch.autograd.graph.get_gradient_edge",
        "torch.autograd.function.BackwardCFunction",
        "torch.cond",
    ],
)
def test_names_that_may_go_away(monkeypatch, name):
    from keras_perceptual.gradients.tracers.torch import measuring

    monkeypatch.delattr(name)
    measuring._transforms.cache_clear()
    v = variable()
    found = replay(lambda _: ops.sum(ops.round(v * 1.0)), v)
    measuring._transforms.cache_clear()
    assert [o.kind for o in ends_of(found, v)] == ["round"]
