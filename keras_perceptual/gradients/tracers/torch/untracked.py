"""Finding what a step computes with and nobody trains."""

import contextlib
import gc
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import torch

from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.gradients.tracers.torch.autograd_graph import find_leaves


@contextlib.contextmanager
def leaves_noted(note: Any) -> Iterator[None]:
    """Tells of the tensors that gradients are computed of, in this thread.

    Args:
        note: Function of a list of tensors: those that what is differentiated
            has a gradient for, whether it is asked for or not.
    """

    # A compiled step must not be compiled together with it.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def answer(function: Any, *args: Any, **kwargs: Any) -> Any:
        # What is differentiated comes first, whatever it is called.
        note(find_leaves((*args, *kwargs.values())[:1]))
        return function(*args, **kwargs)

    with (
        intercepted(torch.autograd, "backward", answer),
        intercepted(torch.autograd, "grad", answer),
    ):
        yield


def find_untracked(leaves: Any, known: Any) -> list[Any]:
    """Finds variables that are computed with, and not known.

    Args:
        leaves: The tensors of which gradients were computed.
        known: The Keras variables that are known.

    Returns:
        A list of Keras variables, and of the parameters of PyTorch that no
        Keras variable holds and no optimizer of PyTorch trains.
    """
    known = {id(v.value) for v in known}
    strangers = {
        id(leaf): leaf
        for leaf in leaves
        if id(leaf) not in known and leaf.requires_grad
    }
    # While somebody holds all objects, a tuple that another thread is making
    # raises a `SystemError` there.
    objects = gc.get_objects() if strangers else []
    for trained in _find_trained(objects):
        strangers.pop(trained, None)
    if not strangers:
        return []
    found = {
        id(variable._value): variable
        for variable in objects
        if issubclass(type(variable), keras.Variable)
        and id(getattr(variable, "_value", None)) in strangers
        and variable.trainable
    }
    parameters = [
        leaf
        for place, leaf in strangers.items()
        if place not in found and isinstance(leaf, torch.nn.Parameter)
    ]
    # Where they lie in memory is no order.
    return sorted([*found.values(), *parameters], key=name_of)


def name_of(variable: Any) -> str:
    """Returns what to call a Keras variable or a parameter of PyTorch."""
    if isinstance(variable, keras.Variable):
        return variable.path
    holders = [
        f"{type(module).__name__}.{name}"
        for module in _modules(gc.get_objects())
        for name, parameter in vars(module).get("_parameters", {}).items()
        if parameter is variable
    ]
    return min(holders, default="Parameter")


def _modules(objects: Iterable[Any]) -> Any:
    return [o for o in objects if issubclass(type(o), torch.nn.Module)]


def _find_trained(objects: Iterable[Any]) -> Any:
    """Returns the `id`s of what the optimizers of PyTorch train."""
    return {
        id(parameter)
        for optimizer in objects
        if issubclass(type(optimizer), torch.optim.Optimizer)
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
