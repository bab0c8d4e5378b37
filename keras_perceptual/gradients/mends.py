"""What an operation does to a gradient, and what to write in its place."""

import re

_STRAIGHT_THROUGH = (
    "pass the gradient by it with a straight-through estimator, "
    "`x + keras.ops.stop_gradient(operation(x) - x)`"
)

# What operations are called, whatever the backend; what is the matter with
# them; and the usual mend.
MENDS = (
    (
        "arg_?(max|min|sort)|top_?k|in_?top|one_?hot|unique|categorical",
        "It picks a place, and places do not change by small amounts.",
        "Work with the scores themselves, for example `keras.ops.softmax` of "
        f"them, or {_STRAIGHT_THROUGH}.",
    ),
    (
        "round|rint|floor|ceil|(?<!as)sign|trunc|quanti|^div$",
        "It is a staircase, level everywhere but at its steps.",
        f"Leave it out while training, or {_STRAIGHT_THROUGH}.",
    ),
    (
        "bucketize|digitize|search_?sorted|histogram|bincount|count|confusion",
        "It counts or sorts into bins, and counts do not change by small "
        "amounts.",
        "Weigh the bins by a smooth function of the distance to them.",
    ),
    (
        "cast|convert_?element|bitcast|saturate|^to$|_to_copy|^(int|byte|long)$",
        "It makes integers or booleans, which have no gradient.",
        "Keep floating-point numbers up to the loss. Where labels were to be "
        "cast, see whether `y_true` and `y_pred` are in this order.",
    ),
    (
        "greater|less|equal|logical|^[gl][te]$|^eq$|^ne$|is_?(nan|finite|inf)",
        "A comparison is true or false, and nothing in between.",
        "Use the size of the difference, for example `keras.ops.sigmoid` or "
        "`keras.ops.relu` of it, or multiply by what is compared.",
    ),
    (
        "py_?func|callback|numpy|__(array|float|int|bool)__|^item$|tolist",
        "What Python or NumPy compute in it is hidden from the backend.",
        "Write it with `keras.ops`; a table of colours is "
        "`keras_perceptual.LookupColorLayer`.",
    ),
    (
        "stop_?gradient|prevent_?gradient|detach|no_grad",
        "It stops the gradient, which is all it is for.",
        "Take it away, or leave a second way around it; if the layers before "
        "it are not to be trained, set `layer.trainable = False`.",
    ),
    (
        "assign|scatter_?update|copy_|set_data",
        "What is written to a variable is a number from then on.",
        "Return the value itself instead of reading it from the variable.",
    ),
    (
        "identity_?n|custom",
        "Its own gradient function returns nothing for this input.",
        "Return a gradient for each input of the function under "
        "`custom_gradient`.",
    ),
    (
        "image|jpeg|png|string|decode|encode|hash|lookup_?table|serialize",
        "It works on bytes, texts or keys, which have no gradient.",
        "Keep it out of the way between the weights and the loss.",
    ),
)
# Layers whose operations are not the user's to change.
LAYERS = {
    "LookupColorLayer": (
        "With interpolation='nearest' it takes an entry of the table as it is, "
        "and the table learns alone.",
        "Use interpolation='linear' or 'tetrahedral' to train layers before "
        "it.",
    ),
}
UNKNOWN = (
    "It has no gradient.",
    "Replace it by operations that have one.",
)


def find_mend(operation, layer_class=""):
    """Returns what is the matter with an operation and the usual mend.

    Args:
        operation: What the backend calls it, such as `"ArgMax"`.
        layer_class: The class of the layer it runs in.

    Returns:
        Two sentences.
    """
    if layer_class in LAYERS:
        return LAYERS[layer_class]
    for pattern, matter, mend in MENDS:
        if re.search(pattern, operation, re.IGNORECASE):
            return matter, mend
    return UNKNOWN
