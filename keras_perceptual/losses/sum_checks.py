"""Checks of the terms of a `WeightedSumLoss`, and of what goes by term."""

import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras

from keras_perceptual.validation import Checker, nearest_names, show

Terms: TypeAlias = Mapping[
    str,
    keras.losses.Loss | str | tuple[keras.losses.Loss | str, float] | list[Any],
]


def check_terms(
    owner: str, terms: Terms
) -> dict[str, tuple[keras.losses.Loss, float]]:
    """Returns a dictionary from names to pairs of a loss and a weight."""
    if not isinstance(terms, dict) or not terms:
        raise ValueError(
            f"{owner} needs a dictionary of at least one term, such as "
            "{'pixels': keras.losses.MeanAbsoluteError(), 'edges': "
            f"(SobelGradientLoss(), 0.05)}}. Received: "
            f"terms={show(terms)}"
        )
    found = {}
    for name, term in terms.items():
        loss, weight = term, 1.0
        if isinstance(term, tuple | list):
            if len(term) != 2:
                raise ValueError(
                    f"{owner} needs a loss, or a pair of a loss and its "
                    f"weight, such as ({show(name)}: (loss, 0.1)). "
                    f"Received: terms[{show(name)}]={show(term)}"
                )
            loss, weight = term
        if not isinstance(name, str) or not name or name == "loss":
            raise ValueError(
                f"{owner} needs a name for each term, under which its value "
                "is shown beside the `loss` itself. "
                f"Received: a term named {show(name)}"
            )
        loss = _check_loss(owner, name, loss, weight)
        found[name] = (
            loss,
            Checker(owner).number(
                f"the weight of {show(name)}", weight, minimum=0
            ),
        )
    return found


def _check_loss(
    owner: str, name: str, loss: Any, weight: Any
) -> keras.losses.Loss:
    """Returns the loss of a term, also of one that Keras has a name for."""
    if isinstance(loss, str):
        known = _losses_of_keras()
        try:
            # A function, whose name is spelled out.
            full = getattr(keras.losses.get(loss), "__name__", loss)
        except ValueError:
            full = loss
        loss_class = known.get(full)
        if loss_class is None:
            raise ValueError(
                f"{owner} does not know this loss of Keras. "
                f"{nearest_names(loss, known)}Give its name, such "
                "as 'mean_absolute_error', or an instance of "
                "`keras.losses.Loss`. "
                f"Received: terms[{show(name)}]={show(loss)}"
            )
        return loss_class()
    if isinstance(loss, keras.losses.Loss):
        return loss
    if isinstance(weight, keras.losses.Loss | str):
        mend = f"Put the loss in front of its weight: (loss, {loss!r})."
    elif inspect.isclass(loss) and issubclass(loss, keras.losses.Loss):
        mend = f"Create one: `{loss.__name__}()`."
    else:
        mend = (
            "Give one, such as `keras.losses.MeanAbsoluteError()`, which it "
            "can save, or its name; put a function into a subclass of "
            "`keras.losses.Loss`."
        )
    raise ValueError(
        f"{owner} adds up instances of `keras.losses.Loss`. {mend} "
        f"Received: terms[{show(name)}]={show(loss)}"
    )


@functools.cache
def _losses_of_keras() -> dict[str, type]:
    """Returns the losses of Keras by their names."""
    found = {}
    for name, loss in vars(keras.losses).items():
        if inspect.isclass(loss) and loss is not keras.losses.Loss:
            snake = re.sub(
                r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", name
            )
            found[name] = found[snake.lower()] = loss
    return found


def check_channels(
    check: Checker,
    channels: Mapping[str, Sequence[int]] | None,
    terms: Mapping[str, Any],
) -> dict[str, list[int]] | None:
    """Returns the channels that terms look at, as lists."""
    if channels is None:
        return None
    if not isinstance(channels, dict) or not channels.keys() <= terms.keys():
        raise ValueError(
            f"{check.owner} needs `channels` to be a dictionary from names of "
            "terms to lists of channels, such as {'features': [0, 1, 2]}. The "
            f"terms are {list(terms)}. "
            f"Received: channels={show(channels)}"
        )
    found = {}
    for name, chosen in channels.items():
        if not isinstance(chosen, list | tuple) or not chosen:
            raise ValueError(
                f"{check.owner} needs `channels` of {show(name)} to be a list "
                "of at least one integer, counted from 0. "
                f"Received: channels={show(channels)}"
            )
        found[name] = [
            check.integer(f"channels[{show(name)}]", c, minimum=0)
            for c in chosen
        ]
    return found


def check_balance(
    check: Checker,
    shares: Mapping[str, float] | None,
    terms: Mapping[str, tuple[keras.losses.Loss, float]],
) -> dict[str, float] | None:
    """Returns the shares asked for, refusing terms that can have none."""
    counting = [name for name, (_, weight) in terms.items() if weight > 0]
    if not counting:
        raise ValueError(
            f"{check.owner} needs a term of a weight above 0 to balance. "
            f"Received: terms={show(terms)}"
        )
    for name in counting:
        loss = terms[name][0]
        if loss.reduction in (None, "none"):
            raise ValueError(
                f"{check.owner} needs terms that are reduced to one number "
                "to balance their gradients. Give this one a `reduction`, "
                "such as 'sum_over_batch_size'. "
                f"Received: terms[{show(name)}]={show(loss)}"
            )
    if shares is None:
        return None
    if not isinstance(shares, dict) or shares.keys() != set(counting):
        raise ValueError(
            f"{check.owner} needs `shares` to be a dictionary from the names "
            f"of the terms to what each is to have of the gradient, of which "
            "the proportions count, such as "
            f"{dict.fromkeys(counting, 1.0)}. Terms of weight 0 have none. "
            f"Received: shares={show(shares)}"
        )
    return {
        name: check.number(f"the share of {show(name)}", shares[name], above=0)
        for name in counting
    }
