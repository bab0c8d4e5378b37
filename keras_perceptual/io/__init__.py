"""Colour tables in files.

Works on NumPy alone, so that tables can be converted where no backend runs.
"""

from keras_perceptual.io.color_table import ColorTable as ColorTable
from keras_perceptual.io.cube import read_cube as read_cube
from keras_perceptual.io.cube import write_cube as write_cube
