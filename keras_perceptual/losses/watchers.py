"""Bringing a sum of losses together with the metric that shows its terms.

Keras revives them apart from some files, and a user may make a loss for each.
Neither is told of the model that it is in; but whenever one of them is called,
it is by a method of that model.
"""

import sys
import weakref
from collections.abc import Iterator
from typing import Any

import keras

# All that can follow another loss than their own, each a `LossTerms`.
watchers: weakref.WeakSet[Any] = weakref.WeakSet()


def models_around() -> Iterator[keras.Model]:
    """Yields the models whose methods are running, the innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.Model):
            yield owner
        frame = frame.f_back


def parts_of(model: keras.Model, kind: Any) -> list[Any]:
    """Returns the losses or metrics of a class that a model holds.

    Args:
        model: A `keras.Model`, compiled or with losses of its own.
        kind: A class of losses or metrics.
    """
    found: list[Any] = []
    seen: set[int] = set()
    stack = list(reversed(vars(model).values()))
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, kind):
            found.append(part)
        elif isinstance(part, keras.metrics.Metric) and part in watchers:
            continue  # Its loss need not be one of the model.
        elif isinstance(part, (keras.losses.Loss, keras.metrics.Metric)):
            stack.extend(reversed(vars(part).values()))
        elif isinstance(part, dict):
            stack.extend(reversed(part.values()))
        elif isinstance(part, (list, tuple)):
            stack.extend(reversed(part))
    return found


def find_watcher(loss: Any) -> Any:
    """Returns what is to watch a loss in the model that calls it, if any.

    That is a metric whose own loss is not in the model and has the same
    terms, the most similar one.

    Args:
        loss: A `WeightedSumLoss` that nobody watches.
    """
    # Most losses have no metric of their terms anywhere: they walk no stack.
    fitting = [
        metric
        for metric in list(watchers)
        if metric.loss is not loss and fits(metric.loss, loss)
    ]
    for model in models_around() if fitting else ():
        losses = parts_of(model, type(loss))
        lost = [
            metric
            for metric in parts_of(model, tuple(set(map(type, fitting))))
            if metric in fitting
            and all(metric.loss is not held for held in losses)
        ]
        if lost:
            config = loss.get_config()
            return min(lost, key=lambda m: m.loss.get_config() != config)
    return None


def fits(loss: Any, other: Any) -> bool:
    """Whether two sums have terms of the same names."""
    return loss.terms.keys() == other.terms.keys()
