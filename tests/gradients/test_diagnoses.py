import string

import pytest
from diagnosis_rows import rows_of

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.report import STATUSES


def test_titles_are_there_once():
    titles = [row.title for row in diagnoses.ALL]
    assert len(set(titles)) == len(titles) > 30
    assert all(diagnoses.find(title).title == title for title in titles)


def test_rows_of_all_files_are_there():
    files = (
        diagnoses.missing,
        diagnoses.untracked,
        diagnoses.zeros,
        diagnoses.nonfinite,
    )
    rows = [row for file in files for row in rows_of(file)]
    assert rows == list(diagnoses.ALL)
    assert set(rows) == set(rows_of(diagnoses))


def test_unknown_titles_are_those_of_the_status():
    assert diagnoses.find("") is diagnoses.NONE
    assert diagnoses.find("", "zero") is diagnoses.ZERO
    assert diagnoses.find("something new", "nonfinite") is diagnoses.NONFINITE
    assert diagnoses.find("", "untracked") is diagnoses.UNTRACKED
    assert diagnoses.find("cut off from the loss", "zero") is diagnoses.CUT


@pytest.mark.parametrize("row", diagnoses.ALL, ids=lambda row: row.title)
def test_rows_are_complete(row):
    assert row.status in set(STATUSES) - {"ok", "ignored"}
    sentences = [row.advice, *row.on_backend.values()]
    sentences += [row.in_function] if row.in_function else []
    for text in sentences:
        assert text[0].isupper() or text[0] == "`"
        assert text.endswith(".")
        assert "  " not in text
    assert row.title[0].islower() or row.title.startswith("NaN")
    fields = {field for _, field, _, _ in string.Formatter().parse(row.heading)}
    assert fields <= {"found", "batches", None}
    assert row.on_backend.keys() <= {"tensorflow", "jax", "torch"}
