import pytest

from keras_perceptual.gradients import GradientRecord, GradientReport

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def test_a_bar_for_each_variable():
    report = GradientReport(
        (
            GradientRecord("a/kernel", "ok", 0.25),
            GradientRecord("a/bias", "zero", 0.0),
            GradientRecord("b/kernel", "missing"),
            GradientRecord("b/kernel", "ok", 1.0),
        ),
        batches=1,
    )
    axes = report.plot()
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.0, 0.0, 1.0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [
        "a/kernel",
        "a/bias (zero)",
        "b/kernel #1 (missing)",
        "b/kernel #2",
    ]
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "norm of the gradient"
    assert axes.get_title().startswith("Gradients after 1 batch")
    assert axes.yaxis_inverted()
    axes.figure.canvas.draw()


def test_a_figure_has_room_for_each_variable():
    for count, height in ((0, 1.25), (1, 1.25), (12, 4.0)):
        records = tuple(GradientRecord(f"{i}", "ok", 1.0) for i in range(count))
        figure = GradientReport(records).plot().figure
        assert figure.get_size_inches().tolist() == [8, height]


def test_own_axes_and_nothing_to_draw():
    _, axes = pyplot.subplots()
    assert GradientReport().plot(axes) is axes
    assert axes.get_xscale() == "linear"
