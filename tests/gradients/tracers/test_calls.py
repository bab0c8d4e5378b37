import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.calls import (
    Call,
    has_gradient,
    watch,
)


def test_what_varies():
    for kind in ("rand", "dropout", "bernoulli_", "_standard_gamma"):
        assert Call(kind, [], [], True).varies
    for kind in ("add", "batch_norm", "layer_norm"):
        assert not Call(kind, [], [], True).varies


def test_what_is_not_said_of_a_call():
    call = Call("add", [], [], True)
    assert not call.own_gradient
    assert (call.scope, call.frames, call.choices) == ((), (), ())


def test_what_a_call_makes_and_changes():
    x, y = torch.ones(2), torch.ones(2)

    def function(x, y):
        x.add_(1)
        return x, y, x + y

    result, changed, made, memories = watch(function, [x, y], (x, y), {})
    assert list(changed) == [id(x)] and list(made) == [id(result[2])]
    assert memories == {x.untyped_storage().data_ptr()}


def test_what_has_a_gradient():
    x = torch.ones(2)
    edge = object()

    def has(kind="sin", kwargs=None, output=x, edges=(), ways=()):
        return has_gradient(kind, kwargs or {}, [output], edges, ways)

    assert has()
    assert has(edges=[edge], ways=[edge])
    assert not has(edges=[edge])
    assert not has(output=x > 0)
    assert not has("round")
    assert not has("div", {"rounding_mode": "floor"})
    assert not has("zeros_like")
    with torch.no_grad():
        assert not has(edges=[edge], ways=[edge])
        assert has("expand under no_grad", edges=[edge])
