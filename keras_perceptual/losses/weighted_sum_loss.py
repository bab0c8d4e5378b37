"""Several losses as one."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol, Self, cast

import keras
from keras import ops

from keras_perceptual import _backend, validation
from keras_perceptual.configuration import Configured
from keras_perceptual.losses.device_share import weigh_by_share
from keras_perceptual.losses.gradient_balance import GradientBalance
from keras_perceptual.losses.sum_checks import (
    Terms,
    check_balance,
    check_channels,
    check_terms,
)
from keras_perceptual.losses.watchers import find_watcher
from keras_perceptual.ops.gradient_shares import dot_products, norms
from keras_perceptual.typing import ArrayLike, Balance, Targets, Tensor
from keras_perceptual.validation import Checker

BALANCES = ("gradient",)
# How deep sums may be within sums.
MOST_NESTED = 20


class Watcher(Protocol):
    """What is told the value of each term, such as a `LossTerms`."""

    def record(
        self, values: Mapping[str, Tensor], batch_size: int | Tensor
    ) -> None:
        """Takes note of the terms of a batch."""


class GradientWatcher(Watcher, Protocol):
    """A watcher that is told of the gradients of the terms as well."""

    def record_gradients(self, products: Tensor) -> None:
        """Takes note of the dot products of the gradients of a batch."""


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

    With `balance="gradient"` you say what share each term is to have of the
    gradient at the prediction, and the weights that give it are found. A share
    is the norm of the gradient of a weighed term, over the whole batch, among
    the sum of those of all terms. The terms' own backward passes are looked at,
    and none is added: a step takes as long as with fixed weights. The weights
    follow a moving average over the last ten batches or so, from the second
    batch on; the given weights set the sum of the norms, and so what a learning
    rate means. A batch in which the gradient of a term is zero or not finite
    leaves the average as it is. It is saved with the model (but not in a whole
    `.h5` file), is the same on all devices of a `tf.distribute.Strategy`, and
    does not depend on loss scaling. An evaluation leaves it alone and takes
    the weights of the moment, so that `val_loss` is not comparable over time:
    watch a term or a metric instead. On JAX, `fit` carries the average along
    with `metrics=[LossTerms(loss)]`.

    Args:
        terms: Dictionary from names to pairs of a loss and its weight, or to
            losses alone, of weight 1. A loss is a `keras.losses.Loss` or the
            name of one of Keras's, such as `"mse"`. Weights are at least 0; a
            term of weight 0 is shown but has no effect.
        channels: Optional dictionary from names of terms to the channels that
            they look at, a list of integers: `{"features": [0, 1, 2]}` leaves
            a fourth channel to the others. Defaults to all channels.
        balance: `"gradient"`, for weights that are found. Defaults to `None`:
            they stay as they are given.
        shares: Optional dictionary from the names of all terms, but those of
            weight 0, to floats above 0, with `balance`: what each is to have of
            the gradient. The proportions count: `{"pixels": 1, "features": 4}`
            is a fifth for the pixels. Defaults to the same for all terms.
        name: String. Defaults to `"weighted_sum_loss"`.

    Call arguments:
        y_true: Targets, whatever all of the losses take.
        y_pred: Predictions, whatever all of the losses take.
        sample_weight: Optional weights, handed on to each loss.

    Returns:
        What the losses return: a scalar, unless they have `reduction=None`.

    Raises:
        ValueError: If there is no term, or a name, a loss or a weight is none;
            with a balance, if a term is not reduced to one number, or if a
            compiled step of JAX or several devices have no way to keep the
            average.

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

    With weights that are found:

    >>> loss = kp.WeightedSumLoss(
    ...     {"pixels": "mae", "edges": kp.SobelGradientLoss()},
    ...     balance="gradient",
    ...     shares={"pixels": 1, "edges": 3},
    ... )
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, padding="same")]
    ... )
    >>> model.compile("adam", loss, metrics=[kp.LossTerms(loss)])
    >>> images = keras.random.uniform((4, 8, 8, 3))
    >>> history = model.fit(images, images, verbose=0)
    >>> sorted(loss.term_weights())
    ['edges', 'pixels']

    Reference:
        `loss_weights` of `keras.Model.compile`, which weighs the losses of
        several outputs in the same way. Défossez et al. 2022, "High Fidelity
        Neural Audio Compression", https://arxiv.org/abs/2210.13438, section
        3.4, balances gradients at the prediction; Chen et al. 2018,
        "GradNorm", https://arxiv.org/abs/1711.02257, those at shared weights.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        channels: Mapping[str, Sequence[int]] | None = None,
        balance: Balance | None = None,
        shares: Mapping[str, float] | None = None,
        name: str | None = "weighted_sum_loss",
    ) -> None:
        check = Checker(self)
        super().__init__(name=check.name(name))
        self.terms = check_terms(check.owner, terms)
        self.channels = check_channels(check, channels, self.terms)
        _check_depth(check.owner, self)
        self._watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
        self.balance: Balance | None = balance
        self.shares: dict[str, float] | None = None
        self._balance: GradientBalance | None = None
        if balance is not None:
            check.choice("balance", balance, BALANCES)
            self.shares = check_balance(check, shares, self.terms)
            self._balance = GradientBalance(
                self.shares
                or {name: 1.0 for name, (_, w) in self.terms.items() if w > 0}
            )
        elif shares is not None:
            raise ValueError(
                f'{check.owner} holds shares with `balance="gradient"`, and '
                "without it the weights of the terms. Add it, or leave out "
                f"`shares`. Received: shares={validation.show(shares)}"
            )

    def __call__(
        self,
        y_true: Targets,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Tensor:
        """Computes the sum of the terms."""
        if not self._watchers:
            lost = find_watcher(self)
            if lost is not None:
                lost.follow(self)
        total, values = self._sum_up(y_true, y_pred, sample_weight)
        for watcher in list(self._watchers):
            watcher.record(values, ops.shape(y_pred)[0])
        return total

    def _sum_up(
        self,
        y_true: Targets,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the sum, and the values of its terms."""
        told = [
            cast(GradientWatcher, watcher)
            for watcher in self._watchers
            if getattr(watcher, "gradients", False)
        ]
        is_watched = bool(told) or self._balance is not None
        factors = {} if self._balance is None else self._balance.factors()

        def add_up(copies: Sequence[Any]) -> tuple[Tensor, dict[str, Tensor]]:
            values = {
                name: _compute(
                    loss, self._seen(name, y_true, copy), sample_weight
                )
                for copy, (name, (loss, _)) in zip(
                    copies, self.terms.items(), strict=True
                )
            }
            weighed = [
                weight * _multiply(factors.get(name), values[name])
                for name, (_, weight) in self.terms.items()
            ]
            total = sum(weighed)
            if is_watched and tuple(total.shape) != ():
                self._refuse_vector(total)
            return total, values

        def tell(gradients: list[Tensor]) -> None:
            products = dot_products(gradients)
            total = _backend.replica_total(products)
            products = products if total is None else total
            for watcher in told:
                watcher.record_gradients(products)
            if self._balance is not None:
                lengths = norms(products)
                self._balance.learn(
                    {name: lengths[i] for i, name in enumerate(self.terms)},
                    factors,
                )

        if not is_watched:
            return add_up([y_pred] * len(self.terms))
        y_pred = ops.convert_to_tensor(y_pred)
        dtype = keras.backend.standardize_dtype(y_pred.dtype)
        if "float" not in dtype:
            return add_up([y_pred] * len(self.terms))
        if dtype != "float64":
            # The sum of squares of a gradient is too small for 16 bits.
            y_pred = ops.cast(y_pred, "float32")
        return _backend.watch_gradients(add_up, y_pred, len(self.terms), tell)

    def _refuse_vector(self, total: Tensor) -> NoReturn:
        """Says that there is no one gradient of several numbers."""
        raise ValueError(
            f"{type(self).__name__} can look at the gradients of terms that "
            "are reduced to one number. Give each a `reduction`, such as "
            "'sum_over_batch_size', or leave out `balance` and "
            "`LossTerms(loss, gradients=True)`. "
            f"Received: terms whose sum is shaped {tuple(total.shape)}"
        )

    def _seen(self, name: str, *images: Any) -> Sequence[Any]:
        """Returns what a term sees of images, or of pairs with a mask."""
        chosen = (self.channels or {}).get(name)
        if chosen is None:
            return images
        data_format = (
            getattr(self.terms[name][0], "data_format", None)
            or keras.config.image_data_format()
        )
        axis = 1 if data_format == "channels_first" else -1
        return [
            (_take(self, name, x[0], chosen, axis), *x[1:])
            if isinstance(x, tuple)
            else _take(self, name, x, chosen, axis)
            for x in images
        ]

    def call(
        self, y_true: Tensor | tuple[Tensor, Tensor], y_pred: Tensor
    ) -> Tensor:
        """Computes the sum of the terms, each reduced in its own way."""
        return self(y_true, y_pred)

    def term_weights(self) -> dict[str, Tensor]:
        """Returns what each term is multiplied by at present.

        Returns:
            A dictionary from the names of the terms to their weights, which
            are floats without a balance, and scalar tensors with one.
        """
        factors = {} if self._balance is None else self._balance.factors()
        return {
            name: _multiply(factors.get(name), weight)
            for name, (_, weight) in self.terms.items()
        }

    @property
    def variables(self) -> list[keras.Variable]:
        """What balances keep, here and in sums within: a variable for each.

        Keras saves it with the model. On JAX, a step carries along what metrics
        have, and with a `LossTerms` of this loss, what is here.
        """
        own = [] if self._balance is None else self._balance.variables
        inner = [
            variable
            for loss, _ in self.terms.values()
            if isinstance(loss, WeightedSumLoss)
            for variable in loss.variables
        ]
        return [*own, *inner]

    def watch(self, watcher: Watcher) -> None:
        """Hands the value of each term to `watcher.record` from now on.

        Args:
            watcher: Object with a method `record(values, batch_size)`, such as
                a `LossTerms`. It is not kept alive.
        """
        self._watchers.add(watcher)

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
        _check_config_depth(owner, terms)
        revived = {
            name: (
                Checker(owner).revive({name: loss}, name),
                weight,
            )
            for name, (loss, weight) in terms.items()
        }
        return cls(**{**config, "terms": revived})


