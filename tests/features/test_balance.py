import pytest
from public_objects import load_tool

from keras_perceptual.features.backbones import BACKBONES, build_untrained
from keras_perceptual.features.balance import (
    MEAN_DISTANCES,
    balanced_layers,
    balanced_weights,
)
from keras_perceptual.ops.distances import FEATURE_DISTANCES


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_every_tap_and_every_distance_was_measured(backbone):
    taps = balanced_layers(backbone, "torchvision")
    known = {
        layer.name for layer in build_untrained(backbone, "float32").layers
    }
    assert len(taps) >= 4
    assert set(taps) <= known
    for kind in (*FEATURE_DISTANCES, "gram"):
        for normalized in (False, True):
            weights = balanced_weights(
                backbone, "torchvision", kind, normalized, taps
            )
            assert list(weights) == list(taps)
            assert all(weight > 0 for weight in weights.values())


def test_weights_make_the_mean_distances_count_alike_and_sum_to_one():
    measured = MEAN_DISTANCES["vgg16", "torchvision"]
    weights = balanced_weights(
        "vgg16", "torchvision", "mae", False, tuple(measured)
    )
    terms = [weights[tap] * measured[tap]["mae"] for tap in measured]
    assert terms == pytest.approx([1 / len(measured)] * len(measured))


def test_other_weights_of_a_network_are_another_network():
    assert balanced_layers("vgg16", "imagenet") == ()
    assert balanced_weights("vgg16", "imagenet", "mse", False, ["a"]) == {
        "a": 1.0
    }
    assert {name for name, _ in MEAN_DISTANCES} <= set(BACKBONES)


def test_other_pooling_is_another_network():
    assert balanced_layers("vgg16", "torchvision", "average") == ()
    assert balanced_weights(
        "vgg16", "torchvision", "mse", False, ["block3_conv3"], "l2"
    ) == {"block3_conv3": 1.0}


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_constants_are_of_the_size_that_photographs_give(backbone):
    """Twice or half of it: one photograph in place of five."""
    tool = load_tool("balance_taps")
    tool.PHOTOGRAPHS = ("astronaut",)
    tool.SIDE = 96
    found = tool.measure(backbone, tool.TAPS[backbone])
    for tap, kinds in MEAN_DISTANCES[backbone, "torchvision"].items():
        assert found[tap].keys() == kinds.keys()
        for kind, value in kinds.items():
            # Gram matrices are products of four features.
            most = 30 if "gram" in kind else 3
            assert value / most < found[tap][kind] < value * most, (tap, kind)


MEASURED = ("mse", "mae", "lost")


@pytest.mark.parametrize(
    "kinds",
    [k for taps in MEAN_DISTANCES.values() for k in taps.values()],
)
def test_constants_fit_together(kinds):
    """Each of them is known about from another one, by what it measures."""
    for prefix in ("", "normalized_"):
        mse, mae, charbonnier, lost, gram = (
            kinds[prefix + kind]
            for kind in ("mse", "mae", "charbonnier", "lost", "gram")
        )
        # With an epsilon of 1e-3, and no square of a mean beyond the mean of
        # the squares, of which between a third and all is lost.
        assert mae - 1e-3 < charbonnier < mae
        assert 3 * mae**2 < mse < 25 * mae**2
        assert mse / 3 < lost < mse
        assert 0 < gram < 1e-2
    # Of features of length one, half the sum of the squares.
    assert kinds["cosine"] == kinds["normalized_cosine"]
    # Lengths are about alike, whatever is measured with and without them.
    lengths = {k: kinds[k] / kinds[f"normalized_{k}"] for k in MEASURED}
    assert 0.95 < lengths["mse"] / lengths["mae"] ** 2 < 1.4
    assert 0.8 < lengths["lost"] / lengths["mse"] < 1.6
    channels = 2 * kinds["cosine"] / kinds["normalized_mse"]
    assert channels == pytest.approx(round(channels / 64) * 64, rel=1e-2)
