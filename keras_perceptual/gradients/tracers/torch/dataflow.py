"""The operations of a training step, for PyTorch.

PyTorch has no trace of a step. The step is taken once more, every call in it
is recorded, and what it has written to is put back.
"""

import contextlib
import itertools
import random
import re
import sys
import traceback

import keras
import numpy as np
import torch
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from keras_perceptual.gradients.dataflow import (
    Dataflow,
    Derivative,
    Operation,
)

# They make numbers of Python or arrays of NumPy out of a tensor.
_LEAVING = frozenset(
    (
        *("numpy", "__array__", "item", "tolist"),
        *("__float__", "__int__", "__index__", "__complex__"),
    )
)
# They hand on the numbers of a tensor and nothing else.
_DETACHING = frozenset(("detach", "data"))
# Their derivative is zero everywhere; other backends say that there is none.
_STAIRCASES = re.compile(
    "(Round|Floor|Ceil|Trunc|Sign|Bernoulli|Poisson|Normal|Zero)Backward"
)


def describe_data(data):
    """Returns what `trace_step` needs to know of the data of a step."""
    return data


def trace_step(step, data, variables, trained):
    """Takes a training step once more and records its operations.

    The gradients that the step asks for are not computed: it is given zeros.
    Afterwards all tensors and random numbers are as they were.

    Args:
        step: Function of the data that is a training step.
        data: What `describe_data` returned.
        variables: The Keras variables to follow.
        trained: Those of them that the step trains.

    Returns:
        The step as a `Dataflow`. The key of a variable is its `id`.
    """
    return take_step(step, data, Recording(variables, trained, data))


def take_step(step, data, recording):
    """Takes a training step and returns what was recorded, a `Dataflow`."""
    with (
        _same_random_numbers(),
        recording.put_back(),
        recording.see_custom_functions(),
        recording,
    ):
        step(data)
    return Dataflow(
        operations=tuple(recording.operations),
        holders=recording.holders,
        derivatives=tuple(recording.derivatives),
        passes=passes,
    )


def public_functions():
    """Returns where the names of public functions are looked up."""
    return (("torch", torch),)


def says_it_left(error):
    """Whether a step could not be recorded as it leaves PyTorch.

    Leaving is no error here, but an operation like others.
    """
    return False


def says_gradient_failed(error):
    """Whether a step failed in a gradient and does not say in which.

    PyTorch raises the errors of a gradient where they occur.
    """
    return False


def find_leaves(targets):
    """Returns all tensors that `targets` have a gradient for, by their `id`."""
    leaves, seen = {}, set()
    stack = [tensor.grad_fn for tensor in _tensors(targets)]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack.extend(following for following, _ in node.next_functions)
            if hasattr(node, "variable"):
                leaves[id(node.variable)] = node.variable
    return leaves


def passes(operation, place, output):
    """Whether a gradient gets from an output to the input at `place`."""
    return place in operation.native[output]