def _multiply(factor: Tensor | None, value: Any) -> Any:
    """Returns a number or a tensor times a factor, if there is one."""
    if factor is None:
        return value
    dtype = getattr(value, "dtype", factor.dtype)
    return ops.cast(factor, dtype) * value


def _compute(
    loss: keras.losses.Loss,
    images: Sequence[Any],
    sample_weight: ArrayLike | None,
) -> Tensor:
    """Returns the value of a term."""
    y_true, y_pred = images
    value = loss(y_true, y_pred, sample_weight)
    if type(loss).__call__ is not keras.losses.Loss.__call__:
        return value  # One of this package, which has done so itself.
    return weigh_by_share(value, loss.reduction, y_pred, sample_weight)


def _take(
    loss: keras.losses.Loss,
    name: str,
    images: ArrayLike,
    channels: Sequence[int],
    axis: int,
) -> Tensor:
    """Returns some channels of images."""
    images = ops.convert_to_tensor(images)
    shape = tuple(images.shape)
    count = shape[axis] if len(shape) == 4 else 0
    if count is not None and max(channels) >= count:
        raise ValueError(
            f"{type(loss).__name__} is to show the term "
            f"{validation.show(name)} the channels {channels}, which these "
            "images do not have. Count from 0, and give it images, not "
            "encoded ones. "
            f"Received: images of shape {shape}"
        )
    first, last = channels[0], channels[-1] + 1
    if channels == list(range(first, last)):
        index = [slice(None)] * 4
        index[axis] = slice(first, last)
        return images[tuple(index)]
    return ops.take(images, channels, axis=axis)


def _check_depth(owner: str, loss: Any) -> None:
    """Refuses sums of sums of sums, which Python cannot walk through."""
    layer = [loss]
    for _ in range(MOST_NESTED):
        layer = [
            term
            for whole in layer
            for term, _ in whole.terms.values()
            if isinstance(term, WeightedSumLoss)
        ]
        if not layer:
            return
    _refuse_depth(owner)


def _check_config_depth(owner: str, terms: dict[str, Any]) -> None:
    """Refuses a configuration of sums of sums before any is revived."""
    layer = [terms]
    for _ in range(MOST_NESTED):
        configs = [
            term[0].get("config")
            for terms in layer
            for term in terms.values()
            if isinstance(term, list | tuple)
            and term
            and isinstance(term[0], dict)
        ]
        layer = [
            config["terms"]
            for config in configs
            if isinstance(config, dict)
            and isinstance(config.get("terms"), dict)
        ]
        if not layer:
            return
    _refuse_depth(owner)


def _refuse_depth(owner: str) -> NoReturn:
    raise ValueError(
        f"{owner} holds sums within sums to a depth of {MOST_NESTED} at most. "
        "Write the terms side by side in one. "
        f"Received: more than {MOST_NESTED} within each other"
    )
