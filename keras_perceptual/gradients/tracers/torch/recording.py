"""Writing down what calls of PyTorch do."""

import contextlib
from collections.abc import Hashable
from typing import Any, cast

import torch

from keras_perceptual.gradients.replay import Numbers
from keras_perceptual.gradients.tracers.torch import contributions
from keras_perceptual.gradients.tracers.torch.autograd_graph import (
    edges_of,
    following,
    leaf_of,
    name_call,
    next_sequence_number,
    nodes_between,
    walk_back,
)
from keras_perceptual.gradients.tracers.torch.calls import (
    Call,
    Inside,
    has_gradient,
    watch,
)
from keras_perceptual.gradients.tracers.torch.leaving import LEAVING, Leaving
from keras_perceptual.gradients.tracers.torch.measuring import (
    innermost,
    measure,
)
from keras_perceptual.gradients.tracers.torch.nesting import tensors_in
from keras_perceptual.gradients.tracers.torch.originals import Originals
from keras_perceptual.gradients.tracers.torch.surroundings import (
    look_around,
)
from keras_perceptual.gradients.tracers.torch.values import Values


class Recording:
    """The calls of a step, and the values in it.

    Args:
        root: The Python frame in which the step is called.
        changeable: Tensors that may be different in another step.

    Attributes:
        root: The Python frame in which the step is called.
        followed: The followed tensors and the keys of their variables, by the
            `id` of the tensor.
        calls: Each `Call`.
        values: The `Values`.
        originals: What was there before the step.
        holders: Keys of the values of followed tensors, with the keys of the
            variables that these belong to.
        reached: Keys of what depends on a followed tensor in any way.
        left: The numbers that left PyTorch.
        changeable: Keys of the values that may be different in another step.
        strangers: Other tensors that the step did not make, by their keys.
        arithmetic: By the edge of what comes out of it, a `Call` with two
            arguments, and these.
        choices: Each `Choice` that was made, by the `id` of its branches.
    """

    def __init__(self, root: Any, changeable: Any = ()) -> None:
        self.calls: list[Any] = []
        self.values: Values = Values()
        self.originals: Originals = Originals()
        self.holders: dict[Any, Any] = {}
        self.reached: set[Any] = set()
        self.changeable: set[Any] = set()
        self.strangers: dict[Any, Any] = {}
        self.arithmetic: dict[Any, Any] = {}
        self.choices: dict[Any, Any] = {}
        self.root = root
        self._changeable = {id(tensor): tensor for tensor in changeable}
        self.followed: dict[Any, Any] = {}
        self.left: Leaving = Leaving(root)
        # What happens in a function with its own gradient, while in one.
        self._inside: Inside | None = None
        self._beginning = next_sequence_number()

    def follow(self, tensor: Any, variable: Any) -> None:
        """Follows a tensor under the key of a variable."""
        self.followed[id(tensor)] = tensor, variable
        self.key(tensor)

    def key(self, tensor: Any) -> Hashable:
        """Returns the key of what a tensor is."""
        key = self.values.find(tensor)
        if key is not None:
            return key
        core = innermost(tensor)
        if not self.values.knows(core):
            self.originals.keep(core)
            return self._meet(tensor)
        writer = self.values.writer_of(core)
        if writer is None:
            return self._meet(tensor)
        key = self.renew(tensor)
        self._hand_out(writer, [key])
        return key

    def _meet(self, tensor: Any) -> Any:
        """Gives a key to a tensor that was made where no call is seen.

        This is before the step, or by a call such as `torch.from_numpy`.
        """
        edges = edges_of(tensor)
        stops = set(self.values.edges) if edges else ()
        is_made = any(
            # What was computed before the step is no part of it.
            node._sequence_nr() >= self._beginning
            for node, _ in edges
        ) and bool(walk_back(edges, stops).difference(edges))
        key = self.renew(tensor)
        core = innermost(tensor)
        if is_made:
            self.add_nodes(edges, stops)
        elif key in self.holders:
            pass
        elif isinstance(core, torch.nn.Parameter) or (
            id(core) in self._changeable
        ):
            self.changeable.add(key)
        elif near := self.left.find_near():
            self.add("tensor", near, [key], True)
        else:
            self.strangers[key] = core
        return key

    def add_nodes(self, edges: Any, stops: Any) -> None:
        """Adds what autograd alone knows of, each node as a call.

        Args:
            edges: What it leads to.
            stops: What it begins with.
        """
        values = self.values
        for node, outputs in nodes_between(edges, stops).items():
            leaf = leaf_of(node)
            if leaf is not None:
                self.key(leaf)
                continue
            ahead, given = node.next_functions, values.edges
            for edge in {*ahead, *outputs} - given.keys():
                # What needs no gradient goes in without a node.
                if edge[0] is not None:
                    values.note_edge(edge, values.add(Numbers()))
            inputs = [
                values.add(Numbers(), False) if x[0] is None else given[x][-1]
                for x in ahead
            ]
            keys = [given[edge][-1] for edge in sorted(outputs, key=_place)]
            self.add(name_call(node), inputs, keys, bool(following(node)))

    def renew(self, tensor: Any) -> Any:
        """Gives a tensor the key of a new value, and returns it."""
        key = self.values.renew(tensor)
        followed = self.followed.get(id(innermost(tensor)))
        if followed is not None:
            self.holders[key] = followed[1]
            self.reached.add(key)
        return key

    def _keys_of(self, edges: Any) -> Any:
        return [self.values.edges[edge][-1] for edge in edges]

    def add(
        self, kind: str, inputs: Any, outputs: Any, differentiable: bool
    ) -> Any:
        """Adds a call and returns it."""
        scope, frames, choices = look_around(self.root)
        # The same one is met by each call in its branch.
        choices = tuple(
            self.choices.setdefault(tuple(map(id, choice.functions)), choice)
            for choice in choices
        )
        call = Call(
            kind, list(inputs), [], differentiable, scope, frames, choices
        )
        self.calls.append(call)
        self._hand_out(call, outputs)
        return call

    def find_alternatives(self) -> Any:
        """Tries the branches that were not taken.

        Returns:
            For each `Choice` whose branches are known, keys of the values
            that gradients would come back to.
        """
        start, known = len(self.calls), dict(self.values.edges)
        found = {}
        for choice in list(self.choices.values()):
            edges = []
            for function in choice.others:
                # It may be unfit for where it was not called.
                with contextlib.suppress(Exception):
                    result = function(*choice.operands)
                    edges += [
                        edge
                        for tensor in tensors_in(result)
                        for edge in edges_of(tensor)
                    ]
            if choice.functions:
                found[choice] = {
                    key
                    for edge in walk_back(edges, known)
                    for key in known[edge]
                }
        del self.calls[start:]
        return found

    def _hand_out(self, call: Any, outputs: Any) -> None:
        call.outputs += outputs
        if not self.reached.isdisjoint(call.inputs):
            self.reached.update(outputs)

    def record(
        self,
        kind: str,
        function: Any,
        args: Any,
        kwargs: Any,
        inside: Any = None,
    ) -> Any:
        """Calls a function and writes down what it does.

        Args:
            kind: What it is called.
            function: The function.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            inside: What happens in it, where that is looked at.
        """
        if self._inside is not None:
            return self._record_inside(function, args, kwargs)
        tensors = list(tensors_in((args, kwargs)))
        keys = [self.key(tensor) for tensor in tensors]
        edges = [
            edge
            for tensor, key in zip(tensors, keys, strict=True)
            for edge in self.values.note_edges(tensor, key)
        ]
        result, changed, made, memories = watch(function, tensors, args, kwargs)
        if kind in LEAVING:
            self._leave(kind, keys)
        outputs = [*changed.values(), *made.values()]
        if not outputs:
            return result
        if inside is not None:
            keys += [key for key in inside.used if key not in keys]
            memories |= inside.memories
        ways = walk_back(
            [edge for output in outputs for edge in edges_of(output)],
            self.values.edges,
        )
        if edges and not (changed or torch.is_grad_enabled()):
            kind = f"{kind} under no_grad"
        call = self.add(
            kind,
            # It may use values besides its arguments, as closures do.
            [
                *keys,
                *self._keys_of(ways.difference(edges)),
                *self._find_more_inputs(kind, keys, args, kwargs),
            ],
            [],
            has_gradient(kind, kwargs, outputs, edges, ways),
        )
        call.own_gradient = inside is not None
        for memory in memories:
            self.values.note_write(memory, call)
        self._hand_out(call, [self.renew(output) for output in outputs])
        if edges and contributions.is_elementwise(kind, args):
            self._keep_arguments(call, outputs, args)
        return result

    def _keep_arguments(self, call: Any, outputs: Any, args: Any) -> None:
        """Keeps what went into arithmetic, for what it adds to gradients."""
        if all(innermost(x) is x for x in tensors_in((outputs, args))):
            for edge in edges_of(outputs[0]):
                self.arithmetic[edge] = call, args

    def _find_more_inputs(
        self, kind: str, keys: Any, args: Any, kwargs: Any
    ) -> list[Hashable]:
        """Returns the keys of what goes into a call and is no tensor."""
        depends = not self.reached.isdisjoint(keys)
        found = self.left.find_used((args, kwargs), depends)
        if not found and contributions.is_elementwise(kind, args):
            numbers = [a for a in args if isinstance(a, (int, float))]
            found += [
                self.values.add(measure(torch.tensor(n))) for n in numbers
            ]
        return found

    def _leave(self, kind: str, keys: Any) -> None:
        """Takes note of numbers that leave PyTorch."""
        if not self.reached.isdisjoint(keys):
            values = self.values
            left = values.add(
                values.numbers[keys[0]], keys[0] in values.floating
            )
            self.add(kind, keys, [left], False)
            self.left.note(left)

    def record_custom(
        self, kind: str, function: Any, args: Any, kwargs: Any
    ) -> Any:
        """Records a call of a function that brings its own gradient.

        What happens in it is no operation of the step, but what it uses and
        is not given is an input, and what it writes to is written to.
        """
        if self._inside is not None:
            return function(*args, **kwargs)
        inside = Inside()

        def call(*args: Any, **kwargs: Any) -> Any:
            self._inside = inside
            try:
                return function(*args, **kwargs)
            finally:
                self._inside = None

        return self.record(kind, call, args, kwargs, inside)

    def _record_inside(self, function: Any, args: Any, kwargs: Any) -> Any:
        inside = cast(Inside, self._inside)
        tensors = [
            tensor
            for tensor in tensors_in((args, kwargs))
            if id(innermost(tensor)) not in inside.made
        ]
        inside.used += [self.key(tensor) for tensor in tensors]
        result, _, made, memories = watch(function, tensors, args, kwargs)
        inside.memories |= memories
        inside.made |= {place: innermost(made[place]) for place in made}
        return result


def _place(edge: Any) -> Any:
    return edge[1]
