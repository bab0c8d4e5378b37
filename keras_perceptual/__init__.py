"""Perceptual losses, edge losses, colour tables and a gradient check for Keras.

The public names are listed here by hand. Importing the package reads no
weights, opens no connection and imports no backend but the one Keras runs on.
"""

from keras_perceptual import ops as ops
from keras_perceptual._version import __version__ as __version__
