"""The page lists all that the check says."""

from public_objects import REPOSITORY

from keras_perceptual.gradients import diagnoses


def test_every_cause_is_on_the_page():
    page = (REPOSITORY / "docs" / "gradient_check.md").read_text("utf-8")
    missing = [d.title for d in diagnoses.ALL if f"| {d.title} |" not in page]
    assert missing == []
