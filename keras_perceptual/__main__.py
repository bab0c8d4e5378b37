"""Lets `python -m keras_perceptual` run the command."""

import sys

from keras_perceptual.command.main import main

if __name__ == "__main__":
    sys.exit(main())
