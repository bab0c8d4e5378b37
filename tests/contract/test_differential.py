"""The same numbers in every mode of execution, for a few random cases."""

import json

import numpy as np
import pytest
from public_objects import load_tool
from sampling import rarely

tool = load_tool("differential")


def test_every_public_loss_and_layer_is_drawn():
    from keras_perceptual import layers, losses, metrics

    public = {
        name
        for module in (losses, layers)
        for name in dir(module)
        if name[:1].isupper()
    }
    apart = {"FeatureLoss", "ImageDistance", "ImageLoss"}
    assert public - apart <= set(tool.DRAWS)
    assert set(tool.DRAWS) - public <= set(dir(metrics))


@pytest.mark.parametrize("seed", [11, rarely(12)])
def test_a_few_configurations_agree(seed):
    lines = []
    bad, _ = tool.run(2, seed, report=lines.append)
    assert bad == 0, "\n".join(lines)


def test_the_same_seed_draws_the_same_cases():
    cases = [
        [tool.draw(np.random.default_rng(seed)) for _ in range(3)]
        for seed in (5, 5, 6)
    ]
    assert cases[0] == cases[1] != cases[2]
    np.testing.assert_array_equal(
        tool.images_of(cases[0][0]), tool.images_of(cases[1][0])
    )


def test_a_difference_is_found_and_one_with_a_reason_is_known():
    reference = 1.0, np.array([1.0, -2.0])
    off = tool.differences((1.1, np.array([1.0, -2.1])), reference)
    assert off == {
        "value": pytest.approx(0.1),
        "gradient": pytest.approx(0.05),
    }
    bad, known = tool.judge("SSIMLoss", {"xla": off})
    assert [entry[:2] for entry in bad] == [
        ("xla", "value"),
        ("xla", "gradient"),
    ]
    assert not known
    bad, known = tool.judge("LPIPS", {"xla": off})
    assert [entry[1] for entry in bad] == ["value"]
    assert "ReLU" in known[0][3]
    nothing = tool.judge("LPIPS", {"xla": {"value": 0, "gradient": np.nan}})
    assert nothing[0], "NaN is a difference"


@pytest.mark.once
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
