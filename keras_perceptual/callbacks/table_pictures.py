"""Pictures of the color tables that a model has learned."""

import io
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_perceptual.io.table_plots import SIDE, plot_entries
from keras_perceptual.layers.adaptive_lookup_color_layer import (
    AdaptiveLookupColorLayer,
)
from keras_perceptual.layers.lookup_color_layer import LookupColorLayer
from keras_perceptual.model_walk import walk_parts

RESOLUTION = 100  # Pixels per inch.


def find_tables(model: keras.Model, inputs: Any) -> dict[str, np.ndarray]:
    """Returns the color tables in a model, by the path of their layer.

    Of a table that is made for each image, that of the first one is returned,
    where the model is made of layers, as a Functional or a Sequential one, and
    the layer is one of them: elsewhere nobody knows what it is called with.

    Args:
        model: A Keras model.
        inputs: What the model is called with.

    Returns:
        Dictionary from paths to NumPy arrays, curves or cubes.
    """
    tables = {}
    for part in walk_parts(model):
        if isinstance(part, AdaptiveLookupColorLayer):
            images = _going_in(model, part, inputs)
            found = None if images is None else part.tables_of(images)[0]
        elif not isinstance(part, LookupColorLayer):
            continue
        elif hasattr(part, "table"):
            found = part.table
        else:
            images_and_table = _going_in(model, part, inputs)
            found = None if images_and_table is None else images_and_table[1]
            if found is not None and len(found.shape) > len(part.table_shape):
                found = found[0]
        if found is not None:
            tables[part.path] = ops.convert_to_numpy(
                ops.cast(ops.convert_to_tensor(found), "float32")
            )
    return tables


def draw_table(table: np.ndarray, title: str) -> tuple[bytes, tuple[int, int]]:
    """Returns a PNG file of a table, and its width and height in pixels.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    is_cube = table.ndim == 4
    # Not one of pyplot's, which notebooks would show.
    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(projection="3d" if is_cube else None)
    plot_entries("draw_table", table, title, axes=axes)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=RESOLUTION)
    return file.getvalue(), canvas.get_width_height()


def _going_in(model: keras.Model, layer: keras.Layer, inputs: Any) -> Any:
    """Returns what a layer is called with, `None` where that is not known."""
    is_sequential = isinstance(model, keras.Sequential)
    try:
        start = model.inputs[0] if is_sequential else model.input
        before = keras.Model(start, layer.input)
    except (AttributeError, ValueError):
        return None
    return before(inputs, training=False)
