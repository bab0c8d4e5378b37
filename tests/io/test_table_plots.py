import sys

import numpy as np
import pytest

from keras_perceptual.io import ColorTable
from keras_perceptual.io.table_plots import (
    cube_panel,
    curves_panel,
    image_panel,
    plot_entries,
    plot_panels,
)

Collection = pytest.importorskip("matplotlib.collections").Collection
pyplot = pytest.importorskip("matplotlib.pyplot")

CURVES = np.array([[0, 0.25, 0.5], [0.25, 0.5, 0], [1, 2, -1]], "float32")
DOMAIN = ((0, -1, 0.5), (1, 2, 3))


@pytest.fixture(autouse=True)
def close_figures():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def drawn(axes):
    """Returns the corners of every line, dashed ones and others."""
    lines = {True: [], False: []}
    for line in axes.lines:
        places = line.get_data_3d() if axes.name == "3d" else line.get_data()
        lines[line.get_linestyle() == "--"].append(np.transpose(places))
    return lines[True], lines[False]


def points_of(axes):
    """Returns where points are and in which color, in their own order."""
    (scatter,) = axes.collections
    # That of the class below: this one sorts them by depth, once drawn.
    colors = Collection.get_facecolor(scatter)
    return np.transpose(scatter._offsets3d), colors[:, :3]


def cube(*sizes, function=lambda colors: colors):
    grid = np.meshgrid(*(np.linspace(0, 1, n) for n in sizes), indexing="ij")
    return function(np.stack(grid, -1)).astype("float32")


def turned(colors):
    """Swaps channels and takes contrast away, each channel in its own way."""
    return colors[..., [2, 0, 1]] * [0.5, 0.75, 1.0] + [0.25, 0.0, 0.0]


def test_a_line_for_each_channel_over_its_own_domain():
    axes = ColorTable(curves=CURVES, curves_domain=DOMAIN, title="Look").plot()
    (identity,), lines = drawn(axes)
    np.testing.assert_array_equal(identity, [[-1, -1], [3, 3]])
    assert len(lines) == 3
    for channel, line in enumerate(lines):
        low, high = DOMAIN[0][channel], DOMAIN[1][channel]
        np.testing.assert_allclose(line[:, 0], [low, (low + high) / 2, high])
        np.testing.assert_array_equal(line[:, 1], CURVES[:, channel])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["red", "green", "blue"]
    assert axes.get_title() == "Look: curves"
    axes.figure.canvas.draw()


