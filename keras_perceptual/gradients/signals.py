"""What activations and losses return in a step, heard while it runs.

Nothing is put into the step: tensors are noted as they pass by. What is made
of them is computed by whoever notes them, beside the step or behind it.
"""

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.model_walk import walk_parts

DEAD, TERM = "dead", "term"
# Operations of a Functional model that are no layers.
_PLAIN = frozenset(("Relu", "Relu6"))
_ACTIVATIONS = (keras.activations.relu, keras.activations.relu6)


@dataclasses.dataclass(frozen=True)
class Signal:
    """One tensor that passed by.

    Attributes:
        kind: `DEAD` for what a ReLU returned, `TERM` for a loss.
        name: The path of the layer, or the name of the loss.
        tensor: The tensor.
        axis: The axis of the units, of what a ReLU returned.
    """

    kind: str
    name: str
    tensor: Any = None
    axis: int = -1


class Signals:
    """Hears what activations and losses of a model return.

    Args:
        model: The model.

    Attributes:
        numbers: What was heard of the last step, by kind and name: the share
            of dead units in a layer, the value of a term of the loss.
    """

    def __init__(self, model: keras.Model) -> None:
        self._reference = weakref.ref(model)
        self.numbers: dict[tuple[str, str], float] = {}
        self._around = ""
        self._inside = False
        self._held: list[Any] | None = None
        self._calls: dict[int, int] = {}

    def of_kind(self, kind: str) -> dict[str, float]:
        """Returns the numbers of one kind, by name."""
        return {n: x for (k, n), x in self.numbers.items() if k == kind}

    def forget(self) -> None:
        """Forgets the numbers of an earlier step."""
        self.numbers = {}

    def keep(self, signals: Sequence[Signal], numbers: Any) -> None:
        """Keeps what `measure` made of some signals.

        A layer that is called twice is dead where both calls find it dead;
        what a loss adds in two calls counts twice.
        """
        for signal, number in zip(signals, np.asarray(numbers), strict=True):
            key, number = (signal.kind, signal.name), float(number)
            former = self.numbers.get(key)
            if former is not None:
                both = (former, number)
                number = min(both) if signal.kind == DEAD else sum(both)
            self.numbers[key] = number

    @contextlib.contextmanager
    def hearing(self, note: Callable[[Signal], None]) -> Iterator[None]:
        """Has `note` called with the signals of the step that runs inside.

        Whatever goes wrong in noting does not reach the step.
        """
        self._calls, self._inside, self._around = {}, False, ""
        if self._held is None:
            self._held = self._losses()

        def tell(*signals: Any) -> None:
            for kind, name, value, axis in signals:
                with contextlib.suppress(Exception):
                    if ops.is_tensor(value):
                        note(Signal(kind, name, value, axis))

        with contextlib.ExitStack() as stack:
            with contextlib.suppress(Exception):
                for owner, name, answer in self._answers(tell):
                    stack.enter_context(intercepted(owner, name, answer))
            yield

    def _answers(self, tell: Any) -> list[tuple[Any, str, Any]]:
        """Returns what is listened to: owner, name and who answers."""

        def operation_called(
            original: Any, part: Any, *args: Any, **kwargs: Any
        ) -> Any:
            value = original(part, *args, **kwargs)
            with contextlib.suppress(Exception):
                if can_be_dead(part):
                    name = getattr(part, "path", part.name)
                    axis = _axis_of_units(value, part)
                    tell((DEAD, name, value, axis))
            return value

        def loss_added(original: Any, layer: Any, loss: Any) -> Any:
            with contextlib.suppress(Exception):
                values = keras.tree.flatten(loss)
                tell(*((TERM, layer.path, value, -1) for value in values))
            return original(layer, loss)

        def loss_called(
            original: Any, loss: Any, *args: Any, **kwargs: Any
        ) -> Any:
            # What a loss calls in its turn is a part of it.
            if self._inside or loss is self._compile_loss():
                return original(loss, *args, **kwargs)
            name, around = self._name(loss)
            self._inside, self._around = True, around
            try:
                value = original(loss, *args, **kwargs)
            finally:
                self._inside, self._around = False, ""
            if not _is_sum(loss):
                tell((TERM, name, value, -1))
            return value

        def summed_up(
            original: Any, loss: Any, *args: Any, **kwargs: Any
        ) -> Any:
            total, values = original(loss, *args, **kwargs)
            with contextlib.suppress(Exception):
                tell(
                    *(
                        (TERM, self._around + name, value, -1)
                        for name, value in values.items()
                    )
                )
            return total, values

        losses = self._held or []
        found = [
            (keras.Operation, "__call__", operation_called),
            (keras.Layer, "add_loss", loss_added),
        ]
        owners = {keras.losses.Loss, *(_owner_of_call(x) for x in losses)}
        found += [(owner, "__call__", loss_called) for owner in owners]
        sums = {type(loss) for loss in losses if _is_sum(loss)}
        return [*found, *((owner, "_sum_up", summed_up) for owner in sums)]

    def _compile_loss(self) -> Any:
        """Returns what Keras makes of the losses of `compile`."""
        return getattr(self._reference(), "_compile_loss", None)

    def _losses(self) -> list[Any]:
        """Returns the losses that the model holds, as far as it names them."""
        model: Any = self._reference()
        given = keras.tree.flatten(getattr(model, "loss", None))
        held = walk_parts(model, (keras.losses.Loss,))
        return [
            loss
            for loss in (*given, *held)
            if isinstance(loss, keras.losses.Loss)
            and loss is not self._compile_loss()
        ]

    def _name(self, loss: Any) -> tuple[str, str]:
        """Returns what to call a loss, and what goes before its terms."""
        flat = getattr(self._compile_loss(), "_flat_losses", None) or ()
        outputs = [str(entry[-1]) for entry in flat if entry[1] is loss]
        if len(flat) < 2 or not outputs:
            return str(loss.name), ""
        # One loss of several outputs is called once for each.
        place = self._calls.get(id(loss), 0)
        self._calls[id(loss)] = place + 1
        name = outputs[min(place, len(outputs) - 1)]
        return name, f"{name}/"


