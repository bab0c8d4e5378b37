"""The graph that autograd keeps: of nodes, and of edges to them.

A node is an operation that a gradient goes back through. An edge is a node
and the number of one of its outputs: what autograd knows of a tensor.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

from keras_perceptual.gradients.tracers.torch.measuring import layers_of
from keras_perceptual.gradients.tracers.torch.nesting import tensors_in

# Their derivative is zero everywhere: there is none, other backends say.
_STAIRCASES = re.compile(
    "(Round|Floor|Ceil|Trunc|Fix|Sign|Sgn|Bernoulli|Poisson|Binomial|Normal|"
    "Uniform|Exponential|Geometric|LogNormal|Cauchy|Random|Zero)Backward|"
    "(NotImplemented|FloorDivideBackward|FloordivBackward)"
)
# Nothing stays of what their first input was.
_OVERWRITING = re.compile("FillBackward|CopyBackwards")


def edges_of(tensor: Any) -> Any:
    """Returns the edges of a tensor, one for each `torch.func` around it."""
    found = (_edge(layer) for layer in layers_of(tensor))
    return [edge for edge in found if edge is not None]


def _edge(tensor: Any) -> Any:
    if not tensor.requires_grad:
        return None
    if tensor.grad_fn is not None:
        return tensor.grad_fn, tensor.output_nr
    # The node of a leaf is what comes after anything that is done with it.
    with torch.enable_grad():
        node = tensor.view_as(tensor).grad_fn
    return node.next_functions[0] if node is not None else None


def next_sequence_number() -> int:
    """Returns a number above that of all nodes that this thread has made."""
    with torch.enable_grad():
        probe = torch.zeros((), requires_grad=True)
        return probe.view_as(probe).grad_fn._sequence_nr() + 1


def find_nodes(edges: Any) -> Any:
    """Returns all nodes that some edges lead to."""
    found, stack = {}, [node for node, _ in edges]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found[node] = None
            stack += [following for following, _ in node.next_functions]
    return list(found)


def leaf_of(node: Any) -> Any:
    """Returns the tensor that a node stands for at the end of the graph."""
    return getattr(node, "variable", None) if is_leaf(node) else None


def is_leaf(node: Any) -> bool:
    """Whether gradients end at a node, as it is a tensor that they are of."""
    return _name_of(node) == "AccumulateGrad"


def find_leaves(targets: Any) -> Any:
    """Returns the tensors that `targets` have a gradient for."""
    edges = [e for t in tensors_in(targets) for e in edges_of(t)]
    leaves = map(leaf_of, find_nodes(edges))
    return [leaf for leaf in leaves if leaf is not None]


def walk_back(edges: Any, stops: Any) -> Any:
    """Returns those of `stops` that gradients get to first."""
    found, seen, stack = set(), set(), list(edges)
    while stack:
        edge = stack.pop()
        if edge[0] is None or edge in seen:
            continue
        seen.add(edge)
        if edge in stops:
            found.add(edge)
        else:
            stack += following(edge[0])
    return found


def nodes_between(edges: Any, stops: Any) -> Any:
    """Returns the nodes that gradients come through before `stops`.

    Returns:
        A dictionary from each node to the edges that lead there, those next
        to `stops` first.
    """
    found: dict[Any, set[Any]] = {}
    order: dict[Any, set[Any]] = {}
    stack = [(edge, False) for edge in edges]
    while stack:
        edge, done = stack.pop()
        node = edge[0]
        if done:
            order[node] = found[node]
        elif node is None or edge in stops:
            continue
        elif node in found:
            found[node].add(edge)
        else:
            found[node] = {edge}
            stack.append((edge, True))
            stack += [(ahead, False) for ahead in node.next_functions]
    return order


def name_call(node: Any) -> str:
    """Returns the name of the call that a node was made by."""
    name = re.sub(r"Backwards?\d*$", "", _name_of(node))
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def following(node: Any) -> Any:
    """Returns the edges that a node hands a gradient to."""
    name = _name_of(node)
    if _STAIRCASES.match(name) or rounds(node):
        return ()
    if _OVERWRITING.match(name):
        return node.next_functions[1:]
    return node.next_functions


def _name_of(node: Any) -> str:
    # Some have the name of their namespace in front.
    return node.name().rpartition(":")[2]


def rounds(node: Any) -> bool:
    """Whether a division rounds what comes out of it."""
    return getattr(node, "_saved_rounding_mode", None) is not None


def is_staircase(kind: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a call is a staircase, by its name and keyword arguments."""
    name = kind.strip("_").title().replace("_", "")
    return bool(
        _STAIRCASES.match(f"{name}Backward") or arguments.get("rounding_mode")
    )
