"""What images need of a backend and `keras.ops` does not offer.

Each function has a default, in `defaults.py`, that runs on every backend of
Keras. A backend replaces a few of them, in the module of its name, where it is
faster in a way of its own or where the default is not right there. Callers
write `_backend.clamp(...)` and know nothing of all this.

Only the module of the backend that Keras runs on is ever imported.
"""

import keras

from keras_perceptual._backend.defaults import *  # noqa: F403

if keras.backend.backend() == "tensorflow":
    from keras_perceptual._backend.tensorflow import *  # noqa: F403
elif keras.backend.backend() == "jax":
    from keras_perceptual._backend.jax import *  # noqa: F403
elif keras.backend.backend() == "torch":
    from keras_perceptual._backend.torch import *  # noqa: F403
