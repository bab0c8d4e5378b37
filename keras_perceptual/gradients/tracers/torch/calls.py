"""One call of PyTorch."""

import dataclasses
import re
from typing import Any

import torch

from keras_perceptual.gradients.tracers.torch.autograd_graph import (
    is_staircase,
)
from keras_perceptual.gradients.tracers.torch.measuring import (
    can_have_gradient,
    innermost,
)
from keras_perceptual.gradients.tracers.torch.nesting import tensors_in
from keras_perceptual.gradients.tracers.torch.originals import state_of

# Something else may come out of them the next time.
_RANDOM = re.compile(
    "rand|normal|uniform|bernoulli|binomial|poisson|multinomial|dropout|"
    "gamma|dirichlet|exponential|geometric|cauchy|rrelu|gumbel"
)
# They make a tensor that looks like another one.
_SHAPES = re.compile("_like$|^new_")
# They look at a tensor in another way.
_VIEWS = frozenset(
    "expand expand_as broadcast_to view view_as reshape flatten unflatten "
    "squeeze unsqueeze permute transpose movedim swapaxes T mT t narrow select "
    "__getitem__ unbind split chunk".split()
)


@dataclasses.dataclass(eq=False)
class Call:
    """A call, as `replay.Operation` has it.

    More outputs may turn up later: tensors that share the memory it wrote to.
    """

    kind: str
    inputs: list[Any]
    outputs: list[Any]
    differentiable: bool
    scope: tuple[Any, ...] = ()
    frames: tuple[Any, ...] = ()
    choices: tuple[Any, ...] = ()
    own_gradient: bool = False

    @property
    def varies(self) -> bool:
        """Whether something else may come out of it the next time."""
        return bool(_RANDOM.search(self.kind.lower()))


@dataclasses.dataclass
class Inside:
    """What happens in a function that brings its own gradient.

    Attributes:
        made: The tensors that are made in it, by `id`.
        used: Keys of others that are used in it.
        memories: Those that are written to.
    """

    made: dict[Any, Any] = dataclasses.field(default_factory=dict)
    used: list[Any] = dataclasses.field(default_factory=list)
    memories: set[Any] = dataclasses.field(default_factory=set)


def watch(function: Any, tensors: Any, args: Any, kwargs: Any) -> Any:
    """Calls a function, and looks what comes out and what it writes to.

    Args:
        function: The function.
        tensors: The tensors in its arguments.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Returns:
        What it returned; by `id`, the tensors that it changed, and those that
        it made; the memories that it wrote to.
    """
    cores = [innermost(tensor) for tensor in tensors]
    states = [state_of(core) for core in cores]
    result = function(*args, **kwargs)
    changed, memories = {}, set()
    for tensor, core, state in zip(tensors, cores, states, strict=True):
        now = state_of(core)
        if now != state:
            changed[id(core)] = tensor
            memories |= {state[0], now[0]}
    made = {id(innermost(tensor)): tensor for tensor in tensors_in(result)}
    for core in cores:
        made.pop(id(core), None)
    return result, changed, made, memories


def has_gradient(
    kind: str, kwargs: Any, outputs: Any, edges: Any, ways: Any
) -> bool:
    """Whether a gradient gets from what comes out of a call to what goes in.

    Args:
        kind: What is called.
        kwargs: Its keyword arguments.
        outputs: The tensors that come out.
        edges: Where autograd knows of what goes in.
        ways: Where a gradient gets to.
    """
    if not any(map(can_have_gradient, outputs)):
        return False
    if edges and not torch.is_grad_enabled():
        # What is done with the view is what the gradients are missed in.
        return kind.partition(" ")[0] in _VIEWS
    if edges:
        return bool(ways)
    # Nothing goes in that has a gradient: it is said of calls of its kind.
    return not (_SHAPES.search(kind) or is_staircase(kind, kwargs))
