"""Reading numbers inside a training step, for PyTorch."""

import torch
from torch.autograd.graph import GradientEdge

from keras_perceptual.gradients import zeros
from keras_perceptual.gradients.dataflow import Dataflow
from keras_perceptual.gradients.tracers.torch import dataflow


def read_step(step, data, variables, trained, suspects):
    """Takes a training step once more and reads where gradients become zero.

    Args:
        step: As for `dataflow.trace_step`.
        data: As for `dataflow.trace_step`.
        variables: As for `dataflow.trace_step`.
        trained: As for `dataflow.trace_step`.
        suspects: The keys of the variables with a gradient of zeros.

    Returns:
        The step as a `Dataflow`, and the `Reading` of each operation that was
        looked at.
    """
    probing = _Probing(variables, trained, data, suspects)
    return dataflow.take_step(step, data, probing), probing.readings


class _Probing(dataflow.Recording):
    """Looks at gradients on the way, whenever gradients are asked for.

    Args:
        variables: As for `Recording`.
        trained: As for `Recording`.
        data: As for `Recording`.
        suspects: As for `read_step`.

    Attributes:
        readings: The `Reading` of each operation that was looked at.
    """

    def __init__(self, variables, trained, data, suspects):
        self.readings = {}
        self._suspects = suspects
        self._arguments = {}
        super().__init__(variables, trained, data)

    def keep_arguments(self, tensors):
        operation = self.operations[-1]
        if zeros.is_looked_at(operation):
            self._arguments[operation] = [x.detach() for x in tensors]

    def see_derivative(self, targets):
        targets = [target for target in targets if target.requires_grad]
        flow = Dataflow(
            tuple(self.operations),
            self.holders,
            (self.derivatives[-1],),
            dataflow.passes,
        )
        chosen = [
            operation
            for operation in zeros.choose_operations(flow, self._suspects)
            if operation in self._arguments
        ]
        if not chosen or not targets:
            return
        edges = {key: edge for edge, key in self.edges.items()}
        keys = {k for o in chosen for k in (*o.inputs, *o.outputs)}
        keys = [key for key in keys if key in edges]
        gradients = torch.autograd.grad(
            targets,
            [GradientEdge(*edges[key]) for key in keys],
            [torch.ones_like(target) for target in targets],
            retain_graph=True,
            allow_unused=True,
        )
        found = dict(zip(keys, gradients, strict=True))
        for operation in chosen:
            self.readings[operation] = self._read(operation, found)

    def _read(self, operation, gradients):
        """Returns the `Reading` of an operation."""
        arguments = self._arguments[operation]
        outputs = [gradients.get(key) for key in operation.outputs]
        # Besides the arguments it may use other values, as closures do.
        others = [None] * (len(operation.inputs) - len(arguments))
        return zeros.Reading(
            above=max(map(_size, outputs)),
            below=tuple(_size(gradients.get(k)) for k in operation.inputs),
            sizes=tuple(map(_size, (*arguments, *others))),
            through=tuple(
                _size(_contribution(operation, outputs[0], arguments, place))
                for place in range(len(operation.inputs))
            ),
        )


def _contribution(operation, gradient, arguments, place):
    """Returns what an operation adds to the gradient of an input, if known."""
    if gradient is None or len(arguments) != 2 or place > 1:
        return None
    if arguments[place].shape != gradient.shape:
        return None
    return zeros.contribution(operation, gradient, arguments, place)


def _size(tensor):
    """Returns the largest size in a tensor, 0 for none and for integers."""
    if tensor is None or not tensor.is_floating_point() or not tensor.numel():
        return 0.0
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    return float(tensor.detach().abs().max())
