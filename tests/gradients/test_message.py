from keras_perceptual.gradients import (
    GradientRecord,
    GradientReport,
    message,
    reasons,
)


def missing(path, layer="enc", reason=reasons.NONE):
    return GradientRecord(path, "missing", None, (4, 8), layer, "Dense", reason)


def test_offenders_are_listed_under_their_layers():
    report = GradientReport(
        (
            missing("net/enc/kernel"),
            missing("net/enc/bias"),
            missing("net/dec/kernel", "dec"),
        ),
        1,
    )
    text = message.describe("Checker", report, 6)
    assert text.startswith("Checker: 3 of 6 trainable variables cannot learn.")
    assert "3 of 6 trainable variables receive no gradient" in text
    assert (
        "  layer 'enc' (Dense)\n"
        "    net/enc/kernel  (4, 8)\n"
        "    net/enc/bias  (4, 8)\n"
        "  layer 'dec' (Dense)\n"
        "    net/dec/kernel  (4, 8)\n"
    ) in text
    assert "stop_gradient" in text
    paths = "['net/enc/kernel', 'net/enc/bias', 'net/dec/kernel']"
    assert f"`ignore={paths}`" in text
    assert '`on_missing="warn"`' in text
    assert text.endswith(f"Received: missing={paths}")


def test_long_list_is_shortened():
    report = GradientReport(
        tuple(missing(f"net/enc/{i}") for i in range(15)), 1
    )
    text = message.describe("Checker", report, 15)
    assert "net/enc/11  " in text
    assert "net/enc/12" not in text
    assert "\n  and 3 more\n" in text
    assert text.endswith("'net/enc/11', and 3 more]")


def test_every_kind_has_its_own_part():
    report = GradientReport(
        (
            missing("a"),
            missing("b", reason=reasons.NOT_HANDED),
            GradientRecord("c", "zero", 0.0),
            GradientRecord("d", "nonfinite"),
        ),
        3,
    )
    text = message.describe("Checker", report, 9)
    assert "1 of 9 trainable variables receive no gradient (no path" in text
    assert "receive no gradient (never given to an optimizer)" in text
    assert "exactly zero in each of the 3 checked batch(es)" in text
    assert "with NaN or infinity" in text
    assert '`on_missing="warn", on_nonfinite="warn", on_zero="warn"`' in text
    assert text.endswith(
        "Received: missing=['a', 'b'], zero=['c'], nonfinite=['d']"
    )


def test_frozen_model():
    text = message.describe_all_frozen("Checker", "net")
    assert "no trainable variables" in text
    assert text.endswith("Received: model='net', trainable_variables=[]")


def test_patterns_that_fit_nothing():
    text = message.describe_unmatched("Checker", ["x*"], ["net/a", "net/b"])
    assert "['net/a', 'net/b']" in text
    assert text.endswith("Received: ignore=['x*']")
