"""The command `keras-perceptual`, which is `python -m keras_perceptual`."""
