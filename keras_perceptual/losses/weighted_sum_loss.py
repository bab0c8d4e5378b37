"""Several losses as one."""

import weakref
from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeAlias

import keras
from keras import ops

from keras_perceptual import validation
from keras_perceptual.configuration import Configured
from keras_perceptual.losses.device_share import weigh_by_share
from keras_perceptual.losses.watchers import find_watcher, watchers
from keras_perceptual.typing import ArrayLike, Targets, Tensor
from keras_perceptual.validation import Checker

Terms: TypeAlias = Mapping[
    str, keras.losses.Loss | tuple[keras.losses.Loss, float] | list[Any]
]


class Watcher(Protocol):
    """What is told the value of each term, such as a `LossTerms`."""

    def record(
        self, values: Mapping[str, Tensor], batch_size: int | Tensor
    ) -> None:
        """Takes note of the terms of a batch."""


@keras.saving.register_keras_serializable(package="keras_perceptual")
class WeightedSumLoss(Configured, keras.losses.Loss):
    """Adds up several losses between the same images, each with a weight.

    `loss = sum over terms of weight * term(y_true, y_pred)`, exactly what a
    sum written by hand gives, as one object that `compile` takes and that is
    saved with the model. Each term keeps its own reduction, and receives the
    same `sample_weight`.

    A mask as `sample_weight` goes to all terms, and each averages as it does:
    `SobelGradientLoss` divides by the sum of the mask, and lets hidden targets
    be NaN; losses of Keras divide by the number of all pixels unless they have
    `reduction="mean_with_sample_weight"`, and pass NaN on.

    To see the value of each term in the progress bar and in the `History`,
    pass `LossTerms(loss)` as a metric: it shows what the loss computed anyway.

    Args:
        terms: Dictionary from names to pairs of a `keras.losses.Loss` and its
            weight, or to losses alone, of weight 1. Weights are at least 0; a
            term of weight 0 is shown but has no effect.
        name: String. Defaults to `"weighted_sum_loss"`.

    Call arguments:
        y_true: Targets, whatever all of the losses take.
        y_pred: Predictions, whatever all of the losses take.
        sample_weight: Optional weights, handed on to each loss.

    Returns:
        What the losses return: a scalar, unless they have `reduction=None`.

    Raises:
        ValueError: If there is no term, or a name, a loss or a weight is none.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> import keras_perceptual as kp
    >>> loss = kp.WeightedSumLoss(
    ...     {
    ...         "pixels": keras.losses.MeanAbsoluteError(),
    ...         "edges": (kp.SobelGradientLoss(), 0.05),
    ...     }
    ... )
    >>> image = np.linspace(0, 1, 48).reshape(1, 4, 4, 3).astype("float32")
    >>> float(loss(image, image))
    0.0

    In a model: `model.compile("adam", loss, metrics=[kp.LossTerms(loss)])`.

    Reference:
        `loss_weights` of `keras.Model.compile`, which weighs the losses of
        several outputs in the same way.
    """

    def __init__(
        self, terms: Terms, *, name: str | None = "weighted_sum_loss"
    ) -> None:
        check = Checker(self)
        super().__init__(name=check.name(name))
        self.terms = _check_terms(check.owner, terms)
        self._watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()

    def __call__(
        self,
        y_true: Targets,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Tensor:
        """Computes the sum of the terms."""
        values = {
            name: _compute(loss, y_true, y_pred, sample_weight)
            for name, (loss, _) in self.terms.items()
        }
        if watchers and not self._watchers:
            lost = find_watcher(self)
            if lost is not None:
                lost.follow(self)
        for watcher in list(self._watchers):
            watcher.record(values, ops.shape(y_pred)[0])
        return sum(
            weight * values[name] for name, (_, weight) in self.terms.items()
        )

    def call(
        self, y_true: Tensor | tuple[Tensor, Tensor], y_pred: Tensor
    ) -> Tensor:
        """Computes the sum of the terms, each reduced in its own way."""
        return self(y_true, y_pred)

    def watch(self, watcher: Watcher) -> None:
        """Hands the value of each term to `watcher.record` from now on.

        Args:
            watcher: Object with a method `record(values, batch_size)`, such as
                a `LossTerms`. It is not kept alive.
        """
        self._watchers.add(watcher)
        watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Hands nothing to a watcher any more."""
        self._watchers.discard(watcher)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Revives the loss and its terms."""
        owner, terms = cls.__name__, config.get("terms")
        if not isinstance(terms, dict) or not all(
            isinstance(term, list | tuple) and len(term) == 2
            for term in terms.values()
        ):
            raise ValueError(
                f"A configuration of {owner} needs `terms`, a dictionary from "
                "names to pairs of a loss and its weight. Save the loss again. "
                f"Received: terms={validation.show(terms)}"
            )
        revived = {
            name: (
                Checker(owner).revive({name: loss}, name),
                weight,
            )
            for name, (loss, weight) in terms.items()
        }
        return cls(**{**config, "terms": revived})


def _compute(
    loss: keras.losses.Loss,
    y_true: Targets,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None,
) -> Tensor:
    """Returns the value of a term."""
    value = loss(y_true, y_pred, sample_weight)
    if type(loss).__call__ is not keras.losses.Loss.__call__:
        return value  # One of this package, which has done so itself.
    return weigh_by_share(value, loss.reduction, y_pred, sample_weight)


def _check_terms(
    owner: str, terms: Terms
) -> dict[str, tuple[keras.losses.Loss, float]]:
    """Returns a dictionary from names to pairs of a loss and a weight."""
    if not isinstance(terms, dict) or not terms:
        raise ValueError(
            f"{owner} needs a dictionary of at least one term, such as "
            "{'pixels': keras.losses.MeanAbsoluteError(), 'edges': "
            f"(SobelGradientLoss(), 0.05)}}. Received: "
            f"terms={validation.show(terms)}"
        )
    found = {}
    for name, term in terms.items():
        loss, weight = term if isinstance(term, tuple | list) else (term, 1.0)
        if not isinstance(name, str) or not name or name == "loss":
            raise ValueError(
                f"{owner} needs a name for each term, under which its value "
                "is shown beside the `loss` itself. "
                f"Received: a term named {validation.show(name)}"
            )
        if not isinstance(loss, keras.losses.Loss):
            raise ValueError(
                f"{owner} adds up instances of `keras.losses.Loss`, such as "
                "`keras.losses.MeanAbsoluteError()`, which it can save. "
                f"Received: terms[{name!r}]={validation.show(loss)}"
            )
        found[name] = (
            loss,
            Checker(owner).number(f"the weight of {name!r}", weight, minimum=0),
        )
    return found