class Recording(TorchFunctionMode):
    """Records the calls of PyTorch while it is active.

    A tensor has a key for each value it had: writing to it, or to another one
    that shares its memory, gives it a new key.

    Args:
        variables: The Keras variables to follow.
        trained: Those that a gradient is asked for where all are.
        data: The data of the step.

    Attributes:
        operations: The calls, each an `Operation`. Its `native` is, for each
            output, the set of the places of inputs that a gradient gets to.
        holders: As in `Dataflow`.
        derivatives: As in `Dataflow`.
        edges: Where autograd knows of recorded values, with the keys of these.
    """

    def __init__(self, variables, trained, data):
        super().__init__()
        self.operations = []
        self.holders = {}
        self.derivatives = []
        self._parameters = {id(v.value): v.value for v in variables}
        self._variables = {id(v.value): id(v) for v in variables}
        self._trained = {id(v.value) for v in trained}
        self._new_keys = itertools.count()
        self._keys = {}
        # All tensors, by their memory. None is let go of before the end, so
        # that no `id` and no memory is used for another one.
        self._sharing = {}
        self.edges = {}
        self._originals = []
        self._written = set()
        # Keys of what depends on a variable in any way.
        self._reached = set()
        # Keys of numbers that left PyTorch.
        self._left = []
        # The keys of what was detached, by those of what came out.
        self._detached = {}
        self._paused = False
        for tensor in (*self._parameters.values(), *_tensors(data)):
            self._key(tensor)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._paused:
            return function(*args, **kwargs)
        if any(issubclass(kind, keras.Variable) for kind in types):
            # Its value may be cast first, which is a call of its own.
            with self:
                return keras.Variable.__torch_function__(
                    function, types, args, kwargs
                )
        if function in (torch.Tensor.backward, torch.autograd.backward):
            return self._answer_backward(args[0], kwargs.get("inputs"))
        if function is torch.autograd.grad:
            return self._answer_grad(function, args, kwargs)
        kind = function.__name__
        if kind in ("__get__", "__set__"):
            kind = getattr(function.__self__, "__name__", kind)
            if kind == "grad":
                return function(*args, **kwargs)
        return self._record(kind, function, args, kwargs)

    @contextlib.contextmanager
    def put_back(self):
        """Puts back everything that is written to inside."""
        try:
            yield
        finally:
            with torch.no_grad():
                for original in self._originals:
                    original.put_back(self._written)

    @contextlib.contextmanager
    def see_custom_functions(self):
        """Records calls of `torch.autograd.Function` as well."""
        former = vars(torch.autograd.Function)["apply"]

        def apply(cls, *args, **kwargs):
            call = former.__get__(None, cls)
            if self._paused:
                return call(*args, **kwargs)
            self._paused = True
            try:
                return self._record(cls.__name__, call, args, kwargs)
            finally:
                self._paused = False

        torch.autograd.Function.apply = classmethod(apply)
        try:
            yield
        finally:
            torch.autograd.Function.apply = former

    def _record(self, kind, function, args, kwargs):
        """Calls a function and takes note of what it does."""
        tensors = list(_tensors((args, kwargs)))
        keys = [self._key(tensor) for tensor in tensors]
        edges = [_edge(tensor) for tensor in tensors]
        states = [_state(tensor) for tensor in tensors]
        result = function(*args, **kwargs)
        changed = self._find_changed(tensors, states)
        if kind in _LEAVING:
            self._leave(kind, keys)
        elif any(edges) and not (changed or torch.is_grad_enabled()):
            kind = f"{kind} under no_grad"
        given = {id(tensor) for tensor in tensors}
        changed |= {
            id(tensor): tensor
            for tensor in _tensors(result)
            if id(tensor) not in given
        }
        if changed:
            outputs = list(changed.values())
            ways = [self._find_ways(output) for output in outputs]
            # It may use values besides its arguments, as closures do.
            others = set().union(*ways).difference(edges)
            edges += others
            keys += [self.edges[edge] for edge in others]
            if self._reached.isdisjoint(keys) and _has_number((args, kwargs)):
                keys += self._left
            places = [
                frozenset(i for i, edge in enumerate(edges) if edge in way)
                for way in ways
            ]
            self._add(kind, keys, [self._renew(o) for o in outputs], places)
            self.keep_arguments(tensors)
        return result

    def keep_arguments(self, tensors):
        """Called with what went into the operation that was added last."""

    def _find_changed(self, tensors, states):
        """Returns by `id` the tensors that no longer are in former states."""
        changed = {}
        for tensor, state in zip(tensors, states, strict=True):
            if _state(tensor) != state:
                memories = {state[0], _memory(tensor)}
                self._written |= memories
                changed[id(tensor)] = tensor
                for memory in memories - {0}:
                    changed |= self._sharing.get(memory, {})
        return changed

    def _leave(self, kind, keys):
        """Takes note of numbers that leave PyTorch.

        What becomes of them is not known. Whatever is made of numbers later
        on, and of no variable, is taken to be made of these.
        """
        former = [self._detached.get(key, ()) for key in keys]
        keys = [*keys, *itertools.chain(*former)]
        if not self._reached.isdisjoint(keys):
            self._left.append(next(self._new_keys))
            self._add(kind, keys, self._left[-1:], [frozenset()])

    def _add(self, kind, inputs, outputs, ways):
        """Adds an operation."""
        scope, frames = _look_around()
        self.operations.append(
            Operation(kind, tuple(inputs), tuple(outputs), scope, frames, ways)
        )
        if not self._reached.isdisjoint(inputs):
            self._reached.update(outputs)
        if kind in _DETACHING:
            self._detached |= dict.fromkeys(outputs, inputs)
        elif len(inputs) == 1 and inputs[0] in self._detached:
            self._detached |= dict.fromkeys(outputs, self._detached[inputs[0]])

    def _key(self, tensor):
        """Returns the key of the value of a tensor."""
        if id(tensor) not in self._keys:
            self._originals.append(_Original(tensor))
            made_of = [
                self.edges[edge]
                for edge in _walk_back(_edge(tensor), self.edges)
            ]
            key = self._renew(tensor)
            # It was made where no call is seen, as by `torch.vmap` or by
            # `torch.from_numpy`, or before the step.
            if made_of:
                places = frozenset(range(len(made_of)))
                name = tensor.grad_fn.name()
                self._add(name, made_of, [key], [places])
            elif self._left and not isinstance(tensor, torch.nn.Parameter):
                self._add("tensor", self._left, [key], [frozenset()])
        return self._keys[id(tensor)]

    def _renew(self, tensor):
        """Gives a tensor the key of a new value."""
        key = next(self._new_keys)
        self._keys[id(tensor)] = key
        self._sharing.setdefault(_memory(tensor), {})[id(tensor)] = tensor
        edge = _edge(tensor)
        if edge is not None:
            self.edges[edge] = key
        if id(tensor) in self._parameters:
            self.holders[key] = self._variables[id(tensor)]
            self._reached.add(key)
        return key

    def _find_ways(self, output):
        """Returns where a gradient of a new tensor gets to first."""
        edge = _edge(output)
        found = _walk_back(edge, self.edges)
        if edge is not None and isinstance(edge[0], BackwardCFunction):
            found = _ask(output, found)
        return found

    def _answer_backward(self, targets, sources):
        """Takes note of what is differentiated, and leaves zeros."""
        followed = self._trained
        if sources is not None:
            followed = self._parameters.keys() & {
                id(source) for source in _tensors(sources)
            }
        self._differentiate(targets, followed)
        for parameter in map(self._parameters.get, followed):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def _answer_grad(self, function, args, kwargs):
        """Takes note of what is differentiated, and returns zeros.

        What the step may go on differentiating is computed.
        """
        targets, sources = args[0], list(_tensors(args[1]))
        followed = self._parameters.keys() & {id(s) for s in sources}
        self._differentiate(targets, followed)
        if len(followed) == len(sources) and not kwargs.get("create_graph"):
            return tuple(torch.zeros_like(source) for source in sources)
        return self._record("grad", function, args, kwargs)

    def see_derivative(self, targets):
        """Called with what is differentiated, once it was taken note of."""

    def _differentiate(self, targets, followed):
        keys = [self._key(target) for target in _tensors(targets)]
        if self._left and self._reached.isdisjoint(keys):
            self._add("tensor", self._left, keys, [frozenset()] * len(keys))
        self.derivatives.append(
            Derivative(
                tuple(keys), frozenset(self._variables[key] for key in followed)
            )
        )
        self._paused = True
        try:
            self.see_derivative(list(_tensors(targets)))
        finally:
            self._paused = False


