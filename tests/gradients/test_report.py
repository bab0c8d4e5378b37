import json
import sys

import pytest

from keras_perceptual.gradients import GradientRecord, GradientReport
from keras_perceptual.gradients.places import Place
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


def test_the_first_culprit_is_the_most_likely_one():
    places = Place("Log", file="net.py", line=7), Place("Exp")
    record = GradientRecord("net/w", "missing", culprits=places)
    assert record.culprit is places[0]
    assert record.source == "net.py:7"
    assert RECORDS[0].culprit is None
    assert RECORDS[0].source == ""


def test_report_is_a_collection_of_its_records():
    assert len(REPORT) == len(STATUSES)
    assert tuple(REPORT) == RECORDS
    assert REPORT["net/zero"] is RECORDS[2]
    with pytest.raises(KeyError, match="Received: 'net/nothing'"):
        REPORT["net/nothing"]
    with pytest.raises(KeyError, match="Did you mean 'net/missing'"):
        REPORT["net/mising"]


def test_variables_of_one_path_are_told_apart():
    """Keras lets two layers, and so their variables, have one name."""
    first = GradientRecord("out/kernel", "ok", 0.5, (4, 8))
    second = GradientRecord("out/kernel", "missing", None, (8, 1))
    report = GradientReport((first, second, *RECORDS), 1)
    assert report["out/kernel"] is first
    assert report.with_path("out/kernel") == (first, second)
    assert report.with_path("net/ok") == RECORDS[:1]
    assert report.with_path("net/nothing") == ()
    assert "out/kernel #1  (4, 8)" in str(report)
    assert "out/kernel #2  (8, 1)" in str(report)
    assert "net/ok  " in str(report)


def test_printed_report_is_a_table():
    records = (
        GradientRecord("a/kernel", "ok", 0.25, (4, 8), "a", "Dense"),
        GradientRecord(
            "b/kernel", "missing", None, (8,), "b", "Conv2D", "no path"
        ),
    )
    assert str(GradientReport(records, 1)).splitlines() == [
        "Gradients after 1 batch: 1 ok, 1 missing",
        "variable  shape   layer       status   norm  ratio",
        "a/kernel  (4, 8)  a (Dense)   ok       0.25  -",
        "b/kernel  (8,)    b (Conv2D)  missing  -     -      no path",
    ]


def test_printed_report_of_nothing():
    assert str(GradientReport()).startswith(
        "Gradients after 0 batches: no variables\n"
    )


def test_report_as_plain_data():
    place = Place("ArgMax", "keras.ops.argmax", "pick", "Pick", "net.py", 7)
    record = GradientRecord(
        "a/kernel",
        "missing",
        None,
        (4, 8),
        "a",
        "Dense",
        "cut",
        (place,),
        note="A particular.",
    )
    found = json.loads(json.dumps(GradientReport((record,), 1).to_dict()))
    assert found["batches"] == 1
    (row,) = found["records"]
    assert row["path"] == "a/kernel"
    assert row["shape"] == [4, 8]
    assert row["source"] == "net.py:7"
    assert row["note"] == "A particular."
    assert row["culprits"][0]["function"] == "keras.ops.argmax"


def test_report_as_a_data_frame():
    pandas = pytest.importorskip("pandas")
    table = REPORT.to_dataframe()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["status"]) == list(STATUSES)


@pytest.mark.parametrize("method", ["to_dataframe", "plot"])
def test_what_is_missing_is_named(method, monkeypatch):
    name = {"to_dataframe": "pandas", "plot": "matplotlib"}[method]
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"needs {name}.*Received: "):
        getattr(REPORT, method)()
