import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.autograd_graph import (
    edges_of,
    find_leaves,
    following,
    is_staircase,
    name_call,
    nodes_between,
    walk_back,
)


def test_edges():
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    assert edges_of(torch.ones(2)) == []
    assert edges_of(y) == [(y.grad_fn, 0)]
    assert edges_of(x) == list(y.grad_fn.next_functions[:1])
    values, _ = torch.sort(x)
    _, second = torch.unbind(x)
    assert edges_of(second) == [(second.grad_fn, 1)]
    assert edges_of(values) != edges_of(second)


def test_edges_in_a_transform_are_those_around_it():
    x, seen = torch.ones(2, requires_grad=True), []
    y = x * 2
    torch.vmap(lambda row: seen.append(edges_of(row)) or row)(y)
    assert seen == [edges_of(y)]


def test_leaves():
    x, y, z = (torch.ones(2, requires_grad=True) for _ in range(3))
    leaves = find_leaves([(x * y).sum(), (x * z.detach()).sum()])
    assert {id(leaf) for leaf in leaves} == {id(x), id(y)}


@pytest.mark.parametrize(
    "function, passes",
    [
        (torch.sin, True),
        (torch.round, False),
        (torch.sign, False),
        (lambda x: torch.div(x, 2, rounding_mode="trunc"), False),
        (lambda x: torch.div(x, 2), True),
        (lambda x: x.zero_(), False),
        (lambda x: x.fill_(1.0), False),
        (lambda x: x.copy_(torch.zeros(2)), False),
        (torch.bernoulli, False),
    ],
)
def test_ways_end_at_staircases(function, passes):
    x = torch.full((2,), 0.5, requires_grad=True)
    y = function(x * 1)
    (edge,) = edges_of(x)
    assert walk_back(edges_of(y), {edge}) == ({edge} if passes else set())


def test_what_is_written_over_an_input_has_a_gradient():
    x, y = (torch.ones(2, requires_grad=True) for _ in range(2))
    z = (x * 1).copy_(y)
    ahead = following(z.grad_fn)
    assert list(ahead) == edges_of(y)


def test_staircases_by_name():
    for kind in ("round", "floor_", "bernoulli_", "__floordiv__", "log_normal"):
        assert is_staircase(kind, {})
    assert is_staircase("div", {"rounding_mode": "floor"})
    for kind in ("div", "ground", "normalize", "sin"):
        assert not is_staircase(kind, {})


def test_nodes_come_after_those_they_are_made_of():
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    z = torch.sin(y) + torch.cos(y)
    nodes = nodes_between(edges_of(z), set(edges_of(y)))
    names = [name_call(node) for node in nodes]
    assert sorted(names[:2]) == ["cos", "sin"] and names[2:] == ["add"]
    assert nodes[z.grad_fn] == {(z.grad_fn, 0)}


def test_names_of_calls():
    x = torch.ones(2, requires_grad=True)
    (gradient,) = torch.autograd.grad(torch.relu(x).sum(), x, create_graph=True)
    assert name_call(gradient.grad_fn) == "threshold_backward"