class _Original:
    """What a tensor was when it was first seen."""

    def __init__(self, tensor):
        self._tensor = tensor
        self._memory = _memory(tensor)
        self._alias = tensor.detach()
        self._values = self._alias.clone()
        self._gradient = tensor.grad if tensor.is_leaf else None

    def put_back(self, written):
        """Puts it back if its memory is among those `written` to."""
        tensor = self._tensor
        if _memory(tensor) != self._memory:
            tensor.data = self._alias
        if self._memory and self._memory in written:
            tensor.copy_(self._values)
        if tensor.is_leaf and tensor.grad is not self._gradient:
            tensor.grad = self._gradient


@contextlib.contextmanager
def _same_random_numbers():
    """Puts back the random numbers to come."""
    python = random.getstate()
    # The state of NumPy is that of the functions in `numpy.random`.
    numpy = np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _look_around():
    """Returns the names of the layers and the frames around a call."""
    layers, frames = [], []
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not take_step.__code__:
        code = frame.f_code
        if code.co_filename != __file__:
            frames.append(
                traceback.FrameSummary(
                    code.co_filename,
                    frame.f_lineno,
                    code.co_name,
                    lookup_line=False,
                )
            )
        if code.co_name == "__call__":
            caller = frame.f_locals.get("self")
            if isinstance(caller, keras.Layer):
                layers.append(caller.name)
        frame = frame.f_back
    return tuple(reversed(layers)), tuple(reversed(frames))


def _tensors(structure):
    """Yields all tensors in nested lists, tuples, sets and dictionaries."""
    for leaf in _leaves(structure):
        if isinstance(leaf, torch.Tensor):
            yield leaf


def _has_number(structure):
    """Whether there is a number in it that may come out of a tensor."""
    return any(
        isinstance(leaf, (float, np.ndarray, np.generic))
        for leaf in _leaves(structure)
    )


def _leaves(structure):
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, (list, tuple, set, frozenset)):
        for part in structure:
            yield from _leaves(part)
    else:
        yield structure


def _state(tensor):
    """Returns what changes when a tensor is written to."""
    version = 0 if tensor.is_inference() else tensor._version
    return _memory(tensor), version


def _memory(tensor):
    """Returns where the numbers of a tensor are, or 0 where there are none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        # Sparse tensors have no such place, nor have those of `torch.vmap`.
        return 0


def _edge(tensor):
    """Returns where autograd knows of a tensor, `None` where it does not."""
    if not tensor.requires_grad:
        return None
    try:
        edge = get_gradient_edge(tensor)
    except AssertionError:
        # A view made under `torch.no_grad` only looks as if there were one.
        return None
    return edge.node, edge.output_nr


def _walk_back(edge, stops):
    """Returns those of `stops` that gradients get to first from `edge`."""
    found, seen, stack = set(), set(), [edge]
    while stack:
        edge = stack.pop()
        if edge is None or edge[0] is None or edge in seen:
            continue
        seen.add(edge)
        if edge in stops:
            found.add(edge)
        elif not _is_staircase(edge[0]):
            stack.extend(edge[0].next_functions)
    return found


def _is_staircase(node):
    return _STAIRCASES.match(node.name()) or (
        getattr(node, "_saved_rounding_mode", None) is not None
    )


def _ask(output, edges):
    """Returns those of `edges` that a custom function has a gradient for."""
    try:
        gradients = torch.autograd.grad(
            output,
            [GradientEdge(*edge) for edge in edges],
            torch.ones_like(output),
            retain_graph=True,
            allow_unused=True,
        )
    except Exception:
        # Some do not answer, such as those of reentrant checkpoints.
        return edges
    pairs = zip(edges, gradients, strict=True)
    return {edge for edge, gradient in pairs if gradient is not None}
