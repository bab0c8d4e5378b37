"""What metrics have in common that average one minus a loss."""

from typing import Any, Self

from keras_perceptual.typing import Tensor
from keras_perceptual.validation import Checker


class Similarity:
    """Makes similarities of a `PerImageMean`: more is better, 1 the most.

    It comes before `PerImageMean` among the bases.
    """

    _direction: str = "up"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Revives the metric and its loss."""
        make: Any = cls
        loss = Checker(cls.__name__).revive(config, "loss")
        revived: Self = make(**{**config, "loss": loss})
        return revived

    def _score(self, values: Tensor) -> Tensor:
        """Returns similarities."""
        return 1 - values
