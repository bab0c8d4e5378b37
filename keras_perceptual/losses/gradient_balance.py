"""What a sum of losses remembers of the gradients of its terms."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.gradient_shares import (
    correcting_factors,
    next_average,
)
from keras_perceptual.typing import Tensor


class GradientBalance(keras.layers.Layer):
    """Finds by what to multiply terms so that their gradients have shares.

    It is a layer only in that Keras saves its weight, a moving average of what
    the gradients have of themselves.

    Args:
        shares: Dictionary from names of terms to floats above 0, of which the
            proportions count.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        super().__init__(name="balance", trainable=False, dtype="float32")
        self.names: list[str] = list(shares)
        asked = np.array(list(shares.values()), "float64")
        self._asked = (asked / asked.sum()).astype("float32")
        self._average = self.add_weight(
            shape=(len(shares),),
            initializer="zeros",
            trainable=False,
            name="average",
            # All devices compute the same.
            aggregation="only_first_replica",
        )
        self.built = True

    def factors(self) -> dict[str, Tensor]:
        """Returns by what each term is to be multiplied, a scalar tensor."""
        found = correcting_factors(
            ops.convert_to_tensor(self._average),
            ops.convert_to_tensor(self._asked),
        )
        return {name: found[i] for i, name in enumerate(self.names)}

    def learn(
        self, lengths: Mapping[str, Tensor], factors: Mapping[str, Tensor]
    ) -> None:
        """Takes one batch into the average.

        Args:
            lengths: Dictionary from the names of the terms to the norms of
                their gradients, scalar tensors.
            factors: What these have been multiplied by, from `factors`.
        """
        if not _backend.is_everywhere(self._average):
            raise ValueError(
                "WeightedSumLoss with `balance` keeps a moving average, of "
                "which each device needs a copy. Make the loss inside "
                "`strategy.scope()`. "
                f"Received: balance of the terms {self.names}, made outside"
            )
        average = next_average(
            ops.convert_to_tensor(self._average),
            ops.cast(
                ops.stack([lengths[name] for name in self.names]), "float32"
            ),
            ops.stack([factors[name] for name in self.names]),
        )
        if not _backend.has_values(average) and _backend.has_values(
            self._average
        ):
            raise ValueError(
                "WeightedSumLoss with `balance` keeps a moving average of "
                "gradients in a variable that this compiled step on JAX does "
                "not carry along. Let a metric do so: `model.compile("
                "optimizer, loss, metrics=[LossTerms(loss)])`. In a loop of "
                "your own, put `loss.variables` into the `StatelessScope` in "
                "which you compute the loss. "
                f"Received: balance of the terms {self.names}"
            )
        self._average.assign(average)

    def load_own_variables(self, store: Any) -> None:
        """Loads the average, where there is one.

        Files of models with another loss have none: it begins anew.
        """
        if len(store.keys()):
            super().load_own_variables(store)
