"""The gradients of everything that a step computes."""

import functools
from typing import Any

import torch

from keras_perceptual.gradients.replay import Numbers
from keras_perceptual.gradients.tracers.torch.autograd_graph import (
    edges_of,
    find_nodes,
    following,
    leaf_of,
)
from keras_perceptual.gradients.tracers.torch.measuring import measure


def read_gradients(targets: Any, seeds: Any, edges: Any, listeners: Any) -> Any:
    """Differentiates by everything that leads to `targets`.

    Nothing is added to the gradients of tensors, and `targets` can be
    differentiated again.

    Args:
        targets: Tensors.
        seeds: The gradient that each begins with, or `None`.
        edges: The edges whose gradients are measured.
        listeners: Functions to call with the gradient of an edge.

    Returns:
        The `Numbers` of the gradients by the edge, those that were not
        measured too. What is behind a staircase has none.
    """
    starts = [edge for target in targets for edge in edges_of(target)[:1]]
    wanted = [
        (target, seed)
        for target, seed in zip(targets, seeds, strict=True)
        if target.requires_grad
    ]
    if not wanted:
        return {}
    found = {}

    def note(node: Any, gradients: Any) -> None:
        for place, gradient in enumerate(gradients):
            if gradient is None:
                continue
            edge = node, place
            found[edge] = measure(gradient) if edge in edges else Numbers()
            if edge in listeners:
                listeners[edge](gradient)

    nodes = find_nodes(starts)
    leaves = {node: leaf_of(node) for node in nodes}
    leaves = {node: leaf for node, leaf in leaves.items() if leaf is not None}
    # Gradients are looked at on their way, so that they are not all kept.
    handles = [
        node.register_prehook(functools.partial(note, node))
        for node in nodes
        if node not in leaves
    ]
    try:
        targets, seeds = zip(*wanted, strict=True)
        gradients = torch.autograd.grad(
            targets,
            list(leaves.values()),
            seeds,
            retain_graph=True,
            allow_unused=True,
        )
    except Exception:
        # Some can be asked only once, or in one way.
        return dict.fromkeys(_reach(starts), Numbers())
    finally:
        for handle in handles:
            handle.remove()
    for node, gradient in zip(leaves, gradients, strict=True):
        note(node, (gradient,))
    return {edge: found[edge] for edge in _reach(starts, found)}


def _reach(starts: Any, found: Any = None) -> Any:
    """Returns the edges that a gradient gets to, through no staircase.

    Args:
        starts: The edges to begin with.
        found: Those with a gradient, if that is known: a function may have
            none for what it is given, and the next one make zeros of that.
    """
    reached, stack = set(), list(starts)
    while stack:
        edge = stack.pop()
        if edge[0] is None or edge in reached:
            continue
        if found is None or edge in found:
            reached.add(edge)
            stack += following(edge[0])
    return reached


def spread(calls: Any, gradients: Any, candidates: Any) -> None:
    """Adds the values that have a gradient, but that autograd leaves out.

    It leaves out what needs none, such as what was detached. That something
    detached it, and not what was done with it, is only seen where it counts
    as having a gradient.

    Args:
        calls: All calls, in their order.
        gradients: The `Numbers` of the gradients by key, to be added to.
        candidates: Keys of the values that may have one.
    """
    for call in reversed(calls):
        if call.differentiable and any(
            key in gradients for key in call.outputs
        ):
            for key in call.inputs:
                if key in candidates:
                    gradients.setdefault(key, Numbers())
