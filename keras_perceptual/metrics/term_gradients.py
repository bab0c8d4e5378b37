"""What is shown of the gradients of the terms of a sum of losses."""

import threading
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.ops.gradient_shares import cosines, norms, shares
from keras_perceptual.typing import DType, Tensor

# Gradients that are more than a third of a turn apart are said to oppose each
# other: of two of the same length, more than half is lost in their sum.
OPPOSING = -0.5


class TermGradients(keras.metrics.Metric):
    """Averages the shares of gradients and the cosines between them.

    It also remembers which term was the first that was not finite.

    Args:
        terms: List of the names of the terms.
        dtype: As that of a metric.
    """

    def __init__(self, terms: list[str], dtype: DType | None = None) -> None:
        super().__init__(name="gradients", dtype=dtype)
        self.terms = terms
        size = len(terms)

        def add(name: str, *shape: int) -> Any:
            return self.add_variable(shape, "zeros", name=name)

        self._shares = add("shares", size)
        self._cosines = add("cosines", size, size)
        # Batches, and those of them with gradients that were all finite.
        self._batches, self._count = add("batches"), add("count")
        # In which threads gradients came in the present step of a trace, and
        # in which ones in the last step: devices are traced side by side.
        self._told: set[int] = set()
        self._told_before: set[int] = set()
        # In the first row which values were not finite in the first batch
        # where some were not, and in the second one which gradients.
        self._first_bad = add("first_bad", 2, size)

    def update_state(self, values: Mapping[str, Tensor]) -> None:
        """Takes note of the values of the terms of one batch.

        Args:
            values: Dictionary from the names of the terms to scalar tensors.
        """
        bad = [~ops.isfinite(values[name]) for name in self.terms]
        self._note_bad(0, ops.stack(bad))

    def end_step(self) -> None:
        """Ends a step, in which gradients came or did not."""
        thread = threading.get_ident()
        if thread in self._told:
            self._told_before.add(thread)
        else:
            self._told_before.discard(thread)
        self._told.discard(thread)

    def is_known(self) -> bool:
        """Whether gradients came, as they do not in an evaluation."""
        if _backend.has_values(self._batches):
            return float(ops.convert_to_numpy(self._batches)) > 0
        return threading.get_ident() in self._told | self._told_before

    def update_gradients(self, products: Tensor) -> None:
        """Takes note of the gradients of one batch.

        Args:
            products: Tensor shaped `(terms, terms)`, their dot products.
        """
        if not _backend.has_values(products) and _backend.has_values(
            self._count
        ):
            # The variable would keep a tensor of a trace that it is not in.
            return
        self._told.add(threading.get_ident())
        lengths = norms(products)
        bad = ~ops.isfinite(lengths)
        self._note_bad(1, bad)
        fine = ~ops.any(bad)
        for total, batch in (
            (self._shares, shares(lengths)),
            (self._cosines, cosines(products)),
        ):
            batch = ops.where(fine, batch, ops.zeros_like(batch))
            total.assign_add(ops.cast(batch, total.dtype))
        self._count.assign_add(ops.cast(fine, self._count.dtype))
        self._batches.assign_add(1.0)

    def _note_bad(self, row: int, bad: Tensor) -> None:
        """Remembers which terms are not finite, if none has been before."""
        rows = list(ops.unstack(ops.convert_to_tensor(self._first_bad)))
        bad = ops.cast(bad, rows[row].dtype)
        rows[row] = ops.where(ops.any(rows[row] > 0), rows[row], bad)
        self._first_bad.assign(ops.stack(rows))

    def result(self) -> dict[str, Tensor]:
        """Returns the mean share of each term, and the cosine of each pair."""
        mean_shares = self._shares / self._count
        mean_cosines = self._cosines / self._count
        found = {
            f"{name}_share": mean_shares[i] for i, name in enumerate(self.terms)
        }
        for (i, one), (j, other) in combinations(enumerate(self.terms), 2):
            found[f"{one}_{other}_cosine"] = mean_cosines[i, j]
        return found

    def complaints(self) -> Iterator[tuple[str, str]]:
        """Yields what to look at: its subject, and a sentence of it.

        Nothing inside a trace, where numbers cannot be read.
        """
        if not _backend.has_values(self._count):
            return
        for sentence in self._not_finite():
            # What is NaN later may be so because of the first.
            yield "not finite", sentence
        count = float(ops.convert_to_numpy(self._count))
        if not count:
            return
        found = ops.convert_to_numpy(self._cosines) / count
        for (i, one), (j, other) in combinations(enumerate(self.terms), 2):
            if found[i, j] < OPPOSING:
                yield (
                    f"{one} {other}",
                    f"the gradients of {one!r} and {other!r} oppose each other "
                    f"(their cosine is {found[i, j]:.2f}): what one term asks "
                    "for, the other undoes. Leave one out, or give it less "
                    "weight.",
                )

    def _not_finite(self) -> Iterator[str]:
        """Says which terms were the first that were not finite."""
        values, slopes = (
            [self.terms[i] for i in np.flatnonzero(row)]
            for row in ops.convert_to_numpy(self._first_bad)
        )
        size = len(self.terms)
        if size > 1 and len(values) == size and len(slopes) in (0, size):
            yield (
                "all terms became NaN or infinite at once: look at the "
                "predictions and the targets."
            )
        # Once weights are NaN, so are all values: what broke them comes first.
        elif values and (len(values) < size or size == 1):
            yield _first("value", values)
        elif slopes:
            yield _first("gradient", slopes)


def _first(what: str, names: list[str]) -> str:
    """Says that something was not finite."""
    return (
        f"the {what} of {' and '.join(map(repr, names))} was the first to "
        "become NaN or infinite."
    )
