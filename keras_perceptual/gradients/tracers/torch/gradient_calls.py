"""Answering a step that asks for gradients, and looking at all of them."""

import dataclasses
import functools
from collections.abc import Hashable
from typing import Any

import torch

from keras_perceptual.gradients.replay import Numbers
from keras_perceptual.gradients.tracers.torch.all_gradients import (
    read_gradients,
    spread,
)
from keras_perceptual.gradients.tracers.torch.autograd_graph import edges_of
from keras_perceptual.gradients.tracers.torch.contributions import (
    contributions_to,
)
from keras_perceptual.gradients.tracers.torch.measuring import (
    innermost,
    measure,
)
from keras_perceptual.gradients.tracers.torch.nesting import tensors_in
from keras_perceptual.gradients.tracers.torch.recording import Recording
from keras_perceptual.gradients.tracers.torch.surroundings import (
    is_called_by_user,
    look_around,
)


@dataclasses.dataclass
class Asked:
    """A call that asked for gradients, as `replay.Derivative` has it.

    Attributes:
        read: The variables whose gradients are looked at afterwards.
    """

    targets: tuple[Any, ...]
    variables: frozenset[Any]
    gradients: dict[Any, Any]
    contributions: dict[Any, Any]
    frames: tuple[Any, ...]
    of_all: bool
    read: set[Any] = dataclasses.field(default_factory=set)


class GradientCalls:
    """Computes what a step asks for, and besides the gradients of all values.

    Args:
        recording: The `Recording` of the step.

    Attributes:
        asked: What was `Asked` for.
        failed: Whether the gradients could not be computed.
    """

    def __init__(self, recording: Recording) -> None:
        self.asked: list[Any] = []
        self.failed: bool = False
        self._recording = recording

    def note_reading(self, tensor: Any, found: Any) -> None:
        """Takes note that a program reads a gradient where there is none.

        It has not asked for it yet, or has deleted it since then.

        Args:
            tensor: The tensor that the gradient is of.
            found: What is there.
        """
        recording = self._recording
        _, variable = recording.followed.get(id(tensor), (None, None))
        if variable is None:
            return
        asked = [a for a in self.asked if variable in a.variables]
        for one in asked:
            one.read.add(variable)
        # What the last call has found a gradient for, and is there no more.
        deleted = found is None and any(
            recording.key(tensor) in one.gradients for one in asked[-1:]
        )
        if asked and not deleted:
            return
        if is_called_by_user(recording.root):
            outputs = [] if found is None else [recording.key(found)]
            recording.add("grad", [recording.key(tensor)], outputs, False)

    def answer(self, function: Any, given: Any) -> Any:
        """Answers a call.

        Args:
            function: One of the functions of PyTorch that differentiate.
            given: Its arguments by name.
        """
        # What is differentiated is the first of them, whatever its name.
        targets = list(tensors_in(next(iter(given.values()))))
        variables = self._find_variables(given.get("inputs"))
        of_all = given.get("inputs") is None
        self._look(targets, _seeds(given, len(targets)), variables, of_all)
        try:
            if "outputs" in given:
                return self._give(function, given, targets)
            if targets and not any(x.requires_grad for x in targets):
                # It fails; there is something to say of it all the same.
                return None
            return function(**given)
        except Exception:
            self.failed = True
            raise

    def _find_variables(self, sources: Any) -> frozenset[Hashable]:
        """Returns the keys of the variables that a gradient is asked for.

        Args:
            sources: The tensors that it is asked for, `None` for all.
        """
        ids = {id(innermost(tensor)) for tensor in tensors_in(sources)}
        return frozenset(
            variable
            for place, (tensor, variable) in self._recording.followed.items()
            if (tensor.requires_grad if sources is None else place in ids)
        )

    def _look(
        self, targets: Any, seeds: Any, variables: Any, of_all: bool
    ) -> None:
        """Takes note of the gradients of everything."""
        recording = self._recording
        keys = [recording.key(target) for target in targets]
        if recording.left and recording.reached.isdisjoint(keys):
            recording.add("tensor", recording.left.keys, keys, True)
        contributions: dict[Any, Any] = {}
        listeners = {
            edge: functools.partial(_note_contributions, contributions, *kept)
            for edge, kept in recording.arithmetic.items()
        }
        found = read_gradients(
            targets, seeds, recording.values.edges, listeners
        )
        gradients = {
            key: numbers
            for edge, numbers in found.items()
            for key in recording.values.edges.get(edge, ())
        }
        # What is differentiated has one even where it depends on nothing.
        for key in keys:
            gradients.setdefault(key, Numbers(1.0))
        # Only autograd sees no gradient of them.
        values = recording.values
        without = (recording.reached & values.floating) - values.with_edge
        spread(recording.calls, gradients, without)
        self.asked.append(
            Asked(
                tuple(keys),
                variables,
                gradients,
                contributions,
                look_around(recording.root)[1],
                of_all,
            )
        )

    def _give(self, function: Any, given: Any, targets: Any) -> Any:
        """Returns the gradients that a step asked for, as far as there are."""
        sources = list(tensors_in(given["inputs"]))
        lenient = given.get("allow_unused") or given.get("materialize_grads")
        if not any(target.requires_grad for target in targets):
            return tuple(None if lenient else _zeros(x) for x in sources)

        def ask(outputs: Any, inputs: Any) -> Any:
            found = function(**{**given, "allow_unused": True})
            if lenient or isinstance(found, dict):
                return found
            return tuple(
                _zeros(source) if gradient is None else gradient
                for source, gradient in zip(sources, found, strict=True)
            )

        return self._record(ask, given["outputs"], given["inputs"])

    def _record(self, ask: Any, targets: Any, sources: Any) -> Any:
        """Records a call that returns gradients.

        Those that can be differentiated in their turn are computed by calls
        that only autograd knows of.
        """
        recording = self._recording
        for tensor in tensors_in((targets, sources)):
            recording.values.note_edges(tensor, recording.key(tensor))
        stops = set(recording.values.edges)
        result = ask(targets, sources)
        gradients = [x for x in tensors_in(result) if edges_of(x)]
        if not gradients:
            return recording.record(
                "autograd.grad", lambda *_: result, (targets, sources), {}
            )
        for gradient in gradients:
            recording.renew(gradient)
        edges = [edge for x in gradients for edge in edges_of(x)]
        recording.add_nodes(edges, stops)
        return result


def _zeros(tensor: Any) -> Any:
    return torch.zeros_like(tensor)


def _seeds(given: Any, count: int) -> Any:
    """Returns what the gradients of targets begin with, `None` for ones."""
    for name in ("gradient", "grad_tensors", "grad_outputs"):
        if given.get(name) is not None:
            seeds = given[name]
            return list(seeds) if isinstance(seeds, (list, tuple)) else [seeds]
    return [None] * count


def _note_contributions(
    contributions: Any, call: Any, arguments: tuple[Any, ...], gradient: Any
) -> None:
    """Takes note of what arithmetic adds to the gradients of its arguments."""
    parts = contributions_to(call.kind, innermost(gradient), arguments)
    for place, part in parts:
        size = measure(part).size
        if size is not None:
            contributions[call, place] = size
