"""Finding the optimizers of a model and the layers that own its variables."""

import collections
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from keras_perceptual.model_walk import walk_parts


def find_optimizers(model: keras.Model) -> list[Any]:
    """Returns every optimizer that the model or a layer in it holds."""
    return [
        part
        for part in walk_parts(model)
        if isinstance(part, keras.optimizers.Optimizer)
    ]


def find_loss_variables(model: keras.Model) -> list[Any]:
    """Returns the variables that losses of a model keep for themselves.

    Keras asks no loss for variables; those that have some name them.
    """
    found: list[Any] = []
    for loss in walk_parts(model, (keras.losses.Loss,)):
        # What somebody else calls so may be anything, and may fail.
        with contextlib.suppress(Exception):
            found += loss.variables
    return [x for x in found if isinstance(x, keras.Variable)]


def find_owners(model: keras.Model) -> dict[int, Any]:
    """Returns the layer each trainable variable belongs to, by `id`.

    Of nested layers it is the one that holds the fewest variables, and the
    innermost where several hold the same: a model with a single layer does
    not stand for that layer.
    """
    owners: dict[int, tuple[float, Any]] = {}
    for layer in walk_parts(model):
        if not isinstance(layer, keras.Layer):
            continue
        weights = layer.weights
        for variable in weights:
            size, owner = owners.get(id(variable), (float("inf"), None))
            if len(weights) < size or (
                len(weights) == size and not _holds(layer, owner)
            ):
                owners[id(variable)] = (len(weights), layer)
    return {key: layer for key, (_, layer) in owners.items()}


def _holds(layer: Any, other: Any) -> bool:
    """Whether a layer is around another one."""
    return any(part is other for part in walk_parts(layer))


def plain_operations(layer: Any) -> list[Any]:
    """Returns the operations of a Functional model that are no layers.

    `keras.ops.cast(x, "int32")` of a symbolic `x` makes one of them.
    """
    return [
        operation
        for operation in getattr(layer, "operations", None) or ()
        if not isinstance(operation, keras.Layer)
    ]


def operations_by_name(model: keras.Model) -> dict[str, Any]:
    """Returns the layers of a model and its plain operations, by name.

    The first one counts where several have the same name: an outer model
    comes before those in it, and a layer before an operation.
    """
    layers = [p for p in walk_parts(model) if isinstance(p, keras.Layer)]
    plain = [step for layer in layers for step in plain_operations(layer)]
    named: dict[str, Any] = {}
    for part in (*layers, *plain):
        named.setdefault(part.name, part)
    return named


def tell_apart(model: keras.Model, layers: Sequence[Any]) -> dict[int, str]:
    """Returns a name for each of some layers, by `id`.

    Where several layers of the model are called the same, as in two networks
    that one function makes, the name of what is around it goes before it:
    `"encoder_a/dense"`.
    """
    parts = [p for p in walk_parts(model) if isinstance(p, keras.Layer)]
    # A Sequential model calls the Functional one in it without its name.
    nameless = {id(getattr(part, "_functional", None)) for part in parts}
    parts = [part for part in parts if id(part) not in nameless]
    count = collections.Counter(part.name for part in parts)
    names = {}
    for layer in layers:
        names[id(layer)] = layer.name
        if count[layer.name] == 1:
            continue
        around = [p for p in parts if p is not layer and _holds(p, layer)]
        if around:
            holder = min(around, key=lambda part: len([*walk_parts(part)]))
            names[id(layer)] = f"{holder.name}/{layer.name}"
    return names


def find_neighbors(
    operation: Any, operations: Iterable[Any]
) -> tuple[str, str]:
    """Returns the names of the layers around a plain operation.

    Args:
        operation: An operation of a Functional model.
        operations: All layers and operations of the model.

    Returns:
        The name of a layer that it computes from, and of one that computes
        from it, other operations in between left out; `""` for none.
    """
    takers: dict[int, list[Any]] = {}
    makers: dict[int, list[Any]] = {}
    for other in operations:
        inputs, outputs = _tensors_of(other)
        for tensor in inputs:
            takers.setdefault(id(tensor), []).append(other)
        for tensor in outputs:
            makers.setdefault(id(tensor), []).append(other)

    def before(step: Any) -> list[Any]:
        return [o for t in _tensors_of(step)[0] for o in makers.get(id(t), ())]

    def behind(step: Any) -> list[Any]:
        return [o for t in _tensors_of(step)[1] for o in takers.get(id(t), ())]

    return _nearest_layer(operation, before), _nearest_layer(operation, behind)


def _nearest_layer(operation: Any, step: Callable[[Any], Iterable[Any]]) -> str:
    """Returns the name of the first layer on the way, or `""`."""
    seen, queue = {id(operation)}, [operation]
    while queue:
        for other in step(queue.pop(0)):
            if isinstance(other, keras.Layer):
                return other.name
            if id(other) not in seen:
                seen.add(id(other))
                queue.append(other)
    return ""


def _tensors_of(operation: Any) -> tuple[list[Any], ...]:
    """Returns the symbolic tensors that go in and that come out."""
    try:
        # All calls of it; `input` and `output` of a nested model are its own.
        nodes = operation._inbound_nodes
        pairs = [(node.input_tensors, node.output_tensors) for node in nodes]
    except AttributeError:
        pairs = []
    return tuple(
        [t for pair in pairs for t in keras.tree.flatten(pair[end])]
        for end in (0, 1)
    )


def variables_of(optimizer: Any) -> list[Any]:
    """Returns the variables an optimizer was built for, in its order."""
    # The optimizer has no public list of them.
    return list(getattr(optimizer, "_trainable_variables", None) or ())


def can_train_nothing(model: keras.Model) -> bool:
    """Whether no step of a model can change anything, before it is taken.

    A step of its own may build layers or set `trainable`.
    """
    return (
        type(model).train_step is keras.Model.train_step
        and not model.trainable_variables
        and bool(model.weights)
        and all(
            part.built
            for part in walk_parts(model)
            if isinstance(part, keras.Layer)
        )
    )
