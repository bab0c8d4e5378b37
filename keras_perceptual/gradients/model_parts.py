"""Finding the optimizers of a model and the layers that own its variables."""

import keras


def walk_parts(model):
    """Yields the layers and optimizers held by a model, itself included.

    Attributes are followed through layers, lists, tuples, sets and
    dictionaries; an optimizer is not looked into.
    """
    seen = set()
    stack = [model]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, keras.optimizers.Optimizer):
            yield part
        elif isinstance(part, keras.Layer):
            yield part
            stack.extend(reversed(list(vars(part).values())))
        elif isinstance(part, dict):
            stack.extend(reversed(list(part.values())))
        elif isinstance(part, (list, tuple, set, frozenset)):
            stack.extend(reversed(list(part)))


def find_optimizers(model):
    """Returns every optimizer that the model or a layer in it holds."""
    return [
        part
        for part in walk_parts(model)
        if isinstance(part, keras.optimizers.Optimizer)
    ]


def find_owners(model):
    """Returns the layer each trainable variable belongs to, by `id`.

    Of nested layers it is the one that holds the fewest variables.
    """
    owners = {}
    for layer in walk_parts(model):
        if not isinstance(layer, keras.Layer):
            continue
        weights = layer.weights
        for variable in weights:
            size, _ = owners.get(id(variable), (float("inf"), None))
            if len(weights) <= size:
                owners[id(variable)] = (len(weights), layer)
    return {key: layer for key, (_, layer) in owners.items()}


def variables_of(optimizer):
    """Returns the variables an optimizer was built for, in its order."""
    # The optimizer has no public list of them.
    return list(getattr(optimizer, "_trainable_variables", None) or ())