def test_one_line_for_a_curve_that_all_channels_share():
    axes = plot_panels("Test", [curves_panel(CURVES[:, :1])])
    (identity,), (line,) = drawn(axes)
    np.testing.assert_array_equal(identity, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(line, [[0, 0], [0.5, 0.25], [1, 1]])


def test_points_of_a_cube_are_where_their_colors_have_gone():
    axes = ColorTable(cube=cube(3, 3, 3, function=turned)).plot()
    points, colors = points_of(axes)
    # The lattice in the order of the table, each point in its new color.
    expected = turned(cube(3, 3, 3)).reshape(-1, 3)
    np.testing.assert_allclose(points, expected, atol=1e-6)
    np.testing.assert_allclose(colors, expected, atol=1e-6)
    assert axes.get_xlabel() == "red" and axes.get_zlabel() == "blue"
    assert axes.get_title() == "cube"
    axes.figure.canvas.draw()


def test_edges_and_grays_are_drawn_as_the_table_bends_them():
    axes = ColorTable(cube=cube(4, 4, 4, function=np.square)).plot()
    identity, lines = drawn(axes)
    assert len(identity) == len(lines) == 13
    ends = {tuple(map(tuple, line[[0, -1]])) for line in lines}
    corners = cube(2, 2, 2).reshape(-1, 3)
    edges = {
        (tuple(a), tuple(b))
        for a in corners
        for b in corners
        if np.sum(b - a) == 1 and np.all(b >= a)
    }
    assert len(edges) == 12
    assert ends == edges | {((0, 0, 0), (1, 1, 1))}
    steps = np.square([0, 1 / 3, 2 / 3, 1])
    for line in lines:
        assert line.shape == (4, 3)
        for channel in line.T:
            if channel[0] != channel[-1]:
                np.testing.assert_allclose(channel, steps, atol=1e-6)
    for line, straight in zip(lines, identity, strict=True):
        np.testing.assert_array_equal(line[[0, -1]], straight)


def test_the_dashed_box_is_the_domain():
    axes = ColorTable(cube=cube(2, 2, 2), cube_domain=DOMAIN).plot()
    identity, _ = drawn(axes)
    corners = np.concatenate(identity)
    np.testing.assert_array_equal(corners.min(axis=0), DOMAIN[0])
    np.testing.assert_array_equal(corners.max(axis=0), DOMAIN[1])
    np.testing.assert_array_equal(identity[-1], DOMAIN)


def test_of_a_large_cube_some_points_are_drawn_and_all_corners():
    axes = ColorTable(cube=cube(33, 33, 33)).plot()
    points, _ = points_of(axes)
    assert len(points) == 7**3
    corners = {tuple(point) for point in points if set(point) <= {0.0, 1.0}}
    assert len(corners) == 8


def test_an_oblong_cube_has_grays_where_its_lattice_has_them():
    axes = plot_panels("Test", [cube_panel(cube(3, 5, 9))])
    _, lines = drawn(axes)
    np.testing.assert_allclose(lines[-1], [[0] * 3, [0.5] * 3, [1] * 3])
    assert len(points_of(axes)[0]) == 3 * 5 * 7


def test_curves_and_a_cube_are_drawn_in_their_order():
    table = ColorTable(curves=CURVES, cube=cube(2, 2, 2))
    axes = table.plot()
    assert [axis.name for axis in axes] == ["rectilinear", "3d"]
    assert axes[0].figure is axes[1].figure
    # As many squares side by side.
    width, height = axes[0].figure.get_size_inches()
    assert width == 2 * height


def test_colors_that_no_screen_has_and_entries_that_are_no_numbers():
    entries = 4.0 * cube(2, 2, 2) - 1.0
    entries[0, 0, 0] = np.nan
    image = np.array([[[np.nan, -1.0, 2.0]]])
    axes = plot_panels(
        "Test", [cube_panel(entries), image_panel(image, "after")]
    )
    _, colors = points_of(axes[0])
    assert colors.min() == 0 and colors.max() == 1
    (picture,) = axes[1].images
    assert picture.get_array().tolist() == [[[0.0, 0.0, 1.0]]]
    axes[0].figure.canvas.draw()


def test_own_axes_are_drawn_on():
    figure = pyplot.figure()
    plane = figure.add_subplot(1, 2, 1)
    space = figure.add_subplot(1, 2, 2, projection="3d")
    assert ColorTable(curves=CURVES).plot(plane) is plane
    assert ColorTable(cube=cube(2, 2, 2)).plot(axes=space) is space
    both = ColorTable(curves=CURVES, cube=cube(2, 2, 2))
    assert both.plot((plane, space)).tolist() == [plane, space]
    assert pyplot.get_fignums() == [figure.number]


@pytest.mark.parametrize("axes", ["plane", "both"])
def test_axes_of_the_wrong_kind_are_refused(axes):
    _, plane = pyplot.subplots()
    given = {"plane": plane, "both": [plane, plane]}[axes]
    message = (
        r"^ColorTable.plot draws on 1 .*\['3d'\].*leave out `axes`\. "
        r"Received: axes with \['rectilinear'"
    )
    with pytest.raises(ValueError, match=message):
        ColorTable(cube=cube(2, 2, 2)).plot(given)
    assert not plane.has_data()


def test_without_matplotlib_the_array_is_left(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r"^A plot of a color table needs matplotlib.*Received: "
    with pytest.raises(ImportError, match=message):
        ColorTable(curves=CURVES).plot()


def test_entries_are_drawn_by_their_shape_with_pictures_beside_them():
    shared = plot_entries("Owner.plot", CURVES[:, :1], "Look")
    (line,) = drawn(shared)[1]
    np.testing.assert_array_equal(line[:, 1], CURVES[:, 0])
    pixels = cube(4, 5, 2)[:, :, 0]
    table, picture = plot_entries(
        "Owner.plot", cube(2, 2, 2), "Look", {"before": pixels}
    )
    assert (table.name, table.get_title()) == ("3d", "Look")
    assert picture.get_title() == "before"
    np.testing.assert_array_equal(picture.images[0].get_array(), pixels)
    with pytest.raises(ValueError, match=r"^Owner.plot draws on 1 matpl"):
        plot_entries("Owner.plot", cube(2, 2, 2), "", axes=pyplot.subplot())
