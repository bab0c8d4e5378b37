"""Constants that make the taps of a network count alike.

Raw feature distances differ a hundredfold from one tap to the next, and a
plain sum is the distance of one tap alone.
"""

from collections.abc import Sequence
from typing import Any

from keras_perceptual.typing import Pooling

# The mean distance at each tap over distorted public-domain photographs, as
# printed by tools/balance_taps.py. Networks are named with the convention that
# their weights follow: other weights make another network of them, and so does
# another pooling.
MEAN_DISTANCES = {
    ("vgg16", "torchvision"): {
        "block1_conv2": {
            "mse": 0.4391,
            "mae": 0.258,
            "charbonnier": 0.2574,
            "cosine": 0.1268,
            "lost": 0.1988,
            "gram": 3.857e-05,
            "normalized_mse": 0.003964,
            "normalized_mae": 0.02808,
            "normalized_charbonnier": 0.02756,
            "normalized_cosine": 0.1268,
            "normalized_lost": 0.002038,
            "normalized_gram": 3.899e-09,
        },
        "block2_conv2": {
            "mse": 2.21,
            "mae": 0.5434,
            "charbonnier": 0.543,
            "cosine": 0.2376,
            "lost": 1.025,
            "gram": 0.0001394,
            "normalized_mse": 0.003713,
            "normalized_mae": 0.02441,
            "normalized_charbonnier": 0.02405,
            "normalized_cosine": 0.2376,
            "normalized_lost": 0.001894,
            "normalized_gram": 2.999e-10,
        },
        "block3_conv3": {
            "mse": 3.785,
            "mae": 0.5365,
            "charbonnier": 0.5364,
            "cosine": 0.2612,
            "lost": 2.4,
            "gram": 1.999e-05,
            "normalized_mse": 0.002041,
            "normalized_mae": 0.01271,
            "normalized_charbonnier": 0.01252,
            "normalized_cosine": 0.2612,
            "normalized_lost": 0.001019,
            "normalized_gram": 9.977e-12,
        },
        "block4_conv3": {
            "mse": 1.03,
            "mae": 0.2202,
            "charbonnier": 0.2201,
            "cosine": 0.2355,
            "lost": 0.7504,
            "gram": 5.2e-07,
            "normalized_mse": 0.0009201,
            "normalized_mae": 0.006697,
            "normalized_charbonnier": 0.006584,
            "normalized_cosine": 0.2355,
            "normalized_lost": 0.0004705,
            "normalized_gram": 4.501e-13,
        },
    },
    ("alexnet", "torchvision"): {
        "conv1": {
            "mse": 0.2006,
            "mae": 0.1427,
            "charbonnier": 0.1423,
            "cosine": 0.06754,
            "lost": 0.1335,
            "gram": 1.202e-05,
            "normalized_mse": 0.002111,
            "normalized_mae": 0.01609,
            "normalized_charbonnier": 0.01572,
            "normalized_cosine": 0.06754,
            "normalized_lost": 0.001059,
            "normalized_gram": 2.399e-09,
        },
        "conv2": {
            "mse": 0.8255,
            "mae": 0.2608,
            "charbonnier": 0.2605,
            "cosine": 0.1222,
            "lost": 0.5666,
            "gram": 1.341e-05,
            "normalized_mse": 0.001273,
            "normalized_mae": 0.01116,
            "normalized_charbonnier": 0.0109,
            "normalized_cosine": 0.1222,
            "normalized_lost": 0.000622,
            "normalized_gram": 4.318e-11,
        },
        "conv3": {
            "mse": 1.109,
            "mae": 0.2966,
            "charbonnier": 0.2964,
            "cosine": 0.1245,
            "lost": 0.7609,
            "gram": 4.086e-06,
            "normalized_mse": 0.0006482,
            "normalized_mae": 0.007524,
            "normalized_charbonnier": 0.007326,
            "normalized_cosine": 0.1245,
            "normalized_lost": 0.0003182,
            "normalized_gram": 1.367e-12,
        },
        "conv4": {
            "mse": 0.9504,
            "mae": 0.2984,
            "charbonnier": 0.2981,
            "cosine": 0.14,
            "lost": 0.7207,
            "gram": 8.501e-06,
            "normalized_mse": 0.001094,
            "normalized_mae": 0.01025,
            "normalized_charbonnier": 0.01003,
            "normalized_cosine": 0.14,
            "normalized_lost": 0.0005566,
            "normalized_gram": 6.759e-12,
        },
        "conv5": {
            "mse": 0.3844,
            "mae": 0.1447,
            "charbonnier": 0.1446,
            "cosine": 0.1741,
            "lost": 0.2851,
            "gram": 1.793e-06,
            "normalized_mse": 0.00136,
            "normalized_mae": 0.008621,
            "normalized_charbonnier": 0.00849,
            "normalized_cosine": 0.1741,
            "normalized_lost": 0.0006627,
            "normalized_gram": 1.119e-11,
        },
    },
}


def balanced_layers(
    backbone: str, convention: str, pooling: Pooling = "max"
) -> tuple[str, ...]:
    """Returns the taps of a network that can be balanced, or nothing.

    Args:
        backbone: String, the name of a network.
        convention: String, the convention that its weights follow.
        pooling: String, what pools; only `"max"` was measured.

    Returns:
        A tuple of names of layers, empty where nothing was measured.
    """
    return tuple(_measured(backbone, convention, pooling) or ())


def balanced_weights(
    backbone: str,
    convention: str | None,
    kind: str,
    normalized: bool,
    layers: Sequence[str],
    pooling: Pooling = "max",
    added_weight: float = 0.0,
) -> dict[str, float]:
    """Returns the weights that make the taps of a network count alike.

    With them, the sum over the taps is 1 for an average distortion.

    Args:
        backbone: String, the name of a network.
        convention: String, the convention that its weights follow.
        kind: String, a feature distance or `"gram"`.
        normalized: Boolean, whether features are scaled to length one.
        layers: Names of the taps.
        pooling: String, what pools; only `"max"` was measured.
        added_weight: Float, what counts that is added, for the kind `"lost"`.

    Returns:
        A dictionary from the names of the taps to weights; all 1 where nothing
        was measured.
    """
    measured = _measured(backbone, convention, pooling)
    if measured is None:
        return dict.fromkeys(layers, 1.0)
    prefix = "normalized_" if normalized else ""

    def mean(name: str) -> float:
        found = measured[name][prefix + kind]
        if kind == "lost":
            # What is not lost of the squared differences is added.
            found += added_weight * (measured[name][f"{prefix}mse"] - found)
        return float(found)

    return {name: 1.0 / (mean(name) * len(layers)) for name in layers}


def _measured(
    backbone: str, convention: str | None, pooling: Pooling
) -> dict[str, Any] | None:
    """Returns the mean distances at the taps, or `None`."""
    if pooling != "max":
        return None
    return MEAN_DISTANCES.get((backbone, convention or ""))
