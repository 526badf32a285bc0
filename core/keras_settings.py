"""The settings of Keras that this program needs, whatever `KERAS_BACKEND` and `~/.keras/keras.json` say.

Importing this module chooses the backend, because Keras reads that setting once, when it is imported. `use_keras` sets the
others.
"""

from __future__ import annotations

import os
import sys

from core.errors import ModelError

if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow"


def use_keras() -> None:
    """Import Keras on TensorFlow, with float32 and channels last. Call it before layers are made.

    Raises ModelError if Keras was imported before with another backend.
    """
    import keras

    if keras.config.backend() != "tensorflow":
        raise ModelError(
            f"Keras runs on {keras.config.backend()} here; set KERAS_BACKEND=tensorflow before Keras is imported."
        )
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
