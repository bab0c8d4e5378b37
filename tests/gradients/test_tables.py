from keras_perceptual.gradients import GradientRecord, GradientReport, tables
from keras_perceptual.gradients.places import Place

REPORT = GradientReport(
    (
        GradientRecord("a/kernel", "ok", 0.25, (4, 8), "a", ratio=0.125),
        GradientRecord(
            "b/kernel", "missing", None, (8,), "b", "<Own>", "no path at all"
        ),
    ),
    batches=2,
)


def test_narrow_table_breaks_before_the_note():
    wide = tables.as_text(REPORT).splitlines()
    assert wide[-1].endswith("missing  -     -      no path at all")
    narrow = tables.as_text(REPORT, width=50).splitlines()
    assert narrow[:3] == wide[:3]
    assert narrow[3:] == [
        "b/kernel  (8,)    b (<Own>)  missing  -     -",
        "    no path at all",
    ]
    assert max(map(len, narrow)) <= 50


def test_last_column_holds_the_cause_and_the_place():
    place = Place("Round", "", "snap", "Snap", "net.py", 7)
    for reason, culprits, note, expected in (
        ("cut off", (place,), "A note.", f"cut off: {place}"),
        ("", (place,), "", str(place)),
        ("in the data", (), "'y' holds NaN", "in the data: 'y' holds NaN"),
        ("unused", (), "", "unused"),
        ("", (), "", ""),
    ):
        record = GradientRecord(
            "a", "missing", reason=reason, culprits=culprits, note=note
        )
        assert tables.remark(record) == expected
        assert tables.rows([record])[0][-1] == expected


def test_counts_come_first():
    assert tables.title(REPORT) == (
        "Gradients after 2 batches: 1 ok, 1 missing"
    )


def test_html_is_escaped_and_colored():
    text = tables.as_html(REPORT)
    assert text == REPORT._repr_html_()
    assert "b (&lt;Own&gt;)" in text
    assert "<Own>" not in text
    assert text.count("<tr") == 3
    assert text.count(tables.COLORS["missing"]) == 1


def test_terminals_show_colors():
    plain = tables.as_text(REPORT, width=50, color=False)
    colored = tables.as_text(REPORT, width=50, color=True)
    assert "\033" not in plain
    assert colored.count("\033[31mmissing\033[0m") == 1
    without = colored.replace("\033[31m", "").replace("\033[0m", "")
    assert without == plain


def test_files_and_those_who_ask_for_none_have_no_colors(monkeypatch):
    assert "\033" not in str(REPORT)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033" in str(REPORT)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in str(REPORT)


def test_a_row_shows_all_that_is_known():
    assert tables.rows(REPORT) == [
        ("a/kernel", "(4, 8)", "a ()", "ok", "0.25", "0.125", ""),
        (
            "b/kernel",
            "(8,)",
            "b (<Own>)",
            "missing",
            "-",
            "-",
            "no path at all",
        ),
    ]
    assert tables.rows([GradientRecord("c", "ok")])[0][2] == ""


def test_the_width_is_that_of_the_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    for columns in (50, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert str(REPORT) == tables.as_text(REPORT, width=columns, color=False)


def test_a_table_that_just_fits_is_not_broken():
    wide = tables.as_text(REPORT)
    width = max(map(len, wide.splitlines()))
    assert tables.as_text(REPORT, width=width) == wide
    assert tables.as_text(REPORT, width=width - 1) != wide


def test_what_is_well_has_no_color():
    report = GradientReport(REPORT.records[:1], batches=1)
    assert "style" not in tables.as_html(report)
    assert "\033" not in tables.as_text(report, color=True)
    assert tables.title(report) == "Gradients after 1 batch: 1 ok"
