"""Taking a training step once more, operation by operation, on PyTorch."""

import contextlib
import gc
import random
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import torch

from keras_perceptual.gradients.replay import (
    Derivative,
    Operation,
    Replay,
    is_due_to_none,
)
from keras_perceptual.gradients.tracers.torch.gradient_calls import (
    GradientCalls,
)
from keras_perceptual.gradients.tracers.torch.listening import Listening
from keras_perceptual.gradients.tracers.torch.nesting import name_data
from keras_perceptual.gradients.tracers.torch.recording import Recording


def replay_step(
    step: Callable[..., Any],
    arguments: tuple[Any, ...],
    variables: Sequence[Any],
    others: Sequence[Any] = (),
) -> Replay:
    """Takes a training step once more and writes down what happens.

    It computes its gradients, and for each of the calls that ask for some
    those of all values. Afterwards all tensors, their gradients and random
    numbers are as they were.

    Args:
        step: The step.
        arguments: What it is called with.
        variables: What to follow: Keras variables, or tensors.
        others: All other Keras variables that are known.

    Returns:
        The `Replay`. The key of a followed variable is its `id`.
    """
    with random_numbers_kept():
        recording = Recording(sys._getframe(), map(tensor_of, others))
        gradient_calls = GradientCalls(recording)
        data, alternatives = {}, {}
        try:
            for variable in variables:
                recording.follow(tensor_of(variable), id(variable))
            for name, leaf in name_data(step, arguments):
                if isinstance(leaf, torch.Tensor):
                    data[recording.key(leaf)] = name
            with Listening(recording, gradient_calls).listening():
                step(*arguments)
                alternatives = recording.find_alternatives()
        except Exception as error:
            # What was seen up to there tells why gradients cannot be had.
            if not gradient_calls.failed and not (
                gradient_calls.asked and is_due_to_none(error)
            ):
                raise
        finally:
            recording.originals.put_back()
    return _as_replay(recording, gradient_calls.asked, data, alternatives)


def replay_function(
    function: Callable[[], Any], variables: Sequence[Any]
) -> Replay:
    """Replays the computation of a loss and of its gradients.

    Args:
        function: Function without arguments that returns the loss.
        variables: What it is differentiated by: Keras variables, or tensors.

    Returns:
        The `Replay`. The key of a variable is its `id`.
    """

    def step() -> None:
        sources = [tensor_of(variable) for variable in variables]
        torch.autograd.grad(
            function(),
            [source for source in sources if source.requires_grad],
            allow_unused=True,
        )

    return replay_step(step, (), variables)


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Puts the random numbers to come back as they were."""
    python = random.getstate()
    # The state of NumPy is that of the functions in `numpy.random`.
    numpy = np.random.get_state()  # noqa: NPY002
    has_mps = torch.backends.mps.is_available()
    mps = torch.mps.get_rng_state() if has_mps else None
    try:
        with contextlib.ExitStack() as stack:
            for kind in ("cuda", "xpu"):
                # The state of the CPU is kept by each of them.
                count = getattr(torch, kind).device_count()
                stack.enter_context(
                    torch.random.fork_rng(range(count), device_type=kind)
                )
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if has_mps:
            torch.mps.set_rng_state(mps)


def tensor_of(variable: Any) -> Any:
    """Returns the tensor of a Keras variable, and a tensor itself."""
    if isinstance(variable, keras.Variable):
        return variable.value
    return variable


def _find_buffers(tensors: Any) -> set[Hashable]:
    """Returns the keys of those tensors that modules of PyTorch write to."""
    buffers = {
        id(buffer)
        for module in (gc.get_objects() if tensors else ())
        if issubclass(type(module), torch.nn.Module)
        for buffer in vars(module).get("_buffers", {}).values()
    }
    return {key for key, tensor in tensors.items() if id(tensor) in buffers}


def _join(choices: Any, alternatives: Any) -> Any:
    """Returns what any of some choices lets through, `None` if not known."""
    if all(choice in alternatives for choice in choices):
        return frozenset().union(*map(alternatives.get, choices))
    return None


def _wanted(one: Any, holders: Any) -> Any:
    """Returns the variables that a gradient is wanted of, or that have one.

    `backward` computes those of all: what has none, and nobody looks at, may
    be meant to have none.
    """
    if not one.of_all or not one.read:
        return one.variables
    found = {holders[key] for key in one.gradients if key in holders}
    return one.variables & (one.read | found)


def _as_replay(
    recording: Recording, asked: Any, data: Any, alternatives: Any
) -> Any:
    operations = {
        call: Operation(
            kind=call.kind,
            inputs=tuple(call.inputs),
            outputs=tuple(call.outputs),
            scope=call.scope,
            frames=call.frames,
            differentiable=call.differentiable,
            varies=call.varies,
            own_gradient=call.own_gradient,
            conditional=bool(call.choices),
            alternatives=_join(call.choices, alternatives),
        )
        for call in recording.calls
    }
    return Replay(
        operations=tuple(operations.values()),
        holders=recording.holders,
        derivatives=tuple(
            Derivative(
                one.targets,
                _wanted(one, recording.holders),
                one.gradients,
                {
                    (operations[call], place): size
                    for (call, place), size in one.contributions.items()
                },
                one.frames,
                one.of_all,
            )
            for one in asked
        ),
        values=recording.values.numbers,
        data=data,
        changeable=frozenset(
            recording.changeable
            | _find_buffers(
                {
                    key: tensor
                    for key, tensor in recording.strangers.items()
                    if key not in data
                }
            )
        ),
    )
