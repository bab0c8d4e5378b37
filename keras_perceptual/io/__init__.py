"""Colour tables in files.

Works on NumPy alone, so that tables can be converted where no backend runs.
"""

from keras_perceptual.io.any_format import read_table as read_table
from keras_perceptual.io.color_table import ColorTable as ColorTable
from keras_perceptual.io.cube import read_cube as read_cube
from keras_perceptual.io.cube import write_cube as write_cube
from keras_perceptual.io.hald import read_hald as read_hald
from keras_perceptual.io.lustre import read_3dl as read_3dl
from keras_perceptual.io.spi1d import read_spi1d as read_spi1d
from keras_perceptual.io.spi3d import read_spi3d as read_spi3d
from keras_perceptual.io.table_operations import apply_table as apply_table
from keras_perceptual.io.table_operations import (
    compose_tables as compose_tables,
)
from keras_perceptual.io.table_operations import invert_table as invert_table
from keras_perceptual.io.table_operations import resize_table as resize_table
