from keras_perceptual.gradients import GradientRecord, GradientReport, tables

REPORT = GradientReport(
    (
        GradientRecord("a/kernel", "ok", 0.25, (4, 8), "a", "Dense"),
        GradientRecord(
            "b/kernel", "missing", None, (8,), "b", "<Own>", "no path at all"
        ),
    ),
    batches=2,
)


def test_narrow_table_breaks_before_the_note():
    wide = tables.as_text(REPORT).splitlines()
    assert wide[-1].endswith("missing  -     no path at all")
    narrow = tables.as_text(REPORT, width=50).splitlines()
    assert narrow[:3] == wide[:3]
    assert narrow[3:] == [
        "b/kernel  (8,)    b (<Own>)  missing  -",
        "    no path at all",
    ]
    assert max(map(len, narrow)) <= 50


def test_counts_come_first():
    assert tables.title(REPORT) == (
        "Gradients after 2 batches: 1 ok, 1 missing"
    )


def test_html_is_escaped_and_coloured():
    text = tables.as_html(REPORT)
    assert text == REPORT._repr_html_()
    assert "b (&lt;Own&gt;)" in text
    assert "<Own>" not in text
    assert text.count("<tr") == 3
    assert text.count(tables.COLORS["missing"]) == 1
