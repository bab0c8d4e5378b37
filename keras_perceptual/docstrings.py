"""What several docstrings say alike, written once.

A docstring asks for it by a line that holds nothing but its name in braces,
such as `{check_range}`, and `@fill` puts it there. The site does the same.
"""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

WIDTH = 80

Documented = TypeVar("Documented")
Function = TypeVar("Function", bound=Callable[..., Any])

ARGUMENTS = {
    "value_range": (
        "value_range: Pair of numbers, the lowest and the highest value that "
        "a pixel can have. The same picture gives the same value in any "
        "range. Defaults to `(0, 1)`."
    ),
    "check_range": (
        "check_range: What to do about images that are not in `value_range`: "
        '`"warn"` once, `"raise"`, `"off"`, or `"clip"`, which warns and moves '
        'stray values to the ends of the range. Defaults to `"warn"`.'
    ),
    "data_format": (
        'data_format: `"channels_last"` or `"channels_first"`. Defaults to '
        "`keras.config.image_data_format()`."
    ),
    "reduction": (
        "reduction: How the values of a batch become one, as in "
        '`keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.'
    ),
    "name": "name: Optional name of the loss.",
    "dtype": (
        "dtype: The type that images are cast to. Defaults to "
        "`keras.config.floatx()`. What is computed of them is in float32 at "
        "least, whatever this is."
    ),
    "network_dtype": (
        'dtype: The type the network computes in, such as `"float32"`, '
        '`"float64"` or `"mixed_float16"`; what follows the taps is computed '
        "in float32 at least. Defaults to `keras.config.floatx()`."
    ),
    "mask": (
        "mask: Optional weights of at least 0 of the pixels, shaped "
        "`(batch, height, width)`."
    ),
    "tile": (
        "tile: Integer of at least 256, or `None`. The size of the windows "
        "through which `LPIPS` or `DISTS` look at large images, one after the "
        "other, so that memory does not grow with them (see `per_image` "
        "there). Defaults to `None`: whole images at once."
    ),
    "sums_dtype": (
        "dtype: The type of the sums. Defaults to `keras.config.floatx()`."
    ),
    "y_true": (
        "y_true: Images shaped `(batch, height, width, channels)`, or "
        '`(batch, channels, height, width)` with `"channels_first"`. Integers '
        "are fine."
    ),
    "masked_y_true": (
        "y_true: Images shaped `(batch, height, width, channels)`, or "
        '`(batch, channels, height, width)` with `"channels_first"`. Integers '
        "are fine. Or a pair `(images, mask)`."
    ),
    "pixel_weight": (
        "sample_weight: Optional weights of the images, shaped `(batch,)`, or "
        "a mask: weights of at least 0 of the pixels, `(batch, height, "
        "width)`. Pixels of weight 0 have no share and may hold NaN, and means "
        "are over those that count."
    ),
    "y_pred": "y_pred: Floating-point images of the same shape.",
}
_COMMON = ("value_range", "check_range", "data_format", "reduction", "name")
GROUPS: dict[str, tuple[str, ...]] = {
    "loss_arguments": (*_COMMON, "dtype"),
    "feature_loss_arguments": (*_COMMON, "network_dtype"),
    "pair_of_images": ("y_true", "y_pred"),
    "masked_pair_of_images": ("masked_y_true", "y_pred", "pixel_weight"),
}
PLACE = re.compile(r"^( *)\{(\w+)\}$", re.M)


def fill(documented: Documented) -> Documented:
    """Puts the shared text into the docstring of a class or function."""
    # Without docstrings (`python -OO`) there is nothing to fill.
    if documented.__doc__:
        documented.__doc__ = fill_text(documented.__doc__)
    return documented


def fill_from(source: type) -> Callable[[Function], Function]:
    """Has a function say of its arguments what a class says of them.

    Args:
        source: Class whose docstring lists them. They go where the one of the
            function has `{settings}`.

    Returns:
        A decorator of functions.
    """

    def decorate(function: Function) -> Function:
        if function.__doc__ and source.__doc__:
            names = inspect.signature(function).parameters
            function.__doc__ = fill_text(
                insert_settings(function.__doc__, source.__doc__, names)
            )
        return function

    return decorate


def insert_settings(docstring: str, source: str, names: Iterable[str]) -> str:
    """Returns a docstring with what another one says of its arguments.

    Args:
        docstring: Text with a line that holds nothing but `{settings}`.
        source: Text that describes arguments, at any indent.
        names: Names of the arguments, of which those are taken that `source`
            knows and `docstring` does not.
    """
    place = re.search(r"^( *)\{settings\}$", docstring, re.M)
    if place is None:
        return docstring
    found = []
    for name in names:
        entry = re.search(rf"^( +){name}: .*(?:\n\1 +.*)*", source, re.M)
        told = re.search(rf"^ +(?:{name}:|\{{{name}\}})", docstring, re.M)
        if entry and not told:
            text = textwrap.dedent(entry[0])
            found.append(textwrap.indent(text, place[1]))
    return docstring.replace(place[0], "\n".join(found))


def fill_text(docstring: str) -> str:
    """Returns a docstring with the shared text in its places.

    Args:
        docstring: Text, with lines such as `{check_range}`.

    Example:

    >>> from keras_perceptual.docstrings import fill_text
    >>> fill_text("{name}")
    'name: Optional name of the loss.'
    """
    return PLACE.sub(lambda match: _block(match[2], match[1]), docstring)


def _block(name: str, indent: str) -> str:
    """Returns the lines that belong in the place of a name."""
    return "\n".join(
        _wrap(ARGUMENTS[argument], indent)
        for argument in GROUPS.get(name, (name,))
    )


def _wrap(text: str, indent: str) -> str:
    """Returns a text in lines that end within no piece of code."""
    text = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\0"), text)
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\0", " ")
