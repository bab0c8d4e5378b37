import keras
import pytest
from keras import layers

from keras_perceptual.gradients.forgotten_parts import (
    has_weights_in,
    is_conditional,
    locate_mention,
    locate_skipping,
)


class Experts(keras.Model):
    """Has a layer for each way of being skipped, and of not being."""

    def __init__(self):
        super().__init__()
        self.listed = [layers.Dense(1)]
        self.early = layers.Dense(1)
        self.filtered = [layers.Dense(1)]
        self.chosen = layers.Dense(1)
        self.inner = keras.Sequential([layers.Dense(1)])
        self.noise = layers.Dense(1)
        self.always = layers.Dense(1)
        self.nowhere = layers.Dense(1)

    def call(self, x, training=None):
        x = self.always(x)
        if training:
            x = self.noise(x)
        for expert in self.listed:
            if len(x) == 7:  # listed
                continue
            x = expert(x)
        x = self.chosen(x) if x is None else x  # chosen
        x += sum(f(x) for f in self.filtered if len(x) > 3)  # filtered
        return self.finish(x)

    def finish(self, x):
        if x is not None:
            if len(x) > 7:  # inner
                x = self.inner(x)
        if len(x) > 9:  # early
            return x
        return self.early(x)


@pytest.mark.parametrize(
    "name", ["listed", "filtered", "chosen", "inner", "early"]
)
def test_what_may_keep_a_layer_from_being_called(name):
    model = Experts()
    part = getattr(model, name)
    layer = part[0] if isinstance(part, list) else part
    if name == "inner":
        layer = part.layers[0]
    place = locate_skipping(model, layer)
    assert place.code.endswith(f"# {name}")
    assert place.operation == "the condition"


def test_what_is_called_skips_nothing_inside():
    """What holds the layer has weights that learn."""
    model = Experts()
    layer, other = layers.Dense(1), layers.Dense(1)
    model.inner = keras.Sequential([keras.Input((1,)), layer, other])
    assert locate_skipping(model, layer) is not None
    assert (
        locate_skipping(model, layer, has_weights_in([id(other.kernel)]))
        is None
    )


@pytest.mark.parametrize("name", ["noise", "always", "nowhere"])
def test_what_is_called_at_any_rate_or_not_at_all(name):
    model = Experts()
    assert locate_skipping(model, getattr(model, name)) is None


class Residual(layers.Layer):
    """Decides by the shapes that it is built for, and by a switch."""

    def __init__(self):
        super().__init__()
        self.match = layers.Dense(2)
        self.late = layers.Dense(2)

    def build(self, shape):
        self.same = shape[-1] == 2
        self.grown = False

    def grow(self):
        self.grown = True

    def call(self, x):
        if self.grown:  # late
            x = self.late(x)
        return x if self.same else self.match(x)


def test_what_the_shapes_decide_is_decided_for_good():
    residual = Residual()
    residual.build((None, 2))
    model = keras.Sequential([keras.Input((2,)), residual])
    assert locate_skipping(model, residual.match) is None
    assert locate_skipping(model, residual.late).code.endswith("# late")


class Forgetting(keras.Model):
    """Names parts where they are not called, or only where it makes them."""

    def __init__(self):
        super().__init__()
        self.stack = [layers.Dense(1) for _ in range(3)]
        self.made = layers.Dense(1)  # made
        self.gain = self.add_weight(name="gain")

    def call(self, x):
        for layer in self.stack[:1]:  # stack
            x = layer(x)
        x = x * self.gain.shape.count(7)  # gain
        return x + len(self.made.trainable_variables)

    def never(self, x):
        return self.made(x)


@pytest.mark.parametrize("name", ["stack", "made", "gain"])
def test_where_code_names_what_it_does_not_use(name):
    """Weights that are listed, and methods that do not run, are no mention."""
    model = Forgetting()
    for layer in (*model.stack, model.made):
        layer.build((None, 1))
    is_called = has_weights_in([id(model.stack[0].kernel)])
    part = getattr(model, name)
    part = part[-1] if isinstance(part, list) else part
    place = locate_mention(model, part, is_called, {(__file__, "call")})
    assert place.code.endswith(f"# {name}")
    assert place.operation == f"self.{name}"


class Iterating(keras.Model):
    """Goes over parts without calling them."""

    def __init__(self):
        super().__init__()
        self.blocks = [layers.Dense(1) for _ in range(2)]
        self.heads = {"a": layers.Dense(1)}
        self.others = [layers.Dense(1) for _ in range(2)]
        self.sliced = [layers.Dense(1) for _ in range(2)]

    def call(self, x):
        for block, other in zip(self.blocks, self.others, strict=True):
            x = x + 1
            x = x + block.name.count("x") + other.name.count("x")  # blocks
        for _name, _head in self.heads.items():
            x = x + 1  # heads
        for block in self.sliced[:1]:  # sliced
            x = block(x)
        return x


@pytest.mark.parametrize("name", ["blocks", "heads", "sliced"])
def test_a_loop_over_parts_goes_on_without_them_inside(name):
    """One that goes over some of them leaves out the others itself."""
    model = Iterating()
    part = getattr(model, name)
    part = part["a"] if isinstance(part, dict) else part[-1]
    place = locate_mention(model, part, run={(__file__, "call")})
    assert place.code.endswith(f"# {name}")


def test_what_is_named_nowhere():
    """A variable is made in its layer, which says nothing of its use."""
    model = Forgetting()
    assert locate_mention(model, model.gain, run=()) is None
    assert locate_mention(model, layers.Dense(1)) is None


@pytest.mark.parametrize("name", ["inner", "chosen", "always"])
def test_what_code_names_behind_a_condition(name):
    model = Experts()
    assert is_conditional(model, getattr(model, name)) is (name != "always")
