import pytest

from keras_perceptual.gradients import GradientRecord, GradientReport
from keras_perceptual.gradients.report import STATUSES

RECORDS = tuple(
    GradientRecord(f"net/{status}", status, None, (2, 3), "dense", "Dense")
    for status in STATUSES
)
REPORT = GradientReport(RECORDS, batches=3)


@pytest.mark.parametrize("status", STATUSES)
def test_records_by_status(status):
    (record,) = getattr(REPORT, status)
    assert record.path == f"net/{status}"


def test_report_is_a_collection_of_its_records():
    assert len(REPORT) == len(STATUSES)
    assert tuple(REPORT) == RECORDS
    assert REPORT["net/zero"] is RECORDS[2]
    with pytest.raises(KeyError, match="net/nothing"):
        REPORT["net/nothing"]


def test_printed_report_is_a_table():
    records = (
        GradientRecord("a/kernel", "ok", 0.25, (4, 8), "a", "Dense"),
        GradientRecord(
            "b/kernel", "missing", None, (8,), "b", "Conv2D", "no path"
        ),
    )
    assert str(GradientReport(records, 1)).splitlines() == [
        "Gradients after 1 batch: 1 ok, 1 missing",
        "variable  shape   layer       status   norm",
        "a/kernel  (4, 8)  a (Dense)   ok       0.25",
        "b/kernel  (8,)    b (Conv2D)  missing  -     no path",
    ]


def test_printed_report_of_nothing():
    assert str(GradientReport()).startswith(
        "Gradients after 0 batches: no variables\n"
    )
