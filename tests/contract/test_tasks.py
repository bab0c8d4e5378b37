"""What people come for is in the README, or one page away from it.

The code on these pages is run by other tests.
"""

import re

import pytest
from public_objects import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
# What each task takes in code, and the page that has it.
TASKS = {
    "sharper super-resolution": (
        "README.md",
        ["kp.WeightedSumLoss(", "kp.PerceptualLoss()", "model.save("],
    ),
    "no gradients provided": (
        "docs/faq.md",
        ["No gradients provided", "callbacks=[kp.GradientSanityCallback()]"],
    ),
    "LPIPS of two images": ("README.md", ["kp.LPIPS()("]),
    "train a LUT and write it": (
        "docs/luts.md",
        ["LookupColorLayer(", ".fit(", "write_table("],
    ),
    "a configuration of BasicSR": (
        "docs/coming_from.md",
        ["perceptual_opt:", "kp.WeightedSumLoss(", "vgg19"],
    ),
    "PyTorch in a notebook": (
        "docs/faq.md",
        ["%pip install", 'os.environ["KERAS_BACKEND"]', '"torch"'],
    ),
    "a custom training loop": (
        "docs/custom_training_loop.md",
        ["GradientTape", "value_and_grad", ".backward()"],
    ),
    "style transfer": (
        "examples/style_transfer.py",
        ["style_image=", "style_weight="],
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_code_for_a_task_is_two_pages_away_at_most(task):
    page, needed = TASKS[task]
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README)
    assert page == "README.md" or page in links
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert [words for words in needed if words not in text] == []
