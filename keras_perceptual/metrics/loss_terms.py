"""A metric that shows what a sum of losses is made of."""

import warnings
from collections.abc import Mapping
from typing import Any, NoReturn, Self

import keras
from keras import ops

from keras_perceptual import _backend, validation
from keras_perceptual.configuration import Configured
from keras_perceptual.docstrings import fill
from keras_perceptual.losses.watchers import (
    fits,
    models_around,
    parts_of,
    watchers,
)
from keras_perceptual.losses.weighted_sum_loss import WeightedSumLoss
from keras_perceptual.metrics.term_gradients import TermGradients
from keras_perceptual.typing import DType, Tensor
from keras_perceptual.validation import Checker, calls_to_user


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class LossTerms(Configured, keras.metrics.Metric):
    """Shows each term of a `WeightedSumLoss` while a model trains.

    It computes nothing of its own: the loss hands over the values that it has
    computed, and this averages them over an epoch, as Keras does with the
    loss. The values are those before the weights.

    With `gradients=True` it also shows, while training, what share each weighed
    term has of the gradient at the prediction, as `<term>_share`, and the
    cosine between the gradients of each pair of terms, as
    `<term>_<term>_cosine`: 1 where both ask for the same change, 0 where they
    have nothing to do with each other, below 0 where they are at odds. Means
    are over batches whose gradients are all finite. It warns, once and in one
    line each, of a pair whose mean cosine is below -0.5, and of the term whose
    value or gradient was the first to become NaN or infinite.

    Callbacks that watch a term have to be told which way is better, as in
    `keras.callbacks.EarlyStopping("val_edges", mode="min")`.

    Args:
        loss: The `WeightedSumLoss` that the model is compiled with. Where it
            is another object of the same terms, as after `load_model` of an
            `.h5` file, the metric goes over to the one of the model.
        gradients: Boolean, whether shares and cosines are shown as well.
            Nothing is computed for them but dot products. Defaults to `False`.
        name: String. Defaults to `"loss_terms"`; what is shown are the names
            of the terms.
        {sums_dtype}

    Returns:
        From `result()`, a dictionary from the names of the terms to their
        means; NaN where the loss has not been computed.

    Raises:
        ValueError: If `loss` is not a `WeightedSumLoss`, or a term of it has
            the name of what is shown; in the first step, if the model has no
            such loss.

    Example:

    >>> import keras
    >>> import keras_perceptual as kp
    >>> loss = kp.WeightedSumLoss(
    ...     {
    ...         "pixels": keras.losses.MeanSquaredError(),
    ...         "edges": (kp.SobelGradientLoss(), 0.05),
    ...     }
    ... )
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, padding="same")]
    ... )
    >>> model.compile("adam", loss, metrics=[kp.LossTerms(loss)])
    >>> images = keras.random.uniform((4, 8, 8, 3))
    >>> history = model.fit(images, images, verbose=0)
    >>> sorted(history.history)
    ['edges', 'loss', 'pixels']
    >>> shown = kp.LossTerms(loss, gradients=True)
    >>> model.compile("adam", loss, metrics=[shown])
    >>> history = model.fit(images, images, verbose=0)
    >>> [name for name in sorted(history.history) if "_" in name]
    ['edges_share', 'pixels_edges_cosine', 'pixels_share']

    Reference:
        Keras shows the losses of several outputs in this way,
        https://keras.io/api/models/model_training_apis/.
    """

    def __init__(
        self,
        loss: WeightedSumLoss,
        *,
        gradients: bool = False,
        name: str | None = "loss_terms",
        dtype: DType | None = None,
    ) -> None:
        check = Checker(self)
        super().__init__(name=check.name(name), dtype=dtype)
        if not isinstance(loss, WeightedSumLoss):
            raise ValueError(
                f"{check.owner} shows the terms of a "
                "`WeightedSumLoss`. Give it the one that the model is compiled "
                f"with. Received: loss={validation.show(loss)}"
            )
        self.loss = loss
        self._totals = {
            term: self.add_weight(name=term, initializer="zeros")
            for term in loss.terms
        }
        self._count = self.add_weight(name="count", initializer="zeros")
        self.gradients: bool = check.boolean("gradients", gradients)
        self._of_gradients: TermGradients | None = None
        if gradients:
            self._of_gradients = TermGradients(list(loss.terms), dtype)
            _check_names(check.owner, loss, self._of_gradients)
        self._said: set[str] = set()
        # Whether values came since somebody last asked for an update, and
        # whether somebody did so in vain.
        self._is_fed = self._is_lost = False
        loss.watch(self)
        watchers.add(self)

    @property
    def variables(self) -> list[keras.Variable]:
        """The sums, and what the loss itself has to keep.

        Keras hands the variables of metrics from step to step, on JAX as well.
        """
        return [*super().variables, *self.loss.variables]

    def reset_state(self) -> None:
        """Begins a new mean. What the loss keeps stays."""
        self._speak()
        for variable in super().variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    def follow(self, loss: WeightedSumLoss) -> None:
        """Shows the terms of another loss from now on.

        Args:
            loss: A `WeightedSumLoss` with terms of the same names.
        """
        self.loss.unwatch(self)
        self.loss = loss
        loss.watch(self)

    def record(
        self, values: Mapping[str, Tensor], batch_size: int | Tensor
    ) -> None:
        """Takes over the values of the terms of one batch.

        Args:
            values: Dictionary from the names of the terms to their values.
            batch_size: Integer, or integer scalar tensor.
        """
        self._is_fed, self._is_lost = True, False
        values = {
            name: ops.mean(ops.stop_gradient(value))
            for name, value in values.items()
        }
        first = next(iter(values.values()))
        traced = not _backend.has_values(first)
        if traced and _backend.has_values(self._count.value):
            # The variable would keep a tensor of a trace that it is not in.
            return
        if self._of_gradients is not None:
            self._of_gradients.update_state(values)
        count = ops.cast(batch_size, self._count.dtype)
        for name, value in values.items():
            # Each device of several computes its share of the loss.
            value = value * _backend.replica_count()
            value = ops.cast(value, self._count.dtype)
            self._totals[name].assign_add(value * count)
        self._count.assign_add(count)

    def record_gradients(self, products: Tensor) -> None:
        """Takes over the gradients of the terms of one batch.

        Args:
            products: Tensor shaped `(terms, terms)`, the dot products of the
                gradients at the prediction, weighed as in the sum.
        """
        if self._of_gradients is not None:
            self._of_gradients.update_gradients(products)

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds nothing: the loss has handed over its values already."""
        if self._of_gradients is not None:
            self._of_gradients.end_step()
        if self._is_fed:
            self._is_fed = False
            return
        model = next(models_around(), None)
        if model is None:
            self._is_lost = True
        # Keras builds a metric before it calls a loss.
        elif not any(
            fits(loss, self.loss) for loss in parts_of(model, WeightedSumLoss)
        ):
            self._refuse(f"in {model.name!r}, whose loss is another one")

    def result(self) -> dict[str, Tensor]:
        """Returns the mean of each term since the last reset."""
        if self._is_lost:
            self._refuse("with a loss that was not called")
        self._speak()
        found = {
            name: total / self._count for name, total in self._totals.items()
        }
        if self._of_gradients is not None and self._of_gradients.is_known():
            found |= self._of_gradients.result()
        return found

    def _speak(self) -> None:
        """Warns of terms that oppose each other or are not finite, once."""
        if self._of_gradients is None:
            return
        for subject, sentence in self._of_gradients.complaints():
            if subject not in self._said:
                self._said.add(subject)
                warnings.warn(
                    f"{type(self).__name__}: {sentence}",
                    stacklevel=calls_to_user(),
                )

    def _refuse(self, received: str) -> NoReturn:
        """Says that nobody computes the terms."""
        raise ValueError(
            f"{type(self).__name__} shows what a `WeightedSumLoss` computes, "
            "and its own is not computed here. Give it the loss that the model "
            "is trained with: `model.compile(optimizer, loss, "
            "metrics=[LossTerms(loss)])`. Received: LossTerms of the terms "
            f"{list(self.loss.terms)}, {received}"
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Revives the metric and the loss that it shows."""
        loss = Checker(cls.__name__).revive(config, "loss")
        return cls(**{**config, "loss": loss})


def _check_names(
    owner: str, loss: WeightedSumLoss, shown: TermGradients
) -> None:
    """Refuses names of terms under which something else is shown."""
    taken = sorted(loss.terms.keys() & shown.result().keys())
    if taken:
        raise ValueError(
            f"{owner} shows shares and cosines under names that end in "
            "'_share' and '_cosine', which terms have here. Rename the terms, "
            f"or leave out `gradients`. Received: terms named {taken}"
        )