def can_be_dead(part: Any) -> bool:
    """Whether a layer ends in a ReLU, which has exact zeros."""
    if isinstance(part, keras.layers.ReLU):
        return not np.any(part.negative_slope)
    if type(part).__name__ in _PLAIN and not isinstance(part, keras.Layer):
        return True
    return getattr(part, "activation", None) in _ACTIVATIONS


def measure(signals: Sequence[Signal]) -> Any:
    """Returns a number for each signal, in one tensor."""
    numbers = [
        _share_of_dead(signal.tensor, signal.axis)
        if signal.kind == DEAD
        else ops.mean(ops.cast(signal.tensor, "float32"))
        for signal in signals
    ]
    return ops.stack(numbers)


def _share_of_dead(outputs: Any, axis: int) -> Any:
    """Returns the share of units that are zero everywhere in a batch."""
    rank = len(outputs.shape)
    others = [i for i in range(rank) if i != axis % rank]
    is_zero = ops.all(ops.equal(outputs, 0), axis=others)
    return ops.mean(ops.cast(is_zero, "float32"))


def dead_signal(name: str, outputs: Any) -> Signal:
    """Returns the signal of what a ReLU returned, of which no more is known."""
    return Signal(DEAD, name, outputs, _axis_of_units(outputs))


def _axis_of_units(outputs: Any, part: Any = None) -> int:
    """Returns the axis of the channels."""
    if len(outputs.shape) < 3 or hasattr(part, "units"):
        return -1
    layout = getattr(part, "data_format", None)
    layout = layout or keras.config.image_data_format()
    return 1 if layout == "channels_first" else -1


def _is_sum(loss: Any) -> bool:
    """Whether a loss is a sum that knows its terms by name."""
    return isinstance(getattr(loss, "terms", None), Mapping) and hasattr(
        type(loss), "_sum_up"
    )


def _owner_of_call(loss: Any) -> type:
    """Returns the class that defines how a loss is called."""
    return next(c for c in type(loss).__mro__ if "__call__" in vars(c))
