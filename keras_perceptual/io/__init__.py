"""Color tables in files.

Needs NumPy alone, and Pillow for pictures: it can be imported without Keras.
"""

from keras_perceptual.io.any_format import read_table, write_table
from keras_perceptual.io.clf import read_clf
from keras_perceptual.io.color_table import ColorTable
from keras_perceptual.io.csp import read_csp, write_csp
from keras_perceptual.io.cube import read_cube, write_cube
from keras_perceptual.io.hald import read_hald, write_hald
from keras_perceptual.io.lustre import read_3dl, write_3dl
from keras_perceptual.io.panasonic import read_vlt
from keras_perceptual.io.spi1d import read_spi1d, write_spi1d
from keras_perceptual.io.spi3d import read_spi3d, write_spi3d
from keras_perceptual.io.table_fit import fit_table
from keras_perceptual.io.table_inverse import invert_table
from keras_perceptual.io.table_operations import (
    apply_table,
    blend_table,
    compose_tables,
    resize_table,
)

__all__ = [
    "ColorTable",
    "apply_table",
    "blend_table",
    "compose_tables",
    "fit_table",
    "invert_table",
    "read_3dl",
    "read_clf",
    "read_csp",
    "read_cube",
    "read_hald",
    "read_spi1d",
    "read_spi3d",
    "read_table",
    "read_vlt",
    "resize_table",
    "write_3dl",
    "write_csp",
    "write_cube",
    "write_hald",
    "write_spi1d",
    "write_spi3d",
    "write_table",
]


def __dir__() -> list[str]:
    return __all__
