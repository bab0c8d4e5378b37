"""The same numbers in every mode of execution, for a few random cases."""

import json

import keras
import numpy as np
import pytest
from public_objects import load_tool
from sampling import rarely

tool = load_tool("differential")
cases = tool.cases


def draw(seed, *names):
    return cases.draw(np.random.default_rng(seed), names)


def test_every_public_loss_layer_metric_and_regularizer_is_drawn():
    from keras_perceptual import layers, losses, metrics, regularizers

    public = {
        name
        for module in (losses, layers, metrics, regularizers)
        for name in dir(module)
        if name[:1].isupper()
    }
    # What is shown of a loss takes part in `fit` alone, and a distance of sets
    # has no values of images.
    assert public - {"LossTerms", "KIDMetric"} == set(cases.DRAWS)


# What changes no number, or is drawn in another way.
UNDRAWN = {
    "backbone",
    "band_width",
    "constraint",
    "domain",
    "initializer",
    "kwargs",
    "loss",
    "name",
    "regularizer",
    "self",
    "settings",
    "terms",
    "tile",
    "weights",
}


@pytest.mark.parametrize("name", sorted(cases.DRAWS))
def test_every_argument_that_changes_a_number_is_drawn(name):
    import inspect

    import keras_perceptual as kp

    signature = inspect.signature(getattr(kp, name).__init__)
    wanted = {
        argument
        for argument in signature.parameters
        if argument.split("_")[-1] not in UNDRAWN and argument not in UNDRAWN
    }
    drawn = set()
    for seed in range(200):
        case = draw(seed, name)
        drawn |= {k for x in (case["arguments"], case["settings"]) for k in x}
    assert wanted <= drawn


@pytest.mark.parametrize("name", sorted(cases.DRAWS))
def test_what_a_loss_can_do_is_asked_of_it(name):
    case = draw(1, name)
    loss = cases.make(case)
    distance = getattr(loss, "_distance", None)
    if distance is None:
        return
    assert (name in cases.MASKED) == distance.takes_mask
    assert (name in cases.HIDING) == distance.hides_pixels
    assert (name in cases.MAPPED) == (distance.no_map is None)
    assert (name in cases.ENCODED) == distance.encodes
    assert (name in cases.TILED) == hasattr(distance, "add_window")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, rarely(12)])
def test_a_few_configurations_agree(seed):
    lines = []
    bad, _, drawn = tool.run(2, seed, report=lines.append)
    assert bad == 0, "\n".join(lines)
    assert drawn.total() == 2


def test_the_same_seed_draws_the_same_cases():
    drawn = [[draw(seed) for _ in range(3)] for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]
    images, again = (cases.images_of(x[0]) for x in drawn[:2])
    for name, one in images.items():
        np.testing.assert_array_equal(one, again[name])


def test_a_difference_is_found():
    reference = 1.0, [np.array([1.0, -2.0]), np.zeros(0)]
    off = tool.differences(
        (1.1, [np.array([1.0, -2.1]), np.zeros(0)]), reference
    )
    assert off == {
        "value": pytest.approx(0.1),
        "gradient": pytest.approx(0.05),
    }
    bad, known = tool.judge({"xla": off}, lambda *difference: None)
    assert [entry[:2] for entry in bad] == [
        ("xla", "value"),
        ("xla", "gradient"),
    ]
    assert not known
    bad, known = tool.judge({"xla": off}, lambda *difference: "why")
    assert not bad
    assert known[0][3] == "why"
    nan = tool.differences(
        (1.0, [np.array([np.nan, 1]), np.zeros(0)]), reference
    )
    assert tool.judge({"xla": nan}, lambda *difference: None)[0]


def doubt(name="ColorDifferenceLoss", **settings):
    case = draw(0, name)
    case["settings"] |= {"dtype": "float32", **settings}
    return tool.Doubt(case, None)


def test_only_what_noise_changes_as_much_is_rounding():
    one = doubt()
    one.sensitivity = {"value": 1.0, "gradient": 1e-4}
    assert "nearly the same" in one.reason("xla", "gradient", 2e-4)
    assert one.reason("xla", "gradient", 4e-4) is None, "more than of noise"
    one.sensitivity = {"value": 1.0, "gradient": 1.0}
    assert one.reason("xla", "gradient", 1e-2) is None, "more than was measured"
    assert one.reason("xla", "value", 2e-5) is None, "nobody knows why"


def test_half_precision_is_a_reason_where_single_agrees():
    one = doubt(dtype="mixed_bfloat16")
    one.in_single = {"xla": {"value": 1e-7, "gradient": 0.5}}
    assert "half precision" in one.reason("xla", "value", 1e-3)
    assert one.reason("xla", "gradient", 1e-3) is None
    assert one.reason("xla", "value", 0.5) is None


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="takes doubles from NumPy"
)
def test_noise_is_measured_in_double_precision():
    case = draw(3, "SSIMLoss")
    case["settings"]["dtype"] = "float32"
    found = tool.Doubt(case, cases.make(case)).sensitivity
    assert 0 < found["value"] < 1e-4
    assert 0 < found["gradient"] < 1e-2


@pytest.mark.once
@pytest.mark.slow
def test_other_processes_are_compared_with(tmp_path):
    path = tmp_path / "references.json"
    assert tool.run(1, 3, save=path)[0] == 0
    assert tool.run(1, 3, against=path)[0] == 0
    lines = []
    (kept,) = json.loads(path.read_text())
    kept["value"] *= 2
    path.write_text(json.dumps([kept]))
    assert tool.run(1, 3, against=path, report=lines.append)[0] > 0
    assert any(", other: value off" in line for line in lines)
